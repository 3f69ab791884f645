"""Several processes on this machine, each with one of its accelerators or a share of its cores."""

from __future__ import annotations

import glob
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from nsjax.runs.storage import RunError


def run(words: Sequence[str], count: int) -> int:
    """Starts the script of this process `count` times, as `--distributed`, and waits for all.

    Args:
        words: of the command line, without those that ask for this.
        count: how many processes.

    Returns:
        The exit code: 0, or that of the process that ended first with another one.

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
    try:
        for index in range(count):
            environment = dict(os.environ)
            if gpus:
                environment["CUDA_VISIBLE_DEVICES"] = gpus[index]
            command = [*start, *words, *job, "--process", str(index)]
            # In sessions of their own: Ctrl-C comes to this process alone, which passes it on once.
            children.append(subprocess.Popen(command, env=environment, start_new_session=True))
            if not gpus:
                _give_cores(children[-1].pid, index, count)
        return _waited(children)
    except BaseException:
        # Each says by itself how to go on.
        for child in children:
            child.terminate()
        for child in children:
            child.wait()
        raise


def _waited(children: list[subprocess.Popen]) -> int:
    """The first exit code that is not 0, once all have ended: of one that is lost all end."""
    going, first = list(children), 0
    while going:
        for child in list(going):
            code = child.poll()
            if code is not None:
                going.remove(child)
                first = first or code
        time.sleep(0.05)
    return first


def _gpus() -> list[str]:
    """Names of the NVIDIA GPUs that may be used."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name]
    return [str(i) for i in range(len(glob.glob("/dev/nvidia[0-9]*")))]


def _give_cores(pid: int, index: int, count: int) -> None:
    """Lets a process run on its share of the cores alone, where there are enough and it can be."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if count <= len(cores):
        os.sched_setaffinity(pid, cores[index::count])
