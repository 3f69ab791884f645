import os

# Before matplotlib is imported anywhere: figures are drawn without a display.
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import jax

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
