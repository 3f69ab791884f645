import io
import sys

import numpy as np
import pytest

from nsjax import runs
from nsjax.runs.terminal import format_cell


def test_progress_is_silent_off_a_terminal(capsys):
    assert list(runs.progress(range(3), description="cells")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_progress_on_request(capsys):
    items = runs.progress(iter("abc"), total=3, description="cells", show=True)
    assert list(items) == ["a", "b", "c"]
    out, err = capsys.readouterr()
    assert out == ""
    assert "cells: 100%" in err
    assert "3/3" in err


def test_progress_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(runs.progress([1])) == [1]
    assert "1/1" in capsys.readouterr().err


def test_counter_counts_what_is_done_at_once(capsys):
    with runs.counter(10, description="members", show=True) as done:
        done(3)
        assert " 3/10" in capsys.readouterr().err
        done(10)
        assert "members: 100%" in capsys.readouterr().err
    capsys.readouterr()
    with runs.counter(10) as done:
        done(5)
    assert capsys.readouterr() == ("", "")


def test_missing_tqdm_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert list(runs.progress([1], show=False)) == [1]
    with pytest.raises(ImportError, match=r"pip install 'nsjax\[run\]'"):
        runs.progress([1], show=True)


def test_table_shows_everything_as_it_is():
    file = io.StringIO()
    rows = [("[red]a[/red]", 1e-8, None), ("b" * 60, np.float32(0.5), [1.0, 2.0])]
    runs.print_table("Escape [times]", ["what", "value", "rest"], rows, file=file)
    text = file.getvalue()
    for piece in ("Escape [times]", "[red]a[/red]", "1e-08", "b" * 60, "0.5", "[1, 2]"):
        assert piece in text


def test_table_rows_must_fit():
    with pytest.raises(ValueError, match="wanted 2 cells, got 1"):
        runs.print_table("", ["a", "b"], [(1,)])


@pytest.mark.parametrize(
    ("value", "text"), [(np.int64(3), "3"), (True, "True"), (float("nan"), "nan"), ("x", "x")]
)
def test_cells(value, text):
    assert format_cell(value) == text
