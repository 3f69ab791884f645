"""Several processes on this machine, each with one of its accelerators or a share of its cores."""

from __future__ import annotations

import contextlib
import ctypes
import glob
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from nsjax.runs import processes
from nsjax.runs.storage import RunError

_STARTED_BY = "NSJAX_STARTED_BY"
"""Variable with which a process knows that another one has started it, which it is to end with."""
_GRACE = 5.0
"""Seconds that a process has to end after it was asked to."""


def run(words: Sequence[str], count: int) -> int:
    """Starts the script of this process `count` times, as `--distributed`, and waits for all.

    Args:
        words: of the command line, without those that ask for this.
        count: how many processes.

    Returns:
        The exit code: 0; that of the process that ended first with another one, 128 and the number
        of the signal that ended it; 130 if interrupted.

    Raises:
        RunError: for a bad count, or one of more processes than there are GPUs.
    """
    if count < 1:
        raise RunError(f"--local must be a positive number of processes, got {count}")
    gpus = _gpus()
    if gpus and count > len(gpus):
        raise RunError(f"--local must be at most the number of GPUs, {len(gpus)}, got {count}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    job = ["--distributed", "--coordinator", f"127.0.0.1:{port}", "--processes", str(count)]
    # As it was started, which may be by `-m`.
    start = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv[1:])]
    children: list[subprocess.Popen] = []
    before = _interrupted_by_hangup()
    try:
        for index in range(count):
            environment = {**os.environ, _STARTED_BY: str(os.getpid())}
            if gpus:
                environment["CUDA_VISIBLE_DEVICES"] = gpus[index]
            command = [*start, *words, *job, "--process", str(index)]
            # In sessions of their own: Ctrl-C comes to this process alone, which passes it on once.
            children.append(subprocess.Popen(command, env=environment, start_new_session=True))
            if not gpus:
                _give_cores(children[-1].pid, index, count)
        return _waited(children)
    except KeyboardInterrupt:
        # The first one says how to go on.
        return 130
    finally:
        _end(children)
        if before is not None:
            signal.signal(signal.SIGHUP, before)


def end_with_parent() -> None:
    """In a process that `run` has started: ends it when that one is killed, where Linux can."""
    if _STARTED_BY in os.environ and sys.platform == "linux":
        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGTERM)


def _waited(children: list[subprocess.Popen]) -> int:
    """The first exit code that is not 0, once all have ended.

    Of one that is lost the others learn by themselves, and say so; unless they have not met yet.
    """
    going, first, deadline = list(children), 0, float("inf")
    while going and time.monotonic() < deadline:
        for child in list(going):
            code = child.poll()
            if code is not None:
                going.remove(child)
                if code and not first:
                    first = code if code > 0 else 128 - code
                    deadline = time.monotonic() + processes.SILENCE + 2 * _GRACE
        time.sleep(0.05)
    return first


def _end(children: list[subprocess.Popen]) -> None:
    """Ends those that go on; at once if one is not patient."""
    with contextlib.suppress(KeyboardInterrupt):
        for child in children:
            child.terminate()
        deadline = time.monotonic() + _GRACE
        while any(child.poll() is None for child in children) and time.monotonic() < deadline:
            time.sleep(0.05)
    for child in children:
        child.kill()
        child.wait()


def _interrupted_by_hangup() -> Any:
    """A closed terminal interrupts like Ctrl-C, unless that is ignored; what it did before."""
    if not hasattr(signal, "SIGHUP") or signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        return None

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    return signal.signal(signal.SIGHUP, interrupt)


def _gpus() -> list[str]:
    """Names of the NVIDIA GPUs that may be used."""
    platforms = os.environ.get("JAX_PLATFORMS", "")
    if platforms and not {"cuda", "gpu"} & set(platforms.split(",")):
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return [str(i) for i in range(len(glob.glob("/dev/nvidia[0-9]*")))]
    found = []
    for name in filter(None, map(str.strip, named.split(","))):
        if name.startswith("-"):  # CUDA sees none from there on
            break
        found.append(name)
    return found


def _give_cores(pid: int, index: int, count: int) -> None:
    """Lets a process run on its share of the cores alone, where there are enough and it can be."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if count <= len(cores):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(pid, cores[index::count])
