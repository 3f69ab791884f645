"""The experiment of quadratic networks, small: thresholds, networks, figure, resume."""

import json
import math

import pytest

from experiments import quadratic_networks
from nsjax import runs


def test_run_and_resume(tmp_path, capsys, monkeypatch, forbid):
    """Far below the threshold nothing is found, far above everything; networks agree."""
    config = quadratic_networks.Config(
        dimension=4,
        widths=(2,),
        ratios=(0.4, 1.0, 1.4),
        seeds=3,
        starts=2,
        trained=(0.4, 1.4),
        root=tmp_path,
    )
    monkeypatch.setattr(
        quadratic_networks,
        "cases",
        lambda _: [
            quadratic_networks.Case("inputs", True, 2, 0),
            quadratic_networks.Case("inputs", True, 4, 0),
            quadratic_networks.Case("inputs", False, 1, 1),
        ],
    )
    folder = quadratic_networks.main(config)
    found = runs.from_json(json.loads((folder / "results.json").read_text())["values"])
    case = found["inputs-plus-teacher2+0"]
    assert case["shares"][0] == 0
    assert case["shares"][-1] == 1
    assert 3 < case["n50"] < 10
    assert max(found["networks"]["grad_norms"]) < 1e-8
    assert (folder / "figures" / "quadratic_networks.png").stat().st_size > 5000
    assert "predicted" in capsys.readouterr().out

    forbid(quadratic_networks, "learn")
    assert quadratic_networks.main(config) == folder


def test_crossing_is_where_the_share_stays_above():
    samples, shares = [10, 20, 30, 40], [0.6, 0.2, 0.7, 1.0]
    assert quadratic_networks.crossing(samples, shares, 0.5) == pytest.approx(26)
    assert quadratic_networks.crossing(samples, shares, 0.1) == 10
    assert math.isnan(quadratic_networks.crossing(samples, [0.0] * 4, 0.5))
