"""What the tests of the KKT search share."""

import jax
import pytest


@pytest.fixture
def compiled():
    """Names of what JAX compiles while the test runs."""
    seen = []

    def listen(event, duration, **kwargs):
        if event.endswith("backend_compile_duration"):
            seen.append(kwargs.get("fun_name", event))

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield seen
    jax.monitoring.unregister_event_duration_listener(listen)
