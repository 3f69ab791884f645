"""Several processes of one job, which share the points of a sweep.

Every process runs the same script. They meet in the run's folder, which all of them must see: each
keeps a small file there that says that it is alive, how far it has come and how it ended. One that
falls silent, or ends with an error, ends the others with a message; what is finished is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nsjax.runs.storage import RunError

SILENCE = 30.0
"""Seconds without a sign of life after which a process counts as dead."""
_BEAT = 1.0
_PATIENCE = 900
"""Seconds that a process waits for others to come."""
LOST = 75
"""Exit code of a process that ends because another one is lost: start all of them again."""
FAILED = 76
"""Exit code of one of several processes that ends with an error: the highest code of all is that of
the job, as a rule."""


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this one is, and the name of their job, the same in all."""

    index: int = 0
    count: int = 1
    job: str = ""

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes manifest, results and figures."""
        return self.index == 0


_joined = Processes()


def current() -> Processes:
    """This process; one of one unless `join` was called."""
    return _joined


def join(
    words: Sequence[str],
    coordinator: str | None = None,
    count: int | None = None,
    index: int | None = None,
) -> Processes:
    """Become one of several processes, by `jax.distributed.initialize`; before any other JAX call.

    They find each other through JAX, agree on what they do, and are each on their own again: JAX
    would end all of them, without a word of ours, as soon as the first one is lost. From then on
    they watch each other by files (`Company`).

    Args:
        words: what all must have been started with.
        coordinator: `HOST:PORT` of the first process. Without the three arguments JAX reads them
            off the cluster: SLURM, Kubernetes, Open MPI, TPU pods.
        count, index: how many processes, and which of them this is, from 0.

    Raises:
        RunError: if they do not find each other, were started with other words, or JAX has been
            used before.
    """
    global _joined
    import jax
    from jax._src.distributed import global_state

    given = (coordinator, count, index)
    if any(each is None for each in given) != all(each is None for each in given):
        raise RunError(
            "--coordinator, --processes and --process go together, or are all read off the cluster"
        )
    if count is not None and index is not None and not 0 <= index < count:
        raise RunError(f"--process must be from 0 to {count - 1}, got {index}")
    # Else JAX keeps SIGTERM to itself.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator,
            count,
            index,
            # Of pods that are restarted some come late.
            initialization_timeout=_PATIENCE,
            shutdown_timeout_seconds=_PATIENCE,
        )
    except (RuntimeError, ValueError) as error:
        raise RunError(f"the processes did not find each other: {error}") from error
    index, count = int(global_state.process_id), int(global_state.num_processes or 1)
    digest = hashlib.sha256(repr(list(words)).encode()).hexdigest()
    client: Any = global_state.client
    client.key_value_set(f"nsjax/{index}", f"{os.getpid()}.{time.time_ns()} {digest}")
    said = [
        client.blocking_key_value_get(f"nsjax/{other}", 1000 * _PATIENCE).split()
        for other in range(count)
    ]
    jax.distributed.shutdown()
    # So that devices are made as those of one process.
    global_state.process_id, global_state.num_processes = 0, 1
    for other, (_, digest) in enumerate(said):
        if digest != said[0][1]:
            raise RunError(f"process {other} was started with other settings than the first one")
    _joined = Processes(index, count, said[0][0])
    return _joined


class Company:
    """The processes of one run while it is open: signs of life, and points where all meet.

    Args:
        folder: where the files go, seen by all.
        processes: which one this is.
        report: called with a line before the process ends because another one is lost.
    """

    def __init__(self, folder: Path, processes: Processes, report: Callable[[str], None]) -> None:
        self.processes = processes
        self._folder, self._report = folder, report
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
        while behind := [each for each in self._others() if each["stage"] < self._stage]:
            if any(each["status"] == "finished" for each in behind):
                raise RunError("another process has ended before the point where all meet")
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
                "job": self.processes.job,
                "beats": self._beats,
                "stage": self._stage,
                "status": self._status,
            }
            # Renamed, so that it is read whole, but not forced to the disk every second.
            path = self._file(self.processes.index)
            beside = path.with_suffix(".new")
            beside.write_text(json.dumps(record), encoding="utf-8")
            os.replace(beside, path)

    def _others(self) -> list[dict]:
        """What the others have said last; of those not yet here, nothing."""
        found = []
        for index in range(self.processes.count):
            if index == self.processes.index:
                continue
            record = {"stage": -1, "beats": None, "status": "running"}
            with contextlib.suppress(OSError, ValueError):
                there = json.loads(self._file(index).read_text(encoding="utf-8"))
                record = there if there["job"] == self.processes.job else record
            found.append({**record, "index": index})
        return found

    def _watch(self) -> None:
        while not self._closed.wait(_BEAT):
            try:
                self._write()
            except OSError:
                # A full disk is the main thread's to report. The others cannot write either.
                self._seen.clear()
                continue
            lost = self._lost()
            if lost is not None and not self._closed.is_set():
                message = f"{lost}. What is finished is kept: start all processes again to go on"
                with contextlib.suppress(OSError):
                    self._report(message)
                print(f"error: {message}", file=sys.stderr, flush=True)
                sys.stdout.flush()
                os._exit(LOST)

    def _lost(self) -> str | None:
        """Why the job cannot go on, in words."""
        now = time.monotonic()
        for each in self._others():
            index, of = each["index"], f"process {each['index']} of {self.processes.count}"
            if each["status"] not in ("running", "finished"):
                return f"{of} has stopped: {each['status']}"
            beats = each["beats"] if each["status"] == "running" else "finished"
            # Who has not come yet may be reading its data.
            patience = SILENCE if beats is not None else _PATIENCE
            if index not in self._seen or self._seen[index][0] != beats:
                self._seen[index] = beats, now
            elif beats != "finished" and now - self._seen[index][1] > patience:
                return f"{of} has given no sign of life for {patience:.0f} s"
        return None
