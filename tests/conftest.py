import os

# Before matplotlib is imported anywhere: figures are drawn without a display.
os.environ.setdefault("MPLBACKEND", "Agg")

import gc
import sys
from importlib.metadata import version

# Before JAX starts its backend: three quarters of the time of these tests is compilation, which
# takes a third as long with the older emitters and without optimisation. Of other versions the
# flags are not known, and an unknown one ends the process.
if version("jaxlib").startswith("0.10."):
    _FLAGS = "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0"
    os.environ.setdefault("XLA_FLAGS", _FLAGS)

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
    _forget_programs()


@pytest.fixture(autouse=True)
def _compiled_programs_end_with_a_slow_test(request):
    """A sweep compiles as many programs as a file of small tests."""
    yield
    if request.node.get_closest_marker("slow"):
        _forget_programs()


@pytest.fixture
def forbid(monkeypatch):
    """`forbid(module, *names)`: functions that a rerun of a finished run must not call fail."""

    def forbid(module, *names):
        def fail(*_, **__):
            raise AssertionError("a finished cell was computed again")

        for name in names:
            monkeypatch.setattr(module, name, fail)

    return forbid


@pytest.fixture(autouse=True)
def _figures_end_with_their_test():
    """Closes what a test has drawn: pyplot keeps figures, and warns from the twenty-first on."""
    yield
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot:
        pyplot.close("all")


def _forget_programs():
    jax.clear_caches()
    gc.collect()
