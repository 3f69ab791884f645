import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from nsjax import runs
from nsjax.runs import cli
from nsjax.runs.submit import Command, commands, submit

SCRIPT = Path(__file__).with_name("toy_script.py")
CLUSTER = Path(__file__).parents[2] / "docs" / "cluster"


def test_a_line_for_each_combination():
    lines = commands("a.py", ["--b"], {"seed": ["0", "1"], "delta": ["0.1"]})
    assert [line[0] for line in lines] == [sys.executable] * 2
    assert [" ".join(line[1:]) for line in lines] == [
        "a.py --b --seed 0 --delta 0.1",
        "a.py --b --seed 1 --delta 0.1",
    ]
    assert len(commands("a.py", [], {})) == 1


def test_jobs_on_this_machine(tmp_path):
    """The command returns, and two processes of their own finish two runs."""
    words = ["submit", str(SCRIPT), "--vary", "points", "2", "3", "--cluster", "local"]
    words += ["--jobs", str(tmp_path / "jobs"), "--", "--root", str(tmp_path / "runs")]
    done = subprocess.run(
        [sys.executable, "-m", "nsjax.runs", *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "--points 3" in done.stdout
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = [
            runs.read_manifest(path.parent) for path in tmp_path.glob("runs/*/*/manifest.json")
        ]
        if [each["status"] for each in found] == ["finished"] * 2:
            break
        time.sleep(0.2)
    assert sorted(each["config"]["points"] for each in found) == [2, 3]


# submitit leaves the files open in which jobs that it runs itself print.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_job_gives_its_result(tmp_path):
    [job] = submit(
        SCRIPT,
        ["--root", str(tmp_path / "runs")],
        vary={"points": ["4"]},
        folder=tmp_path / "jobs",
        cluster="debug",
    )
    assert job.result() == 0
    [path] = tmp_path.glob("runs/*/*/manifest.json")
    assert len(runs.load(path.parent).arrays["sums"]) == 4


def test_a_job_that_fails_says_so():
    with pytest.raises(RuntimeError, match=r"-c import sys; sys.exit\(4\) ended with code 4"):
        Command([sys.executable, "-c", "import sys; sys.exit(4)"])()
    again = Command(["a"]).checkpoint()
    assert again.function.words == ["a"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.py", "--vary", "seed", "1"], "there is no script nowhere.py"),
        ([str(SCRIPT), "--vary", "seed"], "--vary seed wants values"),
    ],
)
def test_bad_sweeps(capsys, words, said):
    assert cli.main(["submit", *words]) == 2
    assert said in capsys.readouterr().err


def test_without_submitit_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert cli.main(["submit", str(SCRIPT)]) == 2
    assert "pip install 'nsjax[cluster]'" in capsys.readouterr().err


def test_the_slurm_script_is_one():
    subprocess.run(["bash", "-n", str(CLUSTER / "slurm.sh")], check=True)
    text = (CLUSTER / "slurm.sh").read_text()
    assert text.startswith("#!/bin/bash\n")
    assert 'srun --kill-on-bad-exit=0 .venv/bin/python "$@" --distributed' in text


def test_the_manifest_starts_as_many_processes_as_it_says():
    service, job = yaml.safe_load_all((CLUSTER / "kubernetes.yaml").read_text())
    spec = job["spec"]
    pod = spec["template"]["spec"]
    words = dict(
        word.removeprefix("--").split("=")
        for word in pod["containers"][0]["command"]
        if "=" in word
    )
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"] == int(words["processes"])
    assert words["coordinator"].startswith(f"{job['metadata']['name']}-0.{pod['subdomain']}:")
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
