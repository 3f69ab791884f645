"""The map of kept sparsity, small: points, data, what is counted, run folder and resume."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest

import nsjax
from experiments import sparsity_map
from nsjax import networks


@pytest.fixture
def config(tmp_path):
    return sparsity_map.Config(root=tmp_path)


def escapes(rates, growth, *, expected=True):
    """Arrays of a cascade at a saddle of degree 3, made up."""
    count = len(rates)
    columns = {name: np.ones(count) for name in sparsity_map.COLUMNS}
    columns |= {"degrees": np.full(count, 3), "new": np.full(count, 1 if expected else 2)}
    columns |= {"expected": np.full(count, expected), "lost": np.zeros(count, int)}
    columns |= {name: np.array(rates) for name in ("rates", "own_rates", "ratios")}
    return columns | {"growth": np.array(growth), "cosines": np.zeros(count)}


def made_up(config, point):
    """Of the map, chi grows like delta up to a break at 1e-2 of seed 0; controls break."""
    if point.family in sparsity_map.CONTROLS:
        arrays = escapes([0.9, 0.8], [5.0, 9.0], expected=False)
    else:
        chi = 20 * point.delta if point.seed == 0 else point.delta
        arrays = escapes([chi / (1 + chi), 1e-4], [1 / (1 - chi), 1.0])
    return arrays, {"resolved": point.seed < 2, "skipped": 0, "message": "made up"}


def test_shares_predictions_and_resume(config, capsys, monkeypatch):
    """Six escapes at each delta, of which two unresolved; the one that breaks is predicted."""
    monkeypatch.setattr(sparsity_map, "follow", made_up)
    folder = sparsity_map.main(config)
    found = json.loads((folder / "results.json").read_text())["values"]
    small, large = found["teacher-0.0001"], found["teacher-0.01"]
    assert (small["escapes"], small["unresolved"]) == (4, 1)
    assert small["kept"][0] == 1
    assert large["kept"][0] == 0.75
    # Wilson's interval of three in four.
    np.testing.assert_allclose(large["kept"][1:3], [0.3006, 0.9544], atol=1e-4)
    assert large["cascades_kept"][0] == 0.5
    assert large["predicted"] == 0.75
    assert large["reasons"]["other grew, other point"] == 1
    assert found["twins-0.0001"]["kept"][0] == 0
    rule = found["rule"]["map"]
    assert (rule["below"][0], rule["above"][0], rule["found"][0]) == (1, 1, 1)
    for name in ("shares", "growth", "predictor"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 5000
    assert "The rule, known at departure" in capsys.readouterr().out
    monkeypatch.setattr(sparsity_map, "follow", None)
    assert sparsity_map.main(config) == folder


@pytest.mark.parametrize("name", [*sparsity_map.FAMILIES, *sparsity_map.CONTROLS])
def test_families_share_few_shapes(name):
    """What is filled up changes no output; a program for each depth and degree."""
    params, x, y, activation = sparsity_map.prepare(name, 1)
    family = sparsity_map.family_of(name)
    hidden = (sparsity_map.WIDTHS[family.depth],) * (family.depth - 1)
    assert [w.shape[0] for w in params] == [*hidden, 1]
    assert x.shape == (64, 6)
    assert y.shape == (64, 1)
    assert activation == nsjax.PolyLeakyReLU(family.p, 1.0)
    alive = np.linalg.norm(params[0], axis=1) > 0
    assert np.sum(alive) == family.width
    if family.start == "twins":
        np.testing.assert_array_equal(params[0][0:6:2], params[0][1:6:2])
        one = (params[0][::2], 2 * params[1][:, ::2])
        np.testing.assert_allclose(
            networks.apply(params, x, activation), networks.apply(one, x, activation), rtol=1e-12
        )
    assert bool(jnp.all(jnp.isfinite(y)))


def test_hundreds_of_cascades_in_the_full_preset():
    every = sparsity_map.points(sparsity_map.PRESETS["full"])
    assert len(every) == len(set(every)) >= 300
    left_out = {"deep", "deep-sparse"}
    families = {*sparsity_map.FAMILIES, *sparsity_map.CONTROLS} - left_out
    assert {point.family for point in every} == families


@pytest.mark.slow
def test_a_cascade_of_twins_breaks_and_one_of_a_teacher_is_counted(config):
    small = dataclasses.replace(
        config, families=("teacher",), controls=("twins",), p2=(1e-3,), seeds=1
    )
    folder = sparsity_map.main(small)
    found = json.loads((folder / "results.json").read_text())["values"]
    assert found["twins-0.0001"]["kept"][0] == 0
    assert found["twins-0.0001"]["reasons"]["two at once, same point"] >= 1
    assert found["teacher-0.001"]["escapes"] >= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"families": ("other",)}, "families and controls must be among teacher, .*, got 'other'"),
        ({"families": (), "controls": ()}, "there must be a family with a delta"),
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        ({"factor": 1.0}, "factor must be above 1, got 1"),
    ],
)
def test_bad_settings_are_refused(config, change, message):
    with pytest.raises(SystemExit, match=message):
        sparsity_map.main(dataclasses.replace(config, **change))
