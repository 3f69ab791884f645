"""Memory: how much a computation takes, and what compiled programs hold of it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

_MAPS, _MOST_MAPS = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_memory(function: Callable[[], Any]) -> tuple[Any, float]:
    """What a function returns, and by how much resident memory rose at most meanwhile.

    In MiB; memory that the process holds from before, and uses again, does not count. NaN where
    the system does not keep the peak (it does on Linux).

    >>> peak_memory(lambda: len(bytearray(2**25)))[0]
    33554432
    """
    before = _kilobytes("VmRSS")
    try:
        _RESET.write_text("5")  # the peak begins anew
    except OSError:
        return function(), float("nan")
    result = function()
    return result, max(_kilobytes("VmHWM") - before, 0) / 1024


def spare_maps(share: float = 0.5) -> bool:
    """Frees the compiled programs if they hold more than a share of the memory maps there may be.

    Every program of XLA's CPU backend holds some tens of maps, of which a process may have 65,000
    or so on Linux: where sizes differ from point to point, a long sweep ends in the compiler
    without this. What is needed again is compiled again.

    Returns:
        Whether they were freed.
    """
    try:
        with _MAPS.open("rb") as lines:
            held = sum(1 for _ in lines)
        most = int(_MOST_MAPS.read_text())
    except (OSError, ValueError):
        return False
    if held <= share * most:
        return False
    # Here, so that a script's --help need not wait for it.
    import jax

    jax.clear_caches()
    gc.collect()
    return True


def _kilobytes(name: str) -> float:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return float("nan")
    return next((float(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0.0)
