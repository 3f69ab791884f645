"""The experiment of dense orbits, small: run folder, figures, resume."""

import json

import pytest

from experiments import dense_orbits


def test_run_and_resume(tmp_path, capsys, forbid):
    config = dense_orbits.Config(
        maps=("tent", "sine"),
        points=(1,),
        budget_points=(1, 2),
        steps=2**13,
        sets=2,
        targets=32,
        root=tmp_path,
    )
    folder = dense_orbits.main(config)
    found = json.loads((folder / "results.json").read_text())["values"]
    assert found["maps"]["tent"]["exponent"] == pytest.approx(0.6931, abs=1e-4)
    assert found["depth"]["tent-K1"]["exponent"] == pytest.approx(1, abs=0.3)
    assert found["budget"]["K2"]["exponent"] == pytest.approx(-0.5, abs=0.15)
    assert found["rounding"]["tent"]["at_zero"] == 1
    for name in ("depth", "density", "budget"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 5000
    assert "Exponent of the median smallest depth" in capsys.readouterr().out

    forbid(dense_orbits, "fit")
    assert dense_orbits.main(config) == folder


def test_unknown_maps_are_refused(tmp_path):
    with pytest.raises(SystemExit, match="maps must be among tent"):
        dense_orbits.main(dense_orbits.Config(maps=("circle",), root=tmp_path))
