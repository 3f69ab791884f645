"""Sweeps of a script as jobs of a cluster, by submitit."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nsjax.runs.storage import RunError


class Command:
    """A command that a job runs; one that is preempted or times out is run again.

    Scripts go on where they stopped, so nothing else is to be kept.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)

    def __call__(self) -> int:
        """Runs the command.

        Raises:
            RuntimeError: if it fails, so that the job counts as failed.
        """
        code = subprocess.run(self.words).returncode
        if code in (130, -15):
            # Told to end, as this process is: give submitit the time to put the job back.
            time.sleep(60)
        if code:
            raise RuntimeError(f"{' '.join(self.words)} ended with code {code}")
        return code

    def checkpoint(self) -> Any:
        """The same again, as submitit asks for when it is preempted."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def commands(
    script: str | Path, words: Sequence[str], vary: Mapping[str, Sequence[str]]
) -> list[list[str]]:
    """The command lines of a sweep, one for each combination of the settings that vary.

    >>> commands("a.py", ["--preset", "full"], {"seed": ["0", "1"]})[1][1:]
    ['a.py', '--preset', 'full', '--seed', '1']
    """
    start = [sys.executable, str(script), *words]
    lines = []
    for values in itertools.product(*vary.values()):
        settings = zip(vary, values, strict=True)
        lines.append(
            [*start, *itertools.chain(*((f"--{name}", value) for name, value in settings))]
        )
    return lines


def submit(
    script: str | Path,
    words: Sequence[str] = (),
    *,
    vary: Mapping[str, Sequence[str]],
    folder: str | Path = "jobs",
    cluster: str | None = None,
    **resources: Any,
) -> list[Any]:
    """Submits one job for each combination of settings.

    Args:
        script: such as `experiments/neuron_pursuit.py`.
        words: of the command line that all have in common.
        vary: values, as words, of the settings that vary.
        folder: where submitit keeps what jobs print.
        cluster: `slurm`, or `local` for processes on this machine; found out if not given.
        resources: of submitit, such as `timeout_min=60`, `gpus_per_node=1`,
            `slurm_partition="gpu"`.

    Returns:
        Jobs of submitit, with `result()` and `stderr()`.

    Raises:
        ImportError: if submitit is not installed.
        RunError: if there is no such script.
    """
    if not Path(script).is_file():
        raise RunError(f"there is no script {script}")
    try:
        import submitit
    except ImportError as error:
        raise ImportError("sweeps of jobs need submitit: pip install 'nsjax[cluster]'") from error
    executor = submitit.AutoExecutor(folder=Path(folder), cluster=cluster)
    executor.update_parameters(**resources)
    with executor.batch():
        jobs = [executor.submit(Command(line)) for line in commands(script, words, vary)]
    return jobs
