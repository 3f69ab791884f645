import json
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from matplotlib.figure import Figure

from nsjax import runs
from nsjax.runs.cli import main


@dataclass(frozen=True)
class Config:
    preset: str = "quick"
    delta: float = 0.1


@pytest.fixture
def folders(tmp_path, capsys):
    paths = []
    for delta in (0.1, 0.01):
        with runs.open_run(
            tmp_path, "escape", Config(delta=delta), seed=0, command=f"escape --delta {delta}"
        ) as run:
            run.cell("a").save({"x": np.ones(2)}, {})
            run.save_figure(Figure(), "escape")
            run.save_results({"x": np.ones(2)}, {"slope": {"q3": -delta}, "same": 7})
            runs.print_table("Slopes", ["q", "slope"], [["3", -delta]])
        paths.append(run.path)
    capsys.readouterr()
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
        assert "escape --delta 0.1" in text
        assert "escape" in text


def test_list_tells_a_run_at_work_from_one_that_was_killed(folders, capsys):
    root, first, _ = folders
    manifest = json.loads((first / "manifest.json").read_text())
    manifest["status"] = "running"
    (first / "manifest.json").write_text(json.dumps(manifest))
    assert main(["list", str(first)]) == 0
    assert "unfinished" in capsys.readouterr().out
    with runs.open_run(root, "escape", Config(delta=0.1), seed=0):
        assert main(["list", str(first)]) == 0
        assert "running" in capsys.readouterr().out


def test_without_words_it_lists(folders, capsys, monkeypatch):
    root, first, _ = folders
    monkeypatch.chdir(root.parent)
    root.rename("runs")
    assert main([]) == 0
    assert first.name in capsys.readouterr().out


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
    for piece in ("Slopes", "escape.png", "report.html", "wall time", "machine.cores"):
        assert piece in text


def test_show_writes_the_report_of_an_older_run(folders, capsys):
    _, first, second = folders
    for folder in (first, second):
        (folder / "report.html").unlink()
    (first / "tables.json").unlink()
    assert main(["show", "--html", str(first), str(second)]) == 0
    assert capsys.readouterr().out == f"{first / 'report.html'}\n{second / 'report.html'}\n"
    assert "Slopes" not in (first / "report.html").read_text()
    assert "Slopes" in (second / "report.html").read_text()


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
    for piece in ("slope.q3", "-0.1", "-0.01", "+0.09", "same", "none"):
        assert piece in results
    assert "The versions are the same." in settings


def test_compare_names_versions_that_differ(folders, capsys):
    _, first, second = folders
    manifest = json.loads((second / "manifest.json").read_text())
    manifest["versions"]["jax"] = "0.0.1"
    (second / "manifest.json").write_text(json.dumps(manifest))
    assert main(["compare", str(first), str(second)]) == 0
    versions = capsys.readouterr().out.split("Versions that differ")[1].split("Results")[0]
    assert "0.0.1" in versions
    assert "numpy" not in versions


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
        (["show", "--html", "absent"], "absent is no run folder"),
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


@pytest.mark.parametrize("words", [["--help"], ["list", "--help"], ["show", "--help"]])
def test_help(capsys, words):
    with pytest.raises(SystemExit) as leaving:
        main(words)
    assert leaving.value.code == 0
    text = capsys.readouterr().out
    assert f"usage: {' '.join(['python -m nsjax.runs', *words[:-1]])}" in text
    assert "Exit code: 0; 1 where" in text


def test_as_a_module(tmp_path):
    command = [sys.executable, "-m", "nsjax.runs", "list", str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert answer.stderr == f"error: {tmp_path} holds no runs\n"
