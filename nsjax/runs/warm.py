"""CPU seconds of work that compiles nothing."""

import time
from collections.abc import Callable
from typing import Any


class Compilations:
    """Counts the programs that JAX compiles."""

    def __init__(self) -> None:
        # Here, so that a script's --help need not wait for it.
        import jax

        self.count = 0
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        self.count += "backend_compile" in event

    def warm(self, function: Callable[[], Any]) -> tuple[Any, float]:
        """What a function returns, and its CPU seconds; once more if it compiled anything."""
        while True:
            before, begun = self.count, time.process_time()
            result = function()
            seconds = time.process_time() - begun
            if self.count == before:
                return result, seconds
