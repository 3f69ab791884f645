"""The modular addition experiment, small: run folder, figures, resume, bad settings."""

import dataclasses
import json

import matplotlib.pyplot as plt
import pytest

from experiments import modular_addition


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
    plt.close("all")


def test_a_split_without_pairs_is_refused(config):
    with pytest.raises(SystemExit, match="fractions must leave pairs on both sides"):
        modular_addition.main(dataclasses.replace(config, fractions=(1.0,)))
