"""An open run folder: what a script writes there, and how it goes through its points."""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from nsjax.runs import job
from nsjax.runs.cells import Cell
from nsjax.runs.checkpoints import Checkpoints, discard
from nsjax.runs.locking import Lock
from nsjax.runs.memory import spare_maps
from nsjax.runs.processes import Company, Processes
from nsjax.runs.reading import SCHEMA, read_results
from nsjax.runs.report import write_report
from nsjax.runs.storage import RunError, check_name, save_pair, to_json, write_atomic, write_json
from nsjax.runs.terminal import counter, format_cell, progress

Point = TypeVar("Point")

_VECTOR: dict[Any, Any] = {"pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "nsjax"}
"""Fonts embedded as letters, no outlines; and the same identifiers each time."""


class Run:
    """An open run folder; made by `open_run`.

    As a context manager it writes how the run ended into the manifest: `finished`, `failed` with
    the text of the exception, or `interrupted`. A run that was killed is left as `running`. Then it
    writes `report.html`, see `write_report`. Tables printed meanwhile by `print_table` are kept.

    Of several processes the first writes manifest, results, tables, texts, figures and report; the
    others write cells, checkpoints and lines of the log alone.
    """

    def __init__(
        self,
        path: Path,
        manifest: dict[str, Any],
        *,
        lock: Lock | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.processes = Processes() if processes is None else processes
        self._lock = lock
        self._computing = False
        self._company: Company | None = None
        self._tables: list[dict[str, Any]] = []

    def accompany(self) -> None:
        """Begin to watch the other processes, see `Company`."""

        def lost(why: str) -> None:
            self._end("failed", why)

        self._company = Company(self.path / "processes", self.processes, lost)

    def __enter__(self) -> "Run":
        self._job = job.current()
        self._kept, self._job.keep = self._job.keep, self.save_table
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._job.keep = self._kept
        status, text = "finished", None
        if isinstance(error, KeyboardInterrupt):
            status = "interrupted"
        elif error is not None and not (isinstance(error, SystemExit) and error.code in (None, 0)):
            status, text = "failed", f"{type(error).__name__}: {error}"
        try:
            if self._company is not None:
                if status == "finished":
                    self._company.meet()
                self._company.leave(text or status)
        finally:
            try:
                self._end(status, text)
            finally:
                if self._lock is not None:
                    self._lock.release()

    def sweep(
        self,
        points: Iterable[Point],
        name: Callable[[Point], str],
        compute: Callable[[Point], tuple[Mapping[str, Any], Mapping[str, Any]]],
        *,
        description: str = "",
        share: bool = True,
    ) -> Iterator[tuple[Point, dict[str, np.ndarray], dict[str, Any]]]:
        """Goes through the points of a sweep, each with a cell, and computes what is not finished.

        Of several processes each computes a part of the points; when all are done, each goes
        through all of them.

        Args:
            points: what to go through, in the same order in every process.
            name: of the cell of a point, see `cell`.
            compute: gives the arrays and the values of a cell.
            description: words in front of the bar, which is shown on a terminal.
            share: False where what is computed depends on points that were yielded before: of
                several processes the first then computes them all.

        Yields:
            Point, arrays and values, in the order of the points.

        Raises:
            ValueError: for a bad name.
            RunError: for one that two points share.
        """
        points = list(points)
        cells = [self.cell(name(point)) for point in points]
        counts = Counter(cell.name for cell in cells)
        double = [name for name, count in counts.items() if count > 1]
        if double:
            raise RunError(f"each point must have a cell of its own, got {double[0]!r} twice")
        pairs = list(zip(points, cells, strict=True))
        index, count = self.processes.index, self.processes.count
        alone = self._company is None or (self.processes.leads and not share)
        mine = pairs if alone else pairs[index::count] if share else []
        # The bar counts what is left to be done, or its rate would be that of reading files.
        left = [cell for _, cell in mine if not cell.finished]
        bar = progress(left, description=description, show=self._show)
        names = {cell.name for cell in left}
        for point, cell in mine:
            if cell.name in names:
                next(bar)
                self._finish(point, cell, compute)
            # Also where a process was killed between saving the cell and this.
            discard(self.path / "checkpoints" / cell.name)
            if alone:
                yield point, *cell.load()
        next(bar, None)
        if self._company is not None:
            self._company.meet()
        if not alone:
            for point, cell in pairs:
                yield point, *cell.load()

    def once(
        self, name: str, compute: Callable[[], tuple[Mapping[str, Any], Mapping[str, Any]]]
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and values of one cell, computed by one process unless it is finished.

        Args:
            name: of the cell, as in `cell`.
            compute: gives arrays and values by name, as `Cell.save` takes them.

        Raises:
            ValueError: for a bad name.
        """
        [(_, arrays, values)] = self.sweep(
            [name], lambda name: name, lambda _: compute(), share=False
        )
        return arrays, values

    def _finish(self, point: Any, cell: Cell, compute: Callable[[Any], tuple]) -> None:
        spare_maps()
        begun, self._computing = time.perf_counter(), True
        try:
            cell.save(*compute(point))
        finally:
            self._computing = False
        seconds = time.perf_counter() - begun
        self._record(f"cell {cell.name}: {seconds:.3g} s", cell=cell.name, seconds=seconds)

    def cell(self, name: str) -> Cell:
        """The cell of one point of a sweep.

        Args:
            name: safe as a file name, such as `"p=2_delta=1e-08"`.

        Raises:
            ValueError: for a bad name.
        """
        return Cell(self.path / "cells", name, self._tell)

    def counter(
        self, total: int, *, description: str = ""
    ) -> AbstractContextManager[Callable[[int], None]]:
        """A bar for the members of an ensemble; the first process's alone.

        Args:
            total, description: as in `runs.counter`.
        """
        return counter(total, description=description, show=self._show)

    @property
    def _show(self) -> bool | None:
        # Of several processes only the first has the terminal.
        return None if self.processes.leads else False

    def checkpoints(self, name: str, *, keep: int = 2, every: float = 10.0) -> Checkpoints:
        """The states of the computation of a cell of that name, kept until the cell is saved.

        Args:
            name: of the cell.
            keep, every: as in `Checkpoints`.

        Raises:
            ValueError: for a bad name.
            ImportError: if orbax is not installed.
        """
        folder = self.path / "checkpoints" / check_name("checkpoints", name)
        return Checkpoints(folder, keep=keep, every=every, report=self._tell)

    def save_results(self, arrays: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """Writes `results.npz` and `results.json`.

        Args:
            arrays: NumPy or JAX arrays of any shape, by name.
            values: what `to_json` takes.

        Raises:
            ValueError, TypeError: for a bad array name, or what npz or JSON cannot hold.
        """
        if self.processes.leads:
            save_pair(self.path, "results", arrays, values, {"schema": SCHEMA})
            self._touch()

    def load_results(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Returns the arrays and values of the results; see `read_results`."""
        return read_results(self.path)

    def save_figure(self, figure: Any, name: str) -> Path:
        """Writes a matplotlib figure as `figures/NAME.png`, `.pdf` and `.svg`.

        Letters stay letters in both vector formats, so that they can be searched and set anew.

        Returns:
            The path of the PNG file.

        Raises:
            ValueError: for a bad name.
        """
        check_name("figure", name)
        paths = {end: self.path / "figures" / f"{name}.{end}" for end in ("png", "pdf", "svg")}
        if self.processes.leads:
            from matplotlib import rc_context

            with rc_context(_VECTOR):
                for ending, path in paths.items():
                    dpi = {"dpi": 150} if ending == "png" else {}
                    write_atomic(path, partial(figure.savefig, format=ending, **dpi))
        return paths["png"]

    def save_animation(self, animation: Any, name: str, *, fps: int = 12, dpi: int = 80) -> Path:
        """Writes a matplotlib animation as `figures/NAME.gif`, and `.mp4` where ffmpeg is there.

        Args:
            animation: a `matplotlib.animation.Animation`.
            name: of the files, without an ending.
            fps: pictures a second.
            dpi: resolution.

        Returns:
            The path of the GIF.

        Raises:
            ValueError: for a bad name.
        """
        check_name("figure", name)
        paths = [self.path / "figures" / f"{name}.gif"]
        if self.processes.leads:
            from matplotlib.animation import writers

            if writers.is_available("ffmpeg"):
                paths.append(paths[0].with_suffix(".mp4"))
            for path in paths:
                # Matplotlib wants a name with the right ending, not an open file.
                part = path.with_name(f".{name}.{os.getpid()}{path.suffix}")
                writer = "pillow" if path.suffix == ".gif" else "ffmpeg"
                try:
                    animation.save(part, writer=writer, fps=fps, dpi=dpi)
                    os.replace(part, path)
                finally:
                    part.unlink(missing_ok=True)
        return paths[0]

    def save_table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Adds a table to `tables.json`; the first of a sitting removes those of sittings before.

        Args:
            title: line above the table.
            columns: headings.
            rows: cells; what JSON cannot hold is kept as the text that `print_table` shows.
        """

        def plain(cell: Any) -> Any:
            try:
                return to_json(cell, words=True)
            except (TypeError, ValueError):
                return format_cell(cell)

        if self.processes.leads:
            kept = [[plain(cell) for cell in row] for row in rows]
            self._tables.append({"title": title, "columns": list(columns), "rows": kept})
            write_json(self.path / "tables.json", {"schema": SCHEMA, "tables": self._tables})

    def save_text(self, text: str, name: str) -> Path:
        """Writes a text as `texts/NAME`, in UTF-8.

        Args:
            text: what the file is to hold, such as JSON of the script's own.
            name: of the file with its ending, such as `"formula.json"`.

        Returns:
            The path of the file.

        Raises:
            ValueError: for a bad name.
            TypeError: if `text` is no string.
        """
        check_name("text", name)
        if not isinstance(text, str):
            raise TypeError(f"text must be a string, got {type(text).__name__}")
        path = self.path / "texts" / name
        if self.processes.leads:
            path.parent.mkdir(exist_ok=True)
            write_atomic(path, lambda file: file.write(text.encode()))
        return path

    def log(self, message: str, *, echo: bool = False, **facts: Any) -> None:
        """Appends a line to `log.txt`, and the same as a JSON object to `log.jsonl`.

        Of several processes the first alone does, except for what is said while a cell is computed.

        Args:
            message: for people.
            echo: whether it goes to stderr as well.
            facts: for programs: what JSON takes, in `log.jsonl` alone.
        """
        if self.processes.leads or self._computing:
            self._record(message, echo=echo, **facts)

    def _record(self, message: str, *, echo: bool = False, **facts: Any) -> None:
        at = now()
        record = {"time": at, "process": self.processes.index, "message": message, **facts}
        start = f"[{self.processes.index}] " if self.processes.count > 1 else ""
        for name, line in (("log.txt", f"{at} {start}{message}"), ("log.jsonl", _line(record))):
            with open(self.path / name, "a", encoding="utf-8") as file:
                file.write(f"{line}\n")
        if echo:
            print(start + message, file=sys.stderr)

    def _tell(self, message: str) -> None:
        self._record(message, echo=True)

    def _end(self, status: str, error: str | None) -> None:
        for record in (self.manifest, self.manifest["history"][-1]):
            record["status"] = status
            record["error"] = error
        self.manifest["history"][-1]["ended"] = now()
        self._touch()
        self._record(status if error is None else f"{status}: {error}", status=status)
        if self.processes.leads:
            try:
                write_report(self.path)
            except Exception as problem:  # no reason to lose a run: it can be written later
                self._tell(f"no report.html: {problem}")

    def _touch(self) -> None:
        self.manifest["updated"] = now()
        if self.processes.leads:
            write_json(self.path / "manifest.json", self.manifest)


def now() -> str:
    """The time in UTC, in seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, default=str)
