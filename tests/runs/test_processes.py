"""Two processes on one machine, over loopback and gloo."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nsjax import runs
from nsjax.runs import processes

SCRIPT = Path(__file__).with_name("toy_script.py")


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(words, count, cwd):
    """As many processes of one job."""
    port = free_port()
    job = ["--distributed", "--coordinator", f"127.0.0.1:{port}", "--processes", str(count)]
    return [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), *words[i % len(words)], *job, "--process", str(i)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
        )
        for i in range(count)
    ]


def ends(jobs, seconds=90):
    found = []
    for job in jobs:
        out, err = job.communicate(timeout=seconds)
        found.append((job.returncode, out, err))
    return found


def folder_in(root):
    [manifest] = root.glob("runs/toy_script/*/manifest.json")
    return manifest.parent


def test_two_processes_share_the_points(tmp_path):
    (code, out, err), (other, nothing, told) = ends(start([["--points", "5"]], 2, tmp_path))
    assert (code, other) == (0, 0), err + told
    assert "results: runs" in out
    assert "results" not in nothing
    past = runs.load(folder_in(tmp_path))
    assert past.manifest["status"] == "finished"
    assert past.manifest["processes"] == 2
    assert [past.cells[f"point{i}"][1]["process"] for i in range(5)] == [0, 1, 0, 1, 0]
    np.testing.assert_array_equal(past.arrays["sums"], 3 * (np.arange(5) / 7) + 1)


def test_a_killed_process_ends_the_other_and_the_pair_resumes(tmp_path):
    words = ["--points", "8", "--seconds", "0.5"]
    jobs = start([words], 2, tmp_path)
    while not list(tmp_path.glob("runs/toy_script/*/cells/point1.json")):
        assert jobs[1].poll() is None
        time.sleep(0.05)
    jobs[1].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    code, _, err = ends(jobs[:1])[0]
    ends(jobs[1:])
    assert time.monotonic() - killed < 60
    assert code == processes.LOST
    assert "error: process 1 of 2 has given no sign of life for 20 s" in err
    assert "start all processes again to go on" in err
    done = {path.stem: path.read_bytes() for path in folder_in(tmp_path).glob("cells/*.json")}
    assert {"first", "point1"} <= set(done)
    assert "point7" not in done
    assert [code for code, _, _ in ends(start([words], 2, tmp_path))] == [0, 0]
    past = runs.load(folder_in(tmp_path))
    np.testing.assert_array_equal(past.arrays["sums"], 3 * (np.arange(8) / 7) + 1)
    again = {name: (folder_in(tmp_path) / "cells" / f"{name}.json").read_bytes() for name in done}
    assert again == done


def test_an_error_in_one_process_ends_the_other(tmp_path):
    words = ["--points", "4", "--broken"]
    (code, _, err), (other, _, told) = ends(start([words], 2, tmp_path))
    assert (code, other) == (processes.LOST, 1)
    assert "process 1 of 2 has stopped: FloatingPointError: this point fails" in err
    assert "FloatingPointError" in told


def test_processes_with_other_settings_are_refused(tmp_path):
    words = [["--points", "4"], ["--points", "5"]]
    for code, _, err in ends(start(words, 2, tmp_path)):
        assert code == 1
        assert "process 1 was started with other settings than the first one" in err


def test_one_of_one_without_a_job():
    assert processes.current() == processes.Processes(0, 1)
    with pytest.raises(runs.RunError, match="--process must be from 0 to 1, got 2"):
        processes.join("127.0.0.1:1", 2, 2)
