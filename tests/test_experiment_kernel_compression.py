"""The experiment of compression, small: table, figure, resume, and what it says."""

import dataclasses
import json

import pytest

from experiments import kernel_compression


@pytest.fixture
def config(tmp_path):
    return kernel_compression.Config(
        kinds=("task",),
        methods=("channels",),
        ranks=(2,),
        shares=(0.25,),
        width=4,
        epochs=1,
        sweeps=30,
        controls=True,
        root=tmp_path,
    )


def test_run_and_resume(config, capsys, monkeypatch):
    """The data's norm has the lower held-out error; white noise and other entries do not help."""
    folder = kernel_compression.main(config)
    found = json.loads((folder / "results.json").read_text())["values"]
    assert found["below"] == found["total"] == 8  # four layers, two of them with two powers
    assert found["worst_ratio"] < 1
    (record,) = found["networks"]["task"]
    assert len(record["rows"]) == 4 * 5 + 4 * 2
    errors = {
        norm: [row["test"] for row in record["rows"] if row["norm"] == norm and not row["part"]]
        for norm in ("isotropic", "data", "white", "permuted")
    }
    for plain, driven, white, other in zip(*errors.values(), strict=True):
        assert driven < 0.95 * plain
        assert abs(white / plain - 1) < 0.1
        assert other > driven
    assert (folder / "figures" / "kernel_compression.png").stat().st_size > 5000
    assert "in 8 of 8 compressions" in capsys.readouterr().out

    monkeypatch.setattr(kernel_compression, "learn", None)
    assert kernel_compression.main(config) == folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ranks": (2, 4)}, "as many ranks as shares"),
        ({"shares": (1.5,)}, r"shares must be above 0 and at most 1, got \(1.5,\)"),
        ({"kinds": ()}, "a seed, a kind and a method"),
    ],
)
def test_bad_settings_are_refused(config, change, message):
    with pytest.raises(SystemExit, match=message):
        kernel_compression.main(dataclasses.replace(config, **change))
