"""The modular addition experiment, small: run folder, figures, resume, bad settings."""

import dataclasses
import json

import pytest

from experiments import modular_addition
from nsjax import runs


@pytest.fixture
def config(tmp_path):
    return modular_addition.Config(
        modulus=7,
        fractions=(0.7,),
        seeds=1,
        widths=(8,),
        rates=(1e-2,),
        decays=(1e-4,),
        adam_steps=20,
        starts=8,
        per_round=2,
        methods=("pursuit", "adam-small"),
        root=tmp_path,
    )


def test_run_and_resume(config, capsys, monkeypatch):
    """The pursuit learns what it has seen; a rerun computes nothing again."""
    folder = modular_addition.main(config)
    results = json.loads((folder / "results.json").read_text())["values"]
    assert set(results["accuracy"]) == {
        "neuron pursuit",
        "Adam, width 8, small init, weight decay 0.0001",
    }
    # Every start on the whole centred table comes to the maximum in closed form.
    assert results["full table"]["error"] < 1e-8
    assert results["full table"]["purity"] > 1 - 1e-8
    values = json.loads((folder / "cells" / "pursuit-f0.7-s0.json").read_text())
    values = values.get("values", values)
    assert values["train"] == 1
    for name in ("accuracy", "fourier-f0.7"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 10_000
    assert "neuron pursuit" in capsys.readouterr().out
    monkeypatch.delattr(modular_addition.pursuit, "run")
    assert modular_addition.main(config) == folder


@pytest.mark.parametrize(
    ("changes", "margin", "l2"),
    [
        ({}, 0.5, (0.0,)),
        ({"loss": "cross_entropy"}, 3.0, (3e-3, 1e-4)),
        ({"loss": "cross_entropy", "margin": 1.0, "l2": (1e-3,)}, 1.0, (1e-3,)),
    ],
)
def test_margin_and_penalties_follow_the_loss(config, monkeypatch, changes, margin, l2):
    """Their defaults are those of the loss, and give way to what is asked for."""

    def run(*_, config, **__):
        raise StopIteration(config)

    monkeypatch.setattr(modular_addition.pursuit, "run", run)
    config = dataclasses.replace(config, **changes)
    with pytest.raises(StopIteration) as stop:
        modular_addition.grow(config, 0.7, 0, runs.Compilations())
    settings = stop.value.value
    assert (settings.margin, settings.l2) == (margin, l2)


def test_a_split_without_pairs_is_refused(config):
    with pytest.raises(SystemExit, match="fractions must leave pairs on both sides"):
        modular_addition.main(dataclasses.replace(config, fractions=(1.0,)))
