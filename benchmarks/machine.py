"""The machine that benchmarks run on: processor, memory, load, accelerator, versions."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

BUSY = 0.5
"""Load for each core, without ours, from which on a machine is called busy."""


def load() -> float | None:
    """Processes that ran or waited over the last minute; None where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def memory() -> float | None:
    """Memory of the machine in GiB; None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError, AttributeError):
        return None


def describe() -> dict[str, Any]:
    """What there is to say of machine and software; starts JAX, and with it the accelerator."""
    from jax.extend import backend

    from nsjax import runs
    from nsjax.runs import provenance

    default, versions = provenance.precision()["default_dtype"], provenance.versions()
    xla = backend.get_backend().platform_version.strip()
    runs.setup()
    return {
        "processor": processor(),
        "cores": cores(),
        "memory_gib": memory(),
        "load": load(),
        "system": platform.platform(),
        "device": provenance.device(),
        # On a CPU it only says so.
        "xla": xla if " " in xla else f"that of jaxlib {versions['jaxlib']}",
        "dtype_of_jax": default,
        "dtype_of_scripts": provenance.precision()["default_dtype"],
        "versions": versions,
    }


if __name__ == "__main__":
    print(json.dumps(describe()))
