"""The KKT landscape experiment, small: run folder, figures, resume, own data, bad input."""

import dataclasses
import json

import numpy as np
import pytest

from experiments import kkt_landscape
from nsjax import data, runs


@pytest.fixture
def config(tmp_path):
    """One small network on few samples."""
    return kkt_landscape.Config(
        degrees=(2,),
        slopes=(0.0,),
        samples=20,
        dimension=3,
        teacher=2,
        starts=16,
        searches=2,
        width=3,
        snapshots=6,
        scale=0.1,
        horizon=3.0,
        root=tmp_path / "runs",
    )


def test_run_and_resume(config, capsys, forbid):
    """It leaves a manifest, cells, results and figures; a rerun computes nothing again."""
    folder = kkt_landscape.main(config)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    assert manifest["default_dtype"] == "float64"
    name = "teacher-L2-p2-a0"
    values = runs.read_results(folder)[1][name]
    assert values["values"][0] == max(values["values"])
    assert sum(values["shares"]) == pytest.approx(1)
    assert values["loss"][1] < 0.98 * values["loss"][0]
    for figure in (f"landscape-{name}", f"circle-{name}", f"path-{name}", f"alignment-{name}"):
        assert (folder / "figures" / f"{figure}.png").stat().st_size > 5000
        assert (folder / "figures" / f"{figure}.pdf").exists()
    assert (folder / "figures" / "largest-teacher.png").exists()
    printed = capsys.readouterr().out
    assert "KKT points at the origin" in printed
    assert "Along training" in printed

    with runs.open_run(config.root, "kkt_landscape", config, seed=config.seed) as run:
        arrays, _ = run.cell(f"path-{name}").load()
    assert arrays["ts"][0] == 0
    assert np.all(np.diff(arrays["losses"]) < 1e-5)
    assert arrays["alignment"].shape[:2] == (len(arrays["ts"]), config.width)
    np.testing.assert_allclose(np.nanmax(arrays["values"][0]), values["values"][0], rtol=1e-3)

    forbid(kkt_landscape.kkt, "search_neuron")
    forbid(kkt_landscape.dynamics, "gradient_flow")
    assert kkt_landscape.main(config) == folder


def test_own_data_and_a_deeper_network(config, tmp_path):
    """An npz file with two outputs, three layers, a neuron of the second hidden one."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(15, 3))
    path = tmp_path / "my set.npz"
    np.savez(path, x=x, y=np.stack([x[:, 0], x[:, 1] - x[:, 2]], axis=1))
    deeper = dataclasses.replace(
        config, data=(f"npz:{path}",), depths=(3,), degrees=(1,), slopes=(1.0,), layer=2
    )
    results = runs.read_results(kkt_landscape.main(deeper))[1]
    ((name, values),) = results.items()
    assert name.startswith("my_set_")
    # Linear networks of three layers: N* = 3^(-3/2) times the largest singular value.
    y = np.load(path, allow_pickle=False)["y"]
    largest = np.linalg.svd(y.T @ x, compute_uv=False)[0]
    assert values["values"][0] == pytest.approx(3**-1.5 * largest, rel=1e-6)


def test_dead_data_leave_a_landscape_alone(config, capsys):
    """A linear neuron does not see centred modular addition: nothing to train, and it says so."""
    dead = dataclasses.replace(config, data=("modular",), modulus=3, degrees=(1,), slopes=(1.0,))
    folder = kkt_landscape.main(dead)
    values = runs.read_results(folder)[1]["modular-L2-p1-a1"]
    assert values["values"] == [0.0]
    assert "loss" not in values
    assert "the NCF vanishes" in capsys.readouterr().err
    assert not list((folder / "figures").glob("path*"))


def test_a_loss_that_does_not_drop_in_time(config, monkeypatch):
    """The path ends with the wait; its figure has one column."""
    monkeypatch.setattr(kkt_landscape, "FIRST_DROP", 1e-12)
    folder = kkt_landscape.main(config)
    with runs.open_run(config.root, "kkt_landscape", config, seed=config.seed) as run:
        arrays, values = run.cell("path-teacher-L2-p2-a0").load()
    assert values["drop"] == len(arrays["ts"]) - 1
    assert values["flow"] == "the horizon was reached"
    assert (folder / "figures" / "path-teacher-L2-p2-a0.png").exists()


def test_the_contents_of_a_file_are_part_of_its_name(config, tmp_path):
    """Changed data do not meet the cells of the old ones, and are refused in an old folder."""
    names = []
    for scale in (1.0, 2.0):
        np.savez(tmp_path / "set.npz", x=np.ones((2, 2)), y=scale * np.ones(2))
        own = dataclasses.replace(config, data=(f"npz:{tmp_path / 'set.npz'}",))
        names += [case.name for case, _, _ in kkt_landscape.sweep(own)]
        if scale == 1:
            with runs.open_run(
                own.root, "kkt_landscape", own, seed=own.seed, data=data.npz_contents(own.data)
            ):
                pass
    assert len(set(names)) == 2
    with pytest.raises(runs.RunError, match=r"data\.npz:.*set\.npz"):
        kkt_landscape.main(own)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": ("cifar",)}, "data must be one of teacher, modular, diabetes, linnerud or npz"),
        ({"data": ("npz:/no/such/file.npz",)}, "there is no data file /no/such/file.npz"),
        ({"depths": (4,)}, r"depths must be 2 or 3, got \(4,\)"),
        ({"layer": 2}, "layer must be a hidden layer of every depth, got 2"),
        ({"slopes": ()}, "data, degrees and slopes must each name at least one"),
        ({"degrees": (0,)}, "p must be a positive integer, got 0"),
        ({"data": ("modular",), "modulus": 1}, "modulus must be at least 2, got 1"),
    ],
)
def test_bad_settings_stop_before_a_run_is_opened(config, change, message):
    """In one line, and no folder is left."""
    with pytest.raises(SystemExit, match=f"error: {message}"):
        kkt_landscape.main(dataclasses.replace(config, **change))
    assert not config.root.exists()


def test_presets_and_the_command_line():
    """Presets differ; overrides win."""
    words = ["--preset", "full", "--seed", "7", "--modulus", "3"]
    full = runs.parse(kkt_landscape.Config, kkt_landscape.PRESETS, words)
    assert full.seed == 7
    cases = [case.name for case, _, _ in kkt_landscape.sweep(full)]
    assert len(set(cases)) == len(cases) == 27
