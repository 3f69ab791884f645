import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from nsjax import runs
from nsjax.runs.cli import main


@dataclass(frozen=True)
class Config:
    preset: str = "quick"
    delta: float = 0.1


@pytest.fixture
def folders(tmp_path):
    paths = []
    for delta in (0.1, 0.01):
        with runs.open_run(tmp_path, "escape", Config(delta=delta), seed=0) as run:
            run.cell("a").save({"x": np.ones(2)}, {})
            run.save_results({"x": np.ones(2)}, {"slope": {"q3": -delta}, "same": 7})
        paths.append(run.path)
    return tmp_path, *paths


def test_list(folders, capsys):
    root, first, second = folders
    (first / "cells" / "b.npz").write_bytes(b"cut off")
    for place in (root, root / "escape", first):
        assert main(["list", str(place)]) == 0
        text = capsys.readouterr().out
        assert first.name in text
        assert (second.name in text) == (place != first)
        assert "1 finished, 1 damaged" in text
        assert "escape" in text


def test_list_shows_an_unreadable_run_among_the_others(folders, capsys):
    root, first, second = folders
    (first / "manifest.json").write_text("{")
    assert main(["list", str(root)]) == 0
    text = capsys.readouterr().out
    assert "unreadable" in text
    assert second.name in text


def test_show(folders, capsys):
    _, first, _ = folders
    assert main(["show", str(first)]) == 0
    text = capsys.readouterr().out
    for piece in ("finished", "versions.jax", "default_dtype", "delta", "slope.q3", "-0.1", "7"):
        assert piece in text


def test_show_without_results(folders, capsys):
    _, first, _ = folders
    (first / "results.json").unlink()
    assert main(["show", str(first)]) == 0
    assert "No results yet." in capsys.readouterr().out


def test_compare(folders, capsys):
    _, first, second = folders
    assert main(["compare", str(first), str(second)]) == 0
    settings, results = capsys.readouterr().out.split("Results")
    assert "delta" in settings
    assert "preset" not in settings
    for piece in ("slope.q3", "-0.1", "-0.01", "same"):
        assert piece in results


def test_compare_with_itself(folders, capsys):
    _, first, _ = folders
    assert main(["compare", str(first), str(first)]) == 0
    assert "The settings are the same." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "absent"], "absent is no folder"),
        (["list", "."], "holds no runs"),
        (["show", "absent"], "absent is no run folder"),
        (["compare", "absent", "absent"], "absent is no run folder"),
    ],
)
def test_friendly_errors(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err


def test_damaged_results_are_an_error(folders, capsys):
    _, first, _ = folders
    (first / "results.npz").write_bytes(b"")
    assert main(["show", str(first)]) == 2
    assert "is not the file that was saved" in capsys.readouterr().err


def test_as_a_module(tmp_path):
    command = [sys.executable, "-m", "nsjax.runs", "list", str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert answer.stderr == f"error: {tmp_path} holds no runs\n"
