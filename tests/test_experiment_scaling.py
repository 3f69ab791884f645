import json

import numpy as np
import pytest

from experiments import scaling


def test_a_small_sweep(tmp_path):
    config = scaling.Config(
        truths=("sparse",), dimensions=(8,), samples=300, monomials=2, root=tmp_path
    )
    folder = scaling.main(config)
    found = json.loads((folder / "results.json").read_text())
    found = found["values"]
    assert found["sparse"]["found"] == [1]
    cells = [json.loads(path.read_text())["values"] for path in (folder / "cells").glob("*.json")]
    assert len(cells) == 1
    for values in cells:
        # A process of its own: what JAX itself takes, and little more.
        assert 0.05 < values["data"] <= values["memory"] < 8
        assert 0 < values["seconds"] <= values["cold"]
    assert (folder / "figures" / "scaling.png").exists()


def test_the_exponent_is_that_of_a_power():
    dimensions = [1, 10, 100, 1000]
    assert scaling.exponent(dimensions, [9e9, *np.array([10, 100, 1000.0]) ** 2]) == pytest.approx(
        2
    )
    assert np.isnan(scaling.exponent([3], [1.0]))


@pytest.mark.parametrize("change", [{"seeds": 0}, {"dimensions": (3,)}, {"truths": ()}])
def test_bad_settings_end_with_a_message(tmp_path, change):
    with pytest.raises(SystemExit, match="error"):
        scaling.main(scaling.Config(**{"root": tmp_path, **change}))
