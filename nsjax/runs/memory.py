"""How much memory a computation takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def _kilobytes(name: str) -> float:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return float("nan")
    return next((float(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0.0)
