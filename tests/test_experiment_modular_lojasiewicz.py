"""Łojasiewicz constants in modular addition, small: run folder, resume, claims."""

import dataclasses
import json

import numpy as np
import pytest

from experiments import modular_lojasiewicz


@pytest.fixture
def config(tmp_path):
    return modular_lojasiewicz.Config(
        modulus=3,
        fractions=(0.8,),
        seeds=1,
        rounds=(1,),
        per_round=1,
        max_rounds=1,
        steps=100,
        starts=8,
        saves=400,
        envelope=0,
        levels=8,
        envelope_starts=6,
        root=tmp_path,
    )


def check(values):
    """What holds at a Morse-Bott point and on the way to it."""
    assert values["at_rest"]
    assert values["hessian"]["inertia"][1] == values["hessian"]["tangents"] == 2 * values["neurons"]
    part = values["length"]["hessian"]
    assert part["holds"]
    assert part["ratio"] >= 0.98
    assert part["length"] <= values["length"]["total"] * (1 + 1e-12)
    assert values["pointwise"]["bound"] >= values["length"]["total"]


def test_run_and_resume(config, capsys, monkeypatch):
    """The kernel is that of the symmetries, the bounds are kept; a rerun computes nothing again."""
    folder = modular_lojasiewicz.main(config)
    values = json.loads((folder / "results.json").read_text())["values"]["f0.8-s0-r1"]
    assert (values["neurons"], values["weights"]) == (1, 9)
    assert "envelope" not in values
    check(values)
    for name in ("pointwise", "constants", "lengths", "remaining"):
        assert (folder / "figures" / f"{name}-f0.8.png").stat().st_size > 10_000
    assert "Assumption 2" in capsys.readouterr().out
    monkeypatch.delattr(modular_lojasiewicz.dynamics, "gradient_flow")
    assert modular_lojasiewicz.main(config) == folder


@pytest.mark.slow
def test_envelope_and_hessian_agree(config):
    """At a Morse-Bott end; elsewhere the kernel contains the symmetries, and no mu is claimed."""
    config = dataclasses.replace(config, rounds=(1, 2), max_rounds=2, envelope=9)
    folder = modular_lojasiewicz.main(config)
    results = json.loads((folder / "results.json").read_text())["values"]
    first, second = results["f0.8-s0-r1"], results["f0.8-s0-r2"]
    check(first)
    envelope = first["envelope"]
    assert envelope["in_assumption2"]
    assert envelope["alpha"] == pytest.approx(0.5, abs=0.01)
    assert envelope["mu"] == pytest.approx(first["hessian"]["mu"], rel=0.02)
    assert first["length"]["envelope"]["holds"]
    for values in (first, second):
        assert values["loss"] < values["start"]
        assert values["length"]["total"] <= values["pointwise"]["bound"]
    hessian = second["hessian"]
    assert hessian["inertia"][1] >= hessian["tangents"] == 2 * second["neurons"]
    conclusive = not hessian["message"].startswith("inconclusive")
    assert conclusive or "hessian" not in second["length"]
    if hessian["inertia"][1] > hessian["tangents"] and second["loss"] > 1e-6:
        assert not conclusive


def test_new_neurons_are_balanced_and_small():
    rng = np.random.default_rng(0)
    base = (np.ones((1, 4)), np.ones((3, 1)))
    new = (rng.normal(size=(2, 4)), rng.normal(size=(3, 2)))
    incoming, outgoing = modular_lojasiewicz.inserted(base, new, 0.1)
    into, out = np.sum(incoming[1:] ** 2, axis=1), np.sum(outgoing[:, 1:] ** 2, axis=0)
    assert np.allclose(into, 2 * out)
    assert np.allclose(into + out, 0.01)
    assert np.array_equal(incoming[0], base[0][0])


def test_rounds_are_counted_from_both_ends(config):
    every = dataclasses.replace(config, rounds=())
    assert modular_lojasiewicz.chosen(every, 3) == [1, 2, 3]
    some = dataclasses.replace(config, rounds=(1, -1, 9))
    assert modular_lojasiewicz.chosen(some, 4) == [1, 4]


def test_a_split_without_pairs_is_refused(config):
    with pytest.raises(SystemExit, match="fractions must leave pairs on both sides"):
        modular_lojasiewicz.main(dataclasses.replace(config, fractions=(1.0,)))
