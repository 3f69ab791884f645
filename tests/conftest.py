import os

# Before matplotlib is imported anywhere: figures are drawn without a display.
os.environ.setdefault("MPLBACKEND", "Agg")

import gc

import hypothesis
import jax
import pytest

jax.config.update("jax_enable_x64", True)

hypothesis.settings.register_profile(
    "house",
    deadline=None,  # the first example of a property compiles
    derandomize=True,
    database=None,
    max_examples=25,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("house")


@pytest.fixture(scope="module", autouse=True)
def _compiled_programs_end_with_their_module():
    """Frees what a test file has compiled.

    Every program of XLA's CPU backend holds memory maps, of which a process may have some 65,000: a
    worker that keeps the programs of all files crashes in the compiler.
    """
    yield
    jax.clear_caches()
    gc.collect()
