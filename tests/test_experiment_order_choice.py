"""The experiment of orders, small: run folder, figure, resume, and what it counts."""

import dataclasses
import json
import math

import numpy as np
import pytest

from experiments import order_choice


@pytest.fixture
def config(tmp_path):
    return order_choice.Config(
        samples=(30, 160), dimensions=(4,), seeds=1, methods=("orders", "lasso"), root=tmp_path
    )


def test_run_and_resume(config, capsys, forbid):
    """Two terms of orders 2 and 3 are found; a rerun computes nothing again."""
    folder = order_choice.main(config)
    found = json.loads((folder / "results.json").read_text())["values"]
    assert set(found) == {"orders-d4-terms3", "lasso-d4-terms3"}
    orders = found["orders-d4-terms3"]
    assert orders["needed"] is not None
    assert orders["size"][-1] == [2]
    assert orders["exact"][-1] == [True]
    assert orders["memory"][-1][0] >= 0
    cell = json.loads((folder / "cells" / "orders-d4-terms3-n160-seed0.json").read_text())
    assert cell["values"]["message"].startswith("orders [2, 3]; fitted")
    assert (folder / "figures" / "order_choice.png").stat().st_size > 5000
    assert "CP terms, orders 1 to 3" in capsys.readouterr().out

    forbid(order_choice, "learn")
    assert order_choice.main(config) == folder


def test_samples_of_a_seed_are_nested_and_a_target_is_its_own(config):
    point = order_choice.Point("orders", 4, 3, 30, 0)
    few, fresh, _ = order_choice.draw(config, point)
    many, again, _ = order_choice.draw(config, point._replace(n=160))
    np.testing.assert_array_equal(few.x, many.x[:30])
    np.testing.assert_array_equal(fresh[1], again[1])
    np.testing.assert_allclose(fresh[1], many.truth(fresh[0]), rtol=1e-10, atol=1e-12)
    other = order_choice.draw(config, point._replace(seed=1))[0]
    assert not np.allclose(other.truth(few.x), few.y)


def test_nine_of_ten():
    good, bad = 1e-4, 1.0
    errors = {10: [bad] * 10, 20: [good] * 9 + [bad], 40: [good] * 10}
    assert order_choice.needed(errors) == 20
    assert order_choice.needed({10: [good], 20: [bad]}) is None


def test_a_dictionary_that_is_too_large_is_left_out(config, capsys):
    small = dataclasses.replace(config, dictionary=10, methods=("lasso", "orders"), samples=(30,))
    folder = order_choice.main(small)
    found = json.loads((folder / "results.json").read_text())["values"]
    assert list(found) == ["orders-d4-terms3"]


def test_sparse_targets_have_a_phase_diagram(config):
    """Monomials of few inputs, in noise: the exact ones, and no figure cell without a run."""
    sparse = dataclasses.replace(
        config,
        task="sparse",
        methods=("axes", "lasso"),
        samples=(8, 40, 80),  # of eight, nothing is found
        dimensions=(6, 9),
        dictionary=math.comb(9, 3),
        noise=0.05,
    )
    folder = order_choice.main(sparse)
    found = json.loads((folder / "results.json").read_text())["values"]
    assert set(found) == {"axes-d6-terms3", "axes-d9-terms3", "lasso-d6-terms3"}
    assert found["axes-d9-terms3"]["exact"][-1] == [True]
    assert found["axes-d9-terms3"]["size"][0] == [0]
    assert found["axes-d9-terms3"]["size"][-1] == [3]
    assert (folder / "figures" / "phases.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": ()}, "at least one of samples, methods"),
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        (
            {"dimensions": (1,)},
            "dimension must be at least 2, .*, got 1",
        ),
        ({"noise": -1.0}, "noise"),
    ],
)
def test_bad_settings_are_refused(config, change, message):
    with pytest.raises(SystemExit, match=message):
        order_choice.main(dataclasses.replace(config, **change))
