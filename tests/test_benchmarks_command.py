"""The command that runs the benchmarks: what it starts, keeps, skips on resuming, and says."""

import json
import os

import pytest

from benchmarks import __main__ as command
from benchmarks import machine
from nsjax.runs.command import first_line

GOOD = '''"""Good one."""
import argparse
from pathlib import Path
from benchmarks import rows
from nsjax.runs import open_run
import dataclasses

@dataclasses.dataclass(frozen=True)
class Config:
    preset: str = "quick"
    times: float = 1.0

def main(config, root):
    with open_run(root, "benchmark_good", config, seed=0) as run:
        row = rows.against("thing", "small", "plain", [1.0, 1.0], [3.0, 5.0], least=3)
        run.save_results({}, {"rows": rows.to_json([row])})

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--preset")
    parser.add_argument("--root", type=Path)
    options = parser.parse_args()
    main(Config(options.preset), options.root)
'''
BAD = '"""Bad one."""\n\ndef main():\n    pass\n\nraise SystemExit("it broke")\n'
ABOUT = {
    "processor": "a processor",
    "cores": 2,
    "memory_gib": 8.0,
    "load": 0.0,
    "system": "a system",
    "device": {"platform": "cpu", "kind": "cpu", "count": 1},
    "xla": "xla",
    "dtype_of_jax": "float32",
    "dtype_of_scripts": "float64",
    "versions": {"jax": "1"},
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two benchmarks, of which one breaks, and a module that is none."""
    monkeypatch.setattr(command, "describe", lambda: ABOUT)
    monkeypatch.setattr(machine, "load", lambda: 9.0)
    (tmp_path / "bad.py").write_text(BAD)
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "shared.py").write_text("def helper():\n    pass\n")
    return tmp_path


def test_list_runs_nothing(folder, capsys):
    for words in ([], ["list"]):
        assert command.main(words, folder) == 0
        said = capsys.readouterr().out
        assert "Bad one." in said
        assert "shared" not in said


def test_a_failing_one_is_said_and_the_others_go_on(folder, tmp_path, capsys):
    target = tmp_path / "copy.json"
    words = ["all", "--root", str(tmp_path / "runs"), "--json", str(target)]
    assert command.main(words, folder) == 1
    said = capsys.readouterr().out
    assert "failed with exit code 1: it broke" in said
    assert "busy with other work" in said
    record = json.loads(target.read_text())
    good = record["benchmarks"]["good"]
    assert good["status"] == "finished"
    assert good["peak_mb"] > 1
    (row,) = good["rows"]
    assert (row["ratio"], row["spread"], row["outcome"]) == (4.0, [3.5, 4.5], "met")
    (root,) = (tmp_path / "runs" / "benchmarks").iterdir()
    assert json.loads((root / command.FILE).read_text()) == record
    # Mended, only what failed is run again.
    (folder / "bad.py").write_text(GOOD.replace("benchmark_good", "benchmark_bad"))
    before = os.path.getmtime(root / "good.log")
    assert command.main(["--resume", str(root)], folder) == 0
    record = json.loads((root / command.FILE).read_text())
    assert [each["status"] for each in record["benchmarks"].values()] == ["finished"] * 2
    assert os.path.getmtime(root / "good.log") == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none"], "no benchmark 'none'; there is: all, bad, good"),
        (["--preset", "quick"], "name a benchmark"),
        (["bad", "good", "--repeats", "3"], "for a single benchmark, got --repeats 3"),
        (["good", "--resume", "x"], "--resume takes names and settings"),
    ],
)
def test_bad_words(folder, capsys, words, said):
    assert command.main(words, folder) == 2
    assert said in capsys.readouterr().err


def test_resuming_what_is_no_run(folder, tmp_path, capsys):
    assert command.main(["--resume", str(tmp_path)], folder) == 1
    assert "holds no run of benchmarks" in capsys.readouterr().err


def test_every_benchmark_is_known_and_says_what_it_measures():
    known = command.scripts()
    assert {"cascade", "cp_training", "ensembles", "flow", "growth", "start_up"} <= set(known)
    assert not {"rows", "machine"} & set(known)
    assert all(first_line(path) for path in known.values())


def test_the_machine_of_this_process():
    assert 1 <= machine.cores() <= os.cpu_count()
    assert machine.processor()
    pages = machine.memory()
    assert pages is None or pages > 0.1
