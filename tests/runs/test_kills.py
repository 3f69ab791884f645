"""Killed again and again at random moments, a run ends with the same bits as one left alone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nsjax import runs

HOUSE = Path(__file__).parents[2]
COMMANDS = {
    "neuron_pursuit": (
        "--samples 60 --dimension 5 --depth 2 --lanes 2 --max-neurons 12 --test 200 --seeds 3"
    ),
    "scale_sweep": "--scales 0.1 0.3 --seeds 8 --chunk 16 --fit 1e-3 --samples 50",
    "neuron_search": "--data synthetic-sparse --seeds 3",
}
TIMES = ("seconds", "cpu_seconds")
"""What may differ: how long it took."""


def start(name, root, cache):
    words = [sys.executable, str(HOUSE / "experiments" / f"{name}.py"), *COMMANDS[name].split()]
    return subprocess.Popen(
        [*words, "--root", str(root)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NSJAX_CACHE": str(cache), "XLA_FLAGS": ""},
    )


def finish(name, root, cache):
    with start(name, root, cache) as process:
        said = process.stderr.read()
    assert process.returncode == 0, said
    [manifest] = root.glob("*/*/manifest.json")
    return runs.load(manifest.parent)


def without_times(values):
    if isinstance(values, dict):
        return {k: without_times(v) for k, v in values.items() if k not in TIMES}
    return [without_times(v) for v in values] if isinstance(values, list) else values


def check_equal(found, alone):
    """All that was computed, to the last bit."""
    assert found.manifest["status"] == "finished"
    assert set(found.cells) == set(alone.cells)
    for cell, (arrays, values) in alone.cells.items():
        again, told = found.cells[cell]
        assert set(again) == set(arrays)
        for array in arrays:
            np.testing.assert_array_equal(again[array], arrays[array], err_msg=f"{cell}: {array}")
        np.testing.assert_equal(without_times(told), without_times(values))


def kill_often(name, tmp_path, kills):
    """Kill `kills` times, at moments up to the length of a whole run; compare every run that ends.

    Returns:
        How many sittings each of those had.
    """
    cache = tmp_path / "cache"
    finish(name, tmp_path / "warm", cache)
    begun = time.monotonic()
    alone = finish(name, tmp_path / "alone", cache)
    longest = time.monotonic() - begun
    rng, killed, root, ended = np.random.default_rng(len(name)), 0, tmp_path / "killed", []
    while killed < kills:
        with start(name, root, cache) as process:
            time.sleep(rng.uniform(0.1, longest))
            over = process.poll() is not None
            process.send_signal(signal.SIGKILL)
            said = process.stderr.read()
        for manifest in root.glob("*/*/manifest.json"):
            past = runs.load(manifest.parent)
        if over:  # it was through before the kill: the next one begins anew
            assert process.returncode == 0, said
            ended.append(past)
            root = tmp_path / f"killed{killed}"
        killed += not over
    ended.append(finish(name, root, cache))
    for found in ended:
        check_equal(found, alone)
    return [len(found.manifest["history"]) for found in ended]


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_fifty_kills(name, tmp_path):
    sittings = kill_often(name, tmp_path, 50)
    assert sum(sittings) > len(sittings) + 10
