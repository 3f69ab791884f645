import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nsjax import runs

SCRIPT = Path(__file__).with_name("toy_script.py")


def run_script(*words, cwd):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words], capture_output=True, text=True, cwd=cwd
    )


def only_run(root):
    [manifest] = root.glob("runs/toy_script/*/manifest.json")
    return manifest.parent


def test_interrupted_and_resumed(tmp_path):
    """SIGTERM in mid-sweep, then --resume FOLDER from elsewhere: as if nothing had happened."""
    words = ["--points", "5", "--seconds", "0.4"]
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), *words], stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        while not list(tmp_path.glob("runs/toy_script/*/cells/point1.json")):
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
    assert process.returncode == 130
    folder = only_run(tmp_path)
    assert "interrupted; go on with --resume runs/toy_script/" in said
    assert runs.read_manifest(folder)["status"] == "interrupted"
    assert not (folder / "cells" / "point4.json").exists()
    before = (folder / "cells" / "point1.json").read_bytes()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = run_script("--resume", str(folder), cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert only_run(tmp_path) == folder
    assert (folder / "cells" / "point1.json").read_bytes() == before
    past = runs.load(folder)
    assert past.manifest["status"] == "finished"
    assert [each["status"] for each in past.manifest["history"]] == ["interrupted", "finished"]
    np.testing.assert_array_equal(past.arrays["sums"], 3 * (np.arange(5) / 7) + 1)
    # A resumed run can be resumed again.
    assert run_script("--resume", str(folder), cwd=elsewhere).returncode == 0


def call(main=None, *words):
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        import toy_script
    finally:
        sys.path.pop(0)
    return runs.script(main or toy_script.main, toy_script.Config, toy_script.PRESETS, list(words))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["toy_script.py"])
    return tmp_path


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--resume", "nowhere"], 1, "nowhere is no run folder: it has no manifest.json"),
        (["--process", "1"], 2, "belong to --distributed"),
        (["--resume", "x", "--points", "3"], 2, "--resume takes the settings of the run, got"),
        (["--distributed", "--processes", "2"], 1, "go together, or are all read off the cluster"),
        (["--root", "file"], 1, "cannot write to file"),
    ],
)
def test_bad_words_about_the_job(here, capsys, words, code, said):
    (here / "file").write_text("")
    try:
        found = call(None, *words)
    except SystemExit as leaving:
        found = leaving.code
    assert found == code
    assert said in capsys.readouterr().err


def test_settings_that_are_refused_leave_with_a_line(here):
    with pytest.raises(SystemExit, match="error: points must be positive, got 0"):
        call(None, "--points", "0")


def test_a_run_is_not_resumed_with_changed_defaults(here, capsys, monkeypatch):
    assert call(None, "--points", "2") == 0
    folder = only_run(here)
    import toy_script

    changed = {"quick": toy_script.Config(seconds=0.1), "full": toy_script.PRESETS["full"]}
    monkeypatch.setattr(toy_script, "PRESETS", changed)
    assert call(None, "--resume", str(folder)) == 1
    assert "config.seconds is 0.0 there and 0.1 here" in capsys.readouterr().err


def test_another_scripts_run_is_refused(here, capsys, monkeypatch):
    assert call(None, "--points", "2") == 0
    monkeypatch.setattr(sys, "argv", ["other_script.py"])
    assert call(None, "--resume", str(only_run(here))) == 1
    assert "is a run of toy_script, not of other_script" in capsys.readouterr().err


def test_a_full_disk_ends_with_a_line(here, capsys):
    def main(config):
        raise OSError(28, "No space left on device", "runs/x")

    assert call(main) == 1
    assert "error: [Errno 28] No space left on device: 'runs/x'" in capsys.readouterr().err


def test_help_says_how_to_resume(here, capsys):
    with pytest.raises(SystemExit):
        call(None, "--help")
    assert "--resume FOLDER" in capsys.readouterr().out
