"""Several processes of one job, which share the points of a sweep.

Every process runs the same script. They meet in the run's folder, which all of them must see: each
keeps a small file there that says that it is alive, how far it has come and how it ended. One that
falls silent, or ends with an error, ends the others with a message; what is finished is kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nsjax.runs.storage import RunError, write_atomic

SILENCE = 20.0
"""Seconds without a sign of life after which a process counts as dead."""
_BEAT = 1.0
_JAX_TIMEOUT = 45
"""Seconds until JAX itself ends a job of which a process is dead, should this module not."""
LOST = 3
"""Exit code of a process that ends because another one is lost."""


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this one is."""

    index: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes manifest, results and figures."""
        return self.index == 0


_alone = Processes()
_joined = _alone


def current() -> Processes:
    """This process; one of one unless `join` was called."""
    return _joined


def join(
    coordinator: str | None = None, count: int | None = None, index: int | None = None
) -> Processes:
    """Become one of several processes, by `jax.distributed.initialize`; before any other JAX call.

    Args:
        coordinator: `HOST:PORT` of the first process. Without the three arguments JAX reads them
            off the cluster: SLURM, Kubernetes, Open MPI, TPU pods.
        count, index: how many processes, and which of them this is, from 0.

    Raises:
        RunError: if they do not find each other, or JAX has been used before.
    """
    global _joined
    import jax

    given = (coordinator, count, index)
    if any(each is None for each in given) != all(each is None for each in given):
        raise RunError(
            "--coordinator, --processes and --process go together, or are all read off the cluster"
        )
    if count is not None and index is not None and not 0 <= index < count:
        raise RunError(f"--process must be from 0 to {count - 1}, got {index}")
    # Among CPUs collectives need this; it is of no effect on others.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # Else JAX keeps SIGTERM to itself.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator,
            count,
            index,
            initialization_timeout=120,
            heartbeat_timeout_seconds=_JAX_TIMEOUT,
            shutdown_timeout_seconds=5,
        )
    except (RuntimeError, ValueError) as error:
        raise RunError(f"the processes did not find each other: {error}") from error
    _joined = Processes(jax.process_index(), jax.process_count())
    return _joined


def work(
    task: Callable[[], Any], coordinator: str | None, count: int | None, index: int | None
) -> None:
    """Do a task as one of several processes, see `join`; only the first one prints.

    An error ends the process at once, after its message: JAX would wait for the others, which are
    told by the run's folder, and abort.
    """
    if not join(coordinator, count, index).leads:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    try:
        task()
    except BaseException as error:
        code = 1
        if isinstance(error, SystemExit) and not isinstance(error.code, str):
            code = int(error.code or 0)
        elif isinstance(error, KeyboardInterrupt):
            code = 130
            print("interrupted", file=sys.stderr)
        elif isinstance(error, SystemExit | RunError | OSError):
            print(f"error: {error}".replace("error: error:", "error:"), file=sys.stderr)
        else:
            traceback.print_exc()
        sys.stderr.flush()
        if code:
            os._exit(code)


def agree(words: str) -> list[str]:
    """The words of all processes, in order, each at most 200 bytes long."""
    import numpy as np
    from jax.experimental import multihost_utils

    row = np.zeros(200, np.uint8)
    content = np.frombuffer(words.encode()[:200], np.uint8)
    row[: len(content)] = content
    rows = np.asarray(multihost_utils.process_allgather(row)).reshape(-1, 200)
    return [bytes(each[each > 0]).decode(errors="replace") for each in rows]


class Company:
    """The processes of one run while it is open: signs of life, and points where all meet.

    Args:
        folder: where the files go, seen by all.
        sitting: name of this sitting, the same in all processes; files of others are ignored.
        processes: which one this is.
        report: called with a line before the process ends because another one is lost.
    """

    def __init__(
        self, folder: Path, sitting: str, processes: Processes, report: Callable[[str], None]
    ) -> None:
        self.processes = processes
        self._folder, self._sitting, self._report = folder, sitting, report
        self._stage, self._beats, self._status = 0, 0, "running"
        self._lock = threading.Lock()
        self._seen: dict[int, tuple[object, float]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._write()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def meet(self) -> None:
        """Wait until every process has come here."""
        self._stage += 1
        self._write()
        while any(each["stage"] < self._stage for each in self._others()):
            time.sleep(0.1)

    def leave(self, status: str) -> None:
        """The last sign of life: `finished`, or what went wrong."""
        self._status = status
        self._closed.set()
        self._write()

    def _file(self, index: int) -> Path:
        return self._folder / f"{index}.json"

    def _write(self) -> None:
        with self._lock:
            self._beats += 1
            record = {
                "sitting": self._sitting,
                "beats": self._beats,
                "stage": self._stage,
                "status": self._status,
            }
            text = json.dumps(record).encode()
            write_atomic(self._file(self.processes.index), lambda file: file.write(text))

    def _others(self) -> list[dict]:
        """What the others have said last; of those not yet here, nothing."""
        found = []
        for index in range(self.processes.count):
            if index == self.processes.index:
                continue
            record = {"stage": -1, "beats": 0, "status": "running"}
            with contextlib.suppress(OSError, ValueError):
                there = json.loads(self._file(index).read_text(encoding="utf-8"))
                record = there if there["sitting"] == self._sitting else record
            found.append({**record, "index": index})
        return found

    def _watch(self) -> None:
        while not self._closed.wait(_BEAT):
            with contextlib.suppress(OSError):  # a full disk is the main thread's to report
                self._write()
            lost = self._lost()
            if lost is not None and not self._closed.is_set():
                message = f"{lost}. What is finished is kept: start all processes again to go on"
                with contextlib.suppress(OSError):
                    self._report(message)
                print(f"error: {message}", file=sys.stderr, flush=True)
                os._exit(LOST)

    def _lost(self) -> str | None:
        """Why the job cannot go on, in words."""
        now = time.monotonic()
        for each in self._others():
            index, of = each["index"], f"process {each['index']} of {self.processes.count}"
            if each["status"] not in ("running", "finished"):
                return f"{of} has stopped: {each['status']}"
            beats = each["beats"] if each["status"] == "running" else "finished"
            if index not in self._seen or self._seen[index][0] != beats:
                self._seen[index] = beats, now
            elif beats != "finished" and now - self._seen[index][1] > SILENCE:
                return f"{of} has given no sign of life for {SILENCE:.0f} s"
        return None
