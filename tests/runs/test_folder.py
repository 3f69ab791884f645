import dataclasses
import errno
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field

import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import runs
from nsjax.runs import cells, provenance, storage


@dataclass(frozen=True)
class Inner:
    degree: int = 2


@dataclass(frozen=True)
class Other:
    degree: int = 2


@dataclass(frozen=True)
class Config:
    preset: str = "quick"
    deltas: tuple[float, ...] = (0.1, 0.01)
    horizon: float = float("inf")
    norm: str = "inf"
    inner: Inner | Other = Inner()
    show: bool = field(default=True, compare=False)


CONFIG = Config()


@pytest.fixture(autouse=True)
def fixed_commit(request, monkeypatch):
    if "commit" not in request.node.name:
        monkeypatch.setattr(provenance, "commit", lambda: None)


def opened(root, config=CONFIG, **options):
    return runs.open_run(root, "escape", config, seed=0, **options)


def left(root, config=CONFIG):
    """A run that was opened, and whose process has gone."""
    run = opened(root, config)
    run._lock.release()
    return run


def manifest_of(run):
    return json.loads((run.path / "manifest.json").read_text())


def test_a_run_leaves_a_whole_folder(tmp_path):
    from matplotlib.figure import Figure

    figure = Figure()
    figure.add_subplot().plot([0, 1], [1, 0])
    with opened(tmp_path, command=["escape", "--x"]) as run:
        assert manifest_of(run)["status"] == "running"
        run.cell("p=2").save({"loss": jnp.arange(3.0)}, {"time": float("nan"), "steps": 3})
        run.save_results({"slopes": np.array([-1.0])}, {"slope": {"q3": -1.0}, "gap": np.inf})
        assert run.save_figure(figure, "loss") == run.path / "figures" / "loss.png"
        run.log("half way")
    manifest = manifest_of(run)
    assert run.path.parent == tmp_path / "escape"
    assert run.path.name == f"quick-{runs.config_hash(CONFIG, seed=0)[:8]}"
    assert manifest["schema"] == 1
    assert manifest["status"] == "finished"
    assert manifest["error"] is None
    assert manifest["seed"] == 0
    assert manifest["command"] == ["escape", "--x"]
    assert manifest["config"]["deltas"] == [0.1, 0.01]
    assert manifest["config"]["horizon"] == "inf"
    assert manifest["config"]["inner"] == {"degree": 2}
    assert manifest["default_dtype"] == "float64"
    assert manifest["x64"] is True
    assert manifest["device"]["count"] >= 1
    assert {"python", "jax", "jaxlib", "numpy", "diffrax", "optax", "flax", "nsjax"} < set(
        manifest["versions"]
    )
    assert manifest["git"] is None
    assert [sitting["status"] for sitting in manifest["history"]] == ["finished"]
    files = {str(p.relative_to(run.path)) for p in run.path.rglob("*") if p.is_file()}
    assert files == {
        "manifest.json",
        ".lock",
        "log.txt",
        "log.jsonl",
        "results.json",
        "results.npz",
        "report.html",
        *(os.path.join("cells", f"p=2.{ending}") for ending in ("json", "npz")),
        *(os.path.join("figures", f"loss.{ending}") for ending in ("png", "pdf", "svg")),
    }
    assert (run.path / "figures" / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert (run.path / "figures" / "loss.pdf").read_bytes().startswith(b"%PDF")
    assert "half way" in (run.path / "log.txt").read_text()

    arrays, values = run.cell("p=2").load()
    np.testing.assert_array_equal(arrays["loss"], np.arange(3.0))
    assert values["steps"] == 3
    assert np.isnan(values["time"])
    arrays, values = run.load_results()
    np.testing.assert_array_equal(arrays["slopes"], [-1.0])
    assert values == {"slope": {"q3": -1.0}, "gap": np.inf}


def sweep(root, names, computed, stop_at=None):
    with opened(root) as run:
        for name in names:
            cell = run.cell(name)
            if cell.finished:
                continue
            if name == stop_at:
                raise KeyboardInterrupt
            computed.append(name)
            cell.save({"x": np.ones(2)}, {"name": name})
    return run


def test_resume_skips_finished_cells_and_keeps_created(tmp_path):
    computed = []
    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path, "abcd", computed, stop_at="c")
    (folder,) = (tmp_path / "escape").iterdir()
    first = json.loads((folder / "manifest.json").read_text())
    assert first["status"] == "interrupted"
    first["created"] = "2001-01-01T00:00:00+00:00"
    (folder / "manifest.json").write_text(json.dumps(first))
    run = sweep(tmp_path, "abcd", computed)
    assert computed == list("abcd")
    assert run.path == folder
    manifest = manifest_of(run)
    assert manifest["created"] == "2001-01-01T00:00:00+00:00"
    assert [s["status"] for s in manifest["history"]] == ["interrupted", "finished"]
    assert manifest["status"] == "finished"
    assert {"started", "ended", "versions", "device", "git"} <= set(manifest["history"][0])
    assert "resumed" in (folder / "log.txt").read_text()


def test_a_failed_run_says_why_and_loses_the_error_on_success(tmp_path):
    with pytest.raises(ValueError, match="no saddle"), opened(tmp_path) as run:
        raise ValueError("no saddle: gradient 3e-2")
    assert manifest_of(run)["status"] == "failed"
    assert manifest_of(run)["error"] == "ValueError: no saddle: gradient 3e-2"
    with opened(tmp_path) as run:
        pass
    assert manifest_of(run)["status"] == "finished"
    assert manifest_of(run)["error"] is None
    assert manifest_of(run)["history"][0]["error"] == "ValueError: no saddle: gradient 3e-2"


@pytest.mark.parametrize(("code", "status"), [(0, "finished"), (None, "finished"), (1, "failed")])
def test_leaving_by_exit(tmp_path, code, status):
    with pytest.raises(SystemExit), opened(tmp_path) as run:
        raise SystemExit(code)
    assert manifest_of(run)["status"] == status


def test_killed_between_npz_and_json(tmp_path, monkeypatch, capsys):
    run = opened(tmp_path)
    cell = run.cell("a")
    cell.save({"x": np.zeros(1)}, {})

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(storage, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        cell.save({"x": np.ones(1)}, {})
    monkeypatch.undo()
    again = run.cell("a")
    assert again.npz_path.exists()
    assert not again.finished
    assert "its JSON file is missing" in capsys.readouterr().err
    with pytest.raises(runs.RunError, match="cell a cannot be loaded: its JSON file is missing"):
        again.load()
    again.save({"x": np.full(1, 2.0)}, {})
    assert again.finished
    np.testing.assert_array_equal(again.load()[0]["x"], [2.0])


def test_killed_process_leaves_finished_cells_only(tmp_path):
    code = f"""
import os
import numpy as np
from dataclasses import dataclass
from nsjax.runs import open_run, storage

@dataclass(frozen=True)
class Config:
    preset: str = "quick"

run = open_run({str(tmp_path)!r}, "kill", Config(), seed=0)
run.cell("a").save({{"x": np.ones(2)}}, {{}})
storage.write_json = lambda *_: os._exit(9)
run.cell("b").save({{"x": np.ones(2)}}, {{}})
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    (folder,) = (tmp_path / "kill").iterdir()
    assert json.loads((folder / "manifest.json").read_text())["status"] == "running"
    report = []
    found = {name: cells.Cell(folder / "cells", name, report.append).finished for name in "abc"}
    assert found == {"a": True, "b": False, "c": False}
    assert len(report) == 1


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda cell: flip(cell.npz_path), "not the one that was saved"),
        (lambda cell: cell.npz_path.write_bytes(b""), "not the one that was saved"),
        (lambda cell: cell.npz_path.unlink(), "npz file is missing"),
        (lambda cell: cell.json_path.write_text('{"schema": 1,'), "JSON file is damaged"),
        (lambda cell: cell.json_path.write_bytes(b"\xff\xfe"), "JSON file is damaged"),
        (lambda cell: cell.json_path.write_text("[]"), "has not schema 1"),
        (lambda cell: cell.json_path.write_text('{"schema": 2}'), "has not schema 1"),
    ],
)
def test_a_damaged_cell_is_reported_once_and_redone(tmp_path, capsys, damage, words):
    run = opened(tmp_path)
    cell = run.cell("a")
    cell.save({"x": np.arange(100.0)}, {})
    damage(cell)
    assert not cell.finished
    assert not cell.finished
    assert capsys.readouterr().err.count(words) == 1
    assert words in (run.path / "log.txt").read_text()
    with pytest.raises(runs.RunError, match=words):
        cell.load()
    cell.save({"x": np.arange(100.0)}, {})
    assert cell.finished


def test_a_cell_never_saved(tmp_path, capsys):
    cell = opened(tmp_path).cell("a")
    assert not cell.finished
    assert capsys.readouterr().err == ""
    with pytest.raises(runs.RunError, match="it has not been saved"):
        cell.load()


def test_hash_is_stable():
    text = (
        '[{"deltas": [0.1, 0.01], "horizon": "inf", "inner": {"class": "Inner", "degree": 2}, '
        '"norm": "inf", "preset": "quick"}, 0]'
    )
    assert runs.config_hash(CONFIG, seed=0) == hashlib.sha256(text.encode()).hexdigest()
    assert runs.config_hash(CONFIG, seed=0).startswith("1258b0b1")


@pytest.mark.parametrize(
    "change",
    [
        {"preset": "full"},
        {"deltas": (0.1,)},
        {"horizon": 1.0},
        {"inner": Inner(3)},
        {"inner": Other()},
    ],
)
def test_hash_tells_configs_apart(change):
    changed = dataclasses.replace(CONFIG, **change)
    assert runs.config_hash(changed) != runs.config_hash(CONFIG)


def test_hash_of_equal_configs_is_equal():
    one, other = (dataclasses.replace(CONFIG, horizon=value) for value in (2, 2.0))
    assert one == other
    assert runs.config_hash(one) == runs.config_hash(other)
    assert runs.config_hash(dataclasses.replace(CONFIG, show=False)) == runs.config_hash(CONFIG)
    assert runs.config_hash(CONFIG, seed=0) != runs.config_hash(CONFIG, seed=1)


def test_presentation_only_fields_resume_the_same_folder(tmp_path):
    first = left(tmp_path)
    second = opened(tmp_path, dataclasses.replace(CONFIG, show=False))
    assert first.path == second.path
    assert manifest_of(second)["config"]["show"] is False


def test_seeds_have_their_own_folders(tmp_path):
    paths = {runs.open_run(tmp_path, "escape", CONFIG, seed=seed).path for seed in (0, 1)}
    assert len(paths) == 2


def altered(run, **changes):
    manifest = manifest_of(run)
    manifest.update(changes)
    (run.path / "manifest.json").write_text(json.dumps(manifest))


def test_another_schema_is_refused(tmp_path):
    altered(left(tmp_path), schema=2)
    with pytest.raises(runs.RunError, match="has schema 2, this version reads 1"):
        opened(tmp_path)


def test_another_config_is_refused(tmp_path):
    run = left(tmp_path)
    altered(run, config={**manifest_of(run)["config"], "inner": {"degree": 7}})
    with pytest.raises(runs.RunError, match=r"config\.inner\.degree is 7 there and 2 here"):
        opened(tmp_path)


def test_other_versions_are_refused_unless_asked_for(tmp_path):
    run = left(tmp_path)
    versions = {**manifest_of(run)["versions"], "jax": "0.1"}
    altered(run, versions=versions)
    left(tmp_path)  # nothing is computed yet
    run.cell("a").save({}, {})
    altered(run, versions=versions)
    with pytest.raises(runs.RunError, match=r"versions\.jax is '0\.1' there and .* --mix-versions"):
        opened(tmp_path)
    opened(tmp_path, mix_versions=True)


def test_other_data_are_refused(tmp_path):
    data = {"x": np.arange(6.0).reshape(2, 3), "file": b"contents"}
    with opened(tmp_path, data=data):
        pass
    with opened(tmp_path, data=data):
        pass
    for name, other in {"x": data["x"].reshape(3, 2), "file": b"others"}.items():
        with pytest.raises(runs.RunError, match=rf"data\.{name} is '[0-9a-f]{{64}}' there"):
            opened(tmp_path, data={**data, name: other})


def test_two_processes_do_not_share_a_folder(tmp_path):
    with opened(tmp_path) as run:
        before = manifest_of(run)
        with pytest.raises(runs.RunError, match=f"is in use by process {os.getpid()} on "):
            opened(tmp_path)
        assert manifest_of(run) == before
    with opened(tmp_path):
        pass


def test_a_read_only_folder_is_named(tmp_path, monkeypatch):
    """As the system refuses it; root, which may run the tests, could write everywhere."""

    def refused(self, *args, **kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(type(tmp_path), "mkdir", refused)
    with pytest.raises(runs.RunError, match=r"cannot write to .*Permission denied; choose another"):
        opened(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_is_a_file_is_named(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(runs.RunError, match=r"cannot write to .*; choose another root"):
        opened(tmp_path / "runs")


def test_a_disk_that_fills_up_loses_nothing(tmp_path, monkeypatch):
    with opened(tmp_path) as run:
        run.cell("a").save({"x": np.ones(3)}, {})

        def full(descriptor):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(storage.os, "fsync", full)
        for name in ("a", "b"):
            with pytest.raises(OSError, match="No space left"):
                run.cell(name).save({"x": np.zeros(3)}, {})
        monkeypatch.undo()
        assert not list(run.path.rglob("*.tmp"))
        assert not run.cell("b").finished
    with opened(tmp_path) as run:
        run.cell("b").save({}, {})
    assert set(runs.load(run.path).cells) >= {"b"}


def test_everything_loads_in_one_call(tmp_path):
    with opened(tmp_path) as run:
        for name in "ab":
            run.cell(name).save({"x": np.full(2, ord(name))}, {"name": name, "gap": np.inf})
        run.cell("c").save({"x": np.ones(3)}, {})
        flip(run.cell("c").npz_path)
        assert runs.load(run.path).arrays == {}
        run.save_results({"slopes": np.ones(2)}, {"best": 1})
    past = runs.load(run.path)
    assert past.manifest["status"] == "finished"
    assert past.arrays["slopes"].tolist() == [1, 1]
    assert past.values == {"best": 1}
    assert set(past.cells) == {"a", "b"}
    assert past.cells["a"][0]["x"].tolist() == [97, 97]
    assert past.cells["b"][1] == {"name": "b", "gap": np.inf}


def test_the_log_is_kept_for_programs_too(tmp_path):
    with opened(tmp_path) as run:
        run.log("half way", rate=2.5, done=3)
    records = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert [each["message"] for each in records] == ["started", "half way", "finished"]
    assert records[1]["rate"] == 2.5
    assert records[1]["process"] == 0


def square(number):
    return {"x": np.full(2, number)}, {"square": number**2}


def test_a_sweep_computes_what_is_not_finished(tmp_path):
    computed = []

    def compute(number):
        computed.append(number)
        return square(number)

    for stop in (2, 9):
        with opened(tmp_path) as run:
            found = []
            for point, arrays, values in run.sweep(iter((3, 1, 4)), str, compute):
                found.append((point, arrays["x"].tolist(), values["square"]))
                if len(found) == stop:
                    break
    assert computed == [3, 1, 4]
    assert found == [(3, [3, 3], 9), (1, [1, 1], 1), (4, [4, 4], 16)]
    assert "cell 4: " in (run.path / "log.txt").read_text()
    with opened(tmp_path) as run:
        # Left by a process that was killed when the cell was saved.
        left = run.path / "checkpoints" / "4"
        left.mkdir(parents=True)
        assert [point for point, _, _ in run.sweep([4], str, compute)] == [4]
        assert not left.exists()
    with opened(tmp_path) as run:
        assert run.once("5", lambda: square(5))[1] == {"square": 25}
        with pytest.raises(runs.RunError, match="cell of its own, got 'a' twice"):
            list(run.sweep("xy", lambda _: "a", square))


def test_a_damaged_manifest_is_refused(tmp_path):
    run = left(tmp_path)
    (run.path / "manifest.json").write_text("{")
    with pytest.raises(runs.RunError, match="is no valid JSON"):
        opened(tmp_path)


def test_cells_without_a_manifest_are_refused(tmp_path):
    run = left(tmp_path)
    run.cell("a").save({}, {})
    (run.path / "manifest.json").unlink()
    with pytest.raises(runs.RunError, match="holds cells but no manifest"):
        opened(tmp_path)


def test_damaged_results_are_refused(tmp_path):
    run = opened(tmp_path)
    with pytest.raises(runs.RunError, match="has no results"):
        run.load_results()
    run.save_results({"x": np.ones(50)}, {})
    flip(run.path / "results.npz")
    with pytest.raises(runs.RunError, match="not the file that was saved"):
        run.load_results()


@pytest.mark.parametrize("name", ["../outside", "a/b", "", "..", ".hidden"])
def test_bad_names_write_nothing(tmp_path, name):
    with pytest.raises(ValueError, match="experiment name"):
        runs.open_run(tmp_path / "runs", name, CONFIG, seed=0)
    assert not (tmp_path / "runs").exists()
    run = opened(tmp_path)
    with pytest.raises(ValueError, match="cell name"):
        run.cell(name)
    with pytest.raises(ValueError, match="figure name"):
        run.save_figure(None, name)
    with pytest.raises(ValueError, match="array name"):
        run.cell("a").save({name: np.ones(1)}, {})


def test_bad_config_and_seed(tmp_path):
    with pytest.raises(TypeError, match="config must be a dataclass"):
        runs.open_run(tmp_path, "escape", {"a": 1}, seed=0)
    with pytest.raises(TypeError, match=r"seed must be an integer, got 0\.5"):
        runs.open_run(tmp_path, "escape", CONFIG, seed=0.5)


def test_commit_of_a_checkout(tmp_path, monkeypatch):
    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    monkeypatch.setattr(
        sys.modules["__main__"], "__file__", str(tmp_path / "script.py"), raising=False
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.commit() is None
    git("init")
    assert provenance.commit() is None
    (tmp_path / "script.py").write_text("")
    git("add", ".")
    git("commit", "-m", "one")
    found = provenance.commit()
    assert found is not None
    assert len(found["commit"]) == 40
    assert found["dirty"] is False
    (tmp_path / "script.py").write_text("x")
    assert provenance.commit() == {"commit": found["commit"], "dirty": True}
    monkeypatch.setenv("PATH", "")
    assert provenance.commit() is None


def test_texts_are_kept_beside_the_figures(tmp_path):
    """As they are, in UTF-8, and again if saved again; never outside their folder."""
    with opened(tmp_path) as run:
        path = run.save_text('{"π": 1}', "formula.json")
        assert path == run.path / "texts" / "formula.json"
        run.save_text("two\nlines", "formula.json")
        assert path.read_bytes() == b"two\nlines"
        with pytest.raises(ValueError, match=r"text name '../manifest.json'"):
            run.save_text("", "../manifest.json")
        with pytest.raises(TypeError, match="text must be a string, got bytes"):
            run.save_text(b"", "formula.json")
        assert [file.name for file in path.parent.iterdir()] == ["formula.json"]
