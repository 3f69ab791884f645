"""The experiment of logistic saddles, small: run folder, figures, resume, and what it says."""

import dataclasses
import json
import math

import numpy as np
import pytest

from experiments import logistic_saddles


@pytest.fixture
def config(tmp_path):
    return logistic_saddles.Config(
        deltas=(1e-1, 1e-2), stairs=(1e-1,), depth=1e4, seeds=1, root=tmp_path
    )


@pytest.mark.slow
def test_run_and_resume(config, capsys, forbid):
    """Degree 3 never escapes, degree 2 later than degree 1; a rerun computes nothing again."""
    folder = logistic_saddles.main(config)
    found = json.loads((folder / "results.json").read_text())["values"]
    assert found["race-squares-0.01"]["growth"] < 1.2
    linear, diagonal = (found[f"race-{case}-0.1"]["depth"] for case in ("linear", "diagonal"))
    assert linear < diagonal < config.depth
    for kind in ("diagonal", "signed-squares"):
        cell = found[f"exponent-{kind}-0"]
        assert math.isclose(cell["measured"], cell["predicted"], rel_tol=0.05)
    # By hand: 1/2, and p = (9/13, 4/13) makes both coordinates worth 25/26.
    assert np.allclose(found["levels"], [1 / 2, 25 / 26], rtol=1e-6)
    assert math.isclose(found["stairs-diagonal-0.1"]["margin"], 25 / 26, rel_tol=1e-3)
    for name in ("races", "exponents", "margins"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 5000
    assert "N* / gamma" in capsys.readouterr().out

    forbid(logistic_saddles, "compute")
    assert logistic_saddles.main(config) == folder


@pytest.mark.parametrize(
    ("change", "message"), [({"deltas": (2.0,)}, "between 0 and 1"), ({"seeds": 0}, "seeds")]
)
def test_bad_settings_are_refused(config, change, message):
    with pytest.raises(SystemExit, match=message):
        logistic_saddles.main(dataclasses.replace(config, **change))
