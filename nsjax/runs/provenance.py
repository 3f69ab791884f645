"""What a number depends on besides its config: versions, machine, device, dtype and commit."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

_PACKAGES = (
    "nsjax",
    "jax",
    "jaxlib",
    "numpy",
    "diffrax",
    "equinox",
    "optimistix",
    "lineax",
    "optax",
    "flax",
)


def versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that do the arithmetic; None if not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def machine() -> dict[str, Any]:
    """System, processor and number of cores of this machine."""
    return {"system": platform.platform(), "processor": _processor(), "cores": os.cpu_count()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def device() -> dict[str, Any]:
    """Platform, kind and number of the devices that JAX uses by default."""
    import jax

    devices = jax.devices()
    return {
        "platform": devices[0].platform,
        "kind": devices[0].device_kind,
        "count": len(devices),
    }


def precision() -> dict[str, Any]:
    """The dtype that JAX gives a Python float, and whether 64-bit types are on."""
    import jax.numpy as jnp

    default = str(jnp.result_type(float))
    return {"default_dtype": default, "x64": default == "float64"}


def commit() -> dict[str, Any] | None:
    """The git commit of the running script's checkout, and whether it has changes.

    Returns:
        `{"commit": 40 hex digits, "dirty": bool}`; None without git, without a checkout around
        the script or the working directory, or before its first commit.
    """
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    folders = [Path(script).resolve().parent] if script else []
    for folder in [*folders, Path.cwd()]:
        head = _git(folder, "rev-parse", "--verify", "HEAD")
        if head:
            changes = _git(folder, "status", "--porcelain")
            return {"commit": head, "dirty": changes != ""}
    return None


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
