"""What a script shows on the terminal: a progress bar and a table."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, TypeVar

import numpy as np

from nsjax.runs import job

Item = TypeVar("Item")


def progress(
    iterable: Iterable[Item],
    *,
    total: int | None = None,
    description: str = "",
    show: bool | None = None,
) -> Iterator[Item]:
    """Yields the items of an iterable while a bar on stderr counts them.

    Args:
        iterable: what to go through.
        total: number of items, where the iterable has no length.
        description: words in front of the bar.
        show: True or False to force the bar on or off; by default it is shown on a terminal only.

    Raises:
        ImportError: if a bar is to be shown and tqdm is not installed.

    >>> list(progress(range(3), show=False))
    [0, 1, 2]
    """
    if not (sys.stderr.isatty() if show is None else show):
        return iter(iterable)
    bar: Iterable[Item] = _bar(iterable, total=total, desc=description)
    return iter(bar)


@contextmanager
def counter(
    total: int, *, description: str = "", show: bool | None = None
) -> Iterator[Callable[[int], None]]:
    """A bar for what is done out of order or several at a time, such as members of an ensemble.

    Args:
        total: how many there are.
        description, show: as in `progress`.

    Yields:
        A function to be called with how many are done.

    Raises:
        ImportError: if a bar is to be shown and tqdm is not installed.

    >>> with counter(10, show=False) as done:
    ...     done(3)
    """
    if not (sys.stderr.isatty() if show is None else show):
        yield lambda done: None
        return
    with _bar(total=total, desc=description, leave=False) as bar:

        def upto(done: int) -> None:
            bar.n = done
            bar.refresh()

        yield upto


def _bar(*args: Any, **kwargs: Any) -> Any:
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError("a progress bar needs tqdm: pip install 'nsjax[run]'") from error
    return tqdm(*args, file=sys.stderr, **kwargs)


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    file: IO[str] | None = None,
) -> None:
    """Prints a table; within the `with` block of a run, its folder keeps it as well.

    Args:
        title: line above the table.
        columns: headings.
        rows: cells, one sequence per row, as many as columns; floats are shown with 4 digits.
        file: where to; stdout by default. Of what goes elsewhere a run keeps nothing.

    Raises:
        ValueError: if a row has not as many cells as there are columns.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    rows = [list(row) for row in rows]
    table = Table(title=escape(title) if title else None, title_justify="left")
    for column in columns:
        table.add_column(escape(column), overflow="fold")
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"row {row!r}: wanted {len(columns)} cells, got {len(row)}")
        table.add_row(*(escape(format_cell(cell)) for cell in row))
    console = Console(file=file)
    if not console.is_terminal:  # a pipe or a file has no width at which to fold lines
        console.width = max(console.width, 200)
    console.print(table)
    keep = job.current().keep
    if keep is not None and file is None:
        keep(title, columns, rows)


def format_cell(value: Any) -> str:
    """Text for one cell of a table.

    >>> format_cell(0.000123456), format_cell(None), format_cell([1.0, 2.5])
    ('0.0001235', '-', '[1, 2.5]')
    """
    if value is None:
        return "-"
    if hasattr(value, "__array__"):
        value = np.asarray(value).tolist()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(format_cell(item) for item in value) + "]"
    return str(value)
