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


HEARS = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""A process that hears a closed terminal, also where what started the tests ignores it."""


def local(tmp_path, *words, count=2, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", HEARS, str(SCRIPT), *words, "--local", str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "JAX_PLATFORMS": "cpu", **environment},
    )


def test_one_command_starts_all_processes(tmp_path):
    """What is not about one point is logged once; a broken point ends all, with its code."""
    [(code, out, err)] = ends([local(tmp_path, "--points", "5")])
    assert code == 0, err
    assert out.count("results: runs") == 1
    past = runs.load(folder_in(tmp_path))
    assert [past.cells[f"point{i}"][1]["process"] for i in range(5)] == [0, 1, 0, 1, 0]
    lines = (folder_in(tmp_path) / "log.txt").read_text().splitlines()
    assert sum("summed 5 points" in line for line in lines) == 1
    assert sum("computing point" in line for line in lines) == 5
    [(code, _, err)] = ends([local(tmp_path, "--points", "4", "--broken")])
    assert code in (processes.LOST, processes.FAILED)
    assert "FloatingPointError: this point fails" in err


def children(job):
    return [
        int(pid) for pid in Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
    ]


@pytest.mark.slow
def test_processes_that_have_not_met_end_with_a_lost_one(tmp_path):
    """The others would wait for it for a quarter of an hour."""
    job = local(tmp_path)
    while len(children(job)) < 2:
        time.sleep(0.01)
    time.sleep(0.5)
    first, second = children(job)
    os.kill(second, signal.SIGKILL)
    [(code, _, _)] = ends([job])
    assert code == 128 + signal.SIGKILL
    assert not Path(f"/proc/{first}").exists()


@pytest.mark.parametrize("by", [signal.SIGHUP, signal.SIGKILL])
def test_no_process_outlives_the_one_that_started_it(tmp_path, by):
    """A closed terminal, and what cannot be caught."""
    job = local(tmp_path, "--points", "8", "--seconds", "0.6")
    while not list(tmp_path.glob("runs/toy_script/*/cells/point0.json")):
        assert job.poll() is None
        time.sleep(0.05)
    started = children(job)
    assert len(started) == 2
    job.send_signal(by)
    ends([job])
    gone = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in started):
        assert time.monotonic() < gone
        time.sleep(0.05)
    assert not (folder_in(tmp_path) / "results.json").exists()
    # Two words about the job at once, and the run goes on.
    [(code, _, err)] = ends([local(tmp_path, "--resume", str(folder_in(tmp_path)))])
    assert code == 0, err
    assert runs.read_manifest(folder_in(tmp_path))["status"] == "finished"


def test_interrupted_all_processes_end_and_say_how_to_go_on(tmp_path):
    job = local(tmp_path, "--points", "8", "--seconds", "0.6")
    while not list(tmp_path.glob("runs/toy_script/*/cells/point0.json")):
        assert job.poll() is None
        time.sleep(0.05)
    job.send_signal(signal.SIGTERM)
    [(code, _, err)] = ends([job])
    assert code == 130
    assert err.count("interrupted; go on with --resume") == err.count("interrupted") == 1
    assert runs.read_manifest(folder_in(tmp_path))["status"] == "interrupted"


@pytest.mark.parametrize(
    ("words", "count", "message"),
    [
        ([], 0, "--local must be a positive number of processes, got 0"),
        ([], 3, "--local must be at most the number of GPUs, 2, got 3"),
        (["--distributed"], 2, "--local starts the processes by itself"),
    ],
)
def test_a_bad_number_of_processes_is_refused(tmp_path, words, count, message):
    devices = {"CUDA_VISIBLE_DEVICES": "4,7,-1,8", "JAX_PLATFORMS": ""}
    [(code, _, err)] = ends([local(tmp_path, *words, count=count, **devices)])
    assert code in (1, 2)
    assert message in err


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_other_and_the_pair_resumes(tmp_path, victim):
    """Also the first one, at which the others have met."""
    words = ["--points", "8", "--seconds", "0.6"]
    jobs = start([words], 2, tmp_path)
    while not list(tmp_path.glob(f"runs/toy_script/*/cells/point{victim}.json")):
        assert jobs[victim].poll() is None
        time.sleep(0.05)
    jobs[victim].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    code, _, err = ends([jobs[1 - victim]])[0]
    assert time.monotonic() - killed < 60
    ends([jobs[victim]])
    assert code == processes.LOST
    assert f"error: process {victim} of 2 has given no sign of life for 30 s" in err
    assert "start all processes again to go on" in err
    folder = folder_in(tmp_path)
    if victim == 1:
        assert runs.read_manifest(folder)["status"] == "failed"
    done = {path.stem: path.read_bytes() for path in folder.glob("cells/*.json")}
    assert {"first", f"point{victim}"} <= set(done)
    assert len(done) < 9
    assert [code for code, _, _ in ends(start([words], 2, tmp_path))] == [0, 0]
    past = runs.load(folder)
    assert past.manifest["status"] == "finished"
    np.testing.assert_array_equal(past.arrays["sums"], 3 * (np.arange(8) / 7) + 1)
    assert {name: (folder / "cells" / f"{name}.json").read_bytes() for name in done} == done
    assert not list((folder / "checkpoints").iterdir())


def test_an_error_in_one_process_ends_the_other(tmp_path):
    words = ["--points", "4", "--broken"]
    (code, _, err), (other, _, told) = ends(start([words], 2, tmp_path))
    assert (code, other) == (processes.LOST, processes.FAILED)
    assert "process 1 of 2 has stopped: FloatingPointError: this point fails" in err
    assert "FloatingPointError" in told


def test_processes_with_other_settings_are_refused(tmp_path):
    words = [["--points", "4"], ["--points", "5"]]
    for code, _, err in ends(start(words, 2, tmp_path)):
        assert code == 1
        assert "process 1 was started with other settings than the first one" in err
    assert not (tmp_path / "runs").exists()


def test_a_root_that_cannot_be_written_ends_all(tmp_path):
    (tmp_path / "file").write_text("")
    (code, _, err), (other, _, told) = ends(start([["--root", "file"]], 2, tmp_path))
    assert (code, other) == (processes.FAILED, processes.FAILED)
    assert "cannot write to file" in err
    assert "cannot write to file" in told or "the first process has not opened file" in told


def test_one_of_one_without_a_job():
    assert processes.current() == processes.Processes(0, 1)
    with pytest.raises(runs.RunError, match="--process must be from 0 to 1, got 2"):
        processes.join([], "127.0.0.1:1", 2, 2)
