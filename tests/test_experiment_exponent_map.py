"""The map of exponents, small: exponents that are known, verdicts, run folder, resume."""

import dataclasses
import json

import pytest

from experiments import exponent_map


@pytest.fixture
def config(tmp_path):
    return exponent_map.Config(
        shapes=(),
        degenerate=("2:2:1:contact-1", "2:4:1:conflict", "2:3:0:conflict"),
        flows=(),
        levels=10,
        starts=6,
        root=tmp_path,
    )


def test_all_three_verdicts_and_resume(config, capsys, monkeypatch):
    """1/2 below 3/4, 3/4 above 5/8, and 2/3, which is the end itself."""
    folder = exponent_map.main(config)
    found = json.loads((folder / "results.json").read_text())["values"]
    cases = {
        "contact-1-L2-k1-p2-a1-s0": ("within", 1 / 2, 3 / 4, "MORSE_BOTT"),
        "conflict-L2-k1-p4-a1-s0": ("outside", 3 / 4, 5 / 8, "SINGULAR"),
        "conflict-L2-k1-p3-a0-s0": ("cannot be told", 2 / 3, 2 / 3, "SINGULAR"),
    }
    for name, (verdict, alpha, bound, kind) in cases.items():
        values = found[name]
        assert values["verdict"] == verdict
        assert values["regularity"] == kind
        assert values["exact"] == pytest.approx(alpha)
        assert values["bound"] == pytest.approx(bound)
        low, high = values["alpha_interval"]
        assert low <= alpha <= high
        assert high - low < 0.02
        assert values["ncf_share"] > 0.05
    first = found["contact-1-L2-k1-p2-a1-s0"]
    assert first["mu"] == pytest.approx(first["hessian_mu"], rel=0.02)
    for name in ("map", "exponents"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 10_000
    assert "cannot be told" in capsys.readouterr().out
    monkeypatch.delattr(exponent_map.diagnostics, "lojasiewicz")
    assert exponent_map.main(config) == folder


def test_what_is_judged_and_what_is_a_saddle():
    values = {"minimum": True, "regularity": "FOCAL", "in_assumption2": False, "generic": 2}
    values["grad_norm"] = 1e-13
    assert exponent_map.verdict(values) == "outside"
    assert exponent_map.verdict(values | {"minimum": False}) == ""
    assert exponent_map.verdict(values | {"regularity": "NOT_CRITICAL"}) == ""
    assert exponent_map.verdict(values | {"generic": 0}) == ""
    assert exponent_map.verdict(values | {"grad_norm": 1e-7}) == ""
    assert exponent_map.is_saddle({"loss": 1.0, "ncf_share": 0.5})
    assert not exponent_map.is_saddle({"loss": 1e-20, "ncf_share": 0.5})
    assert not exponent_map.is_saddle({"loss": 1.0, "ncf_share": 1e-15})


def test_full_covers_what_it_says():
    full = list(exponent_map.points(exponent_map.PRESETS["full"]))
    assert len({point.name for point in full}) == len(full)
    assert 60 <= len(full) <= 200
    assert {point.depth for point in full} == {2, 3, 4}
    assert {point.p for point in full} == {1, 2, 3, 4}
    # Modular addition has other sizes, and sparse targets a constant input: programs of their own.
    own = ("modular", "sparse")
    shapes = {(point.depth, point.active, point.kind in own and point.kind) for point in full}
    assert len(shapes) <= 9


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kinds": ("nothing",)}, "kinds must be among teacher"),
        ({"degenerate": ("2:2:1:nothing",)}, "degenerate must be among conflict"),
        ({"shapes": ("1x1",)}, "must have 2 layers or more"),
        ({"shapes": ("2x1",), "activations": ("5",)}, "degrees up to 4"),
    ],
)
def test_bad_settings_are_refused(config, changes, said):
    with pytest.raises(SystemExit, match=said):
        exponent_map.main(dataclasses.replace(config, **changes))
