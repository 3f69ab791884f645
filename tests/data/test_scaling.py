import json

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from nsjax.data import Scaler


def samples():
    rng = np.random.default_rng(0)
    return 1e6 + 3 * rng.standard_normal((50, 4)), rng.standard_normal((50, 2)) * [0.1, 40]


def test_it_is_the_scaler_of_scikit_learn():
    x, y = samples()
    scaler = Scaler.fit(x, y)
    inputs, targets = scaler.apply(x, y)
    np.testing.assert_allclose(inputs, StandardScaler().fit_transform(x), atol=1e-8)
    np.testing.assert_allclose(targets, StandardScaler().fit_transform(y), atol=1e-8)
    np.testing.assert_allclose(scaler.targets(targets), y)


def test_it_is_read_back_exactly():
    scaler = Scaler.fit(*samples())
    for part, other in zip(Scaler.from_json(scaler.to_json()), scaler, strict=True):
        np.testing.assert_array_equal(part, other)


def test_what_a_formula_means_is_said():
    scaler = Scaler(np.array([3.0, -1.0]), np.array([2.0, 0.5]), np.zeros(2), np.ones(2))
    lines = scaler.explain(("a", "b"), ("u", "v")).splitlines()
    assert lines == ["x0 = (a - 3) / 2", "x1 = (b + 1) / 0.5", "u = 0 + 1 y0", "v = 0 + 1 y1"]


def test_bad_rows_are_named():
    x, y = samples()
    x[:, 2] = 7
    with pytest.raises(ValueError, match=r"x must vary over its rows.*\[2\]"):
        Scaler.fit(x, y)
    with pytest.raises(ValueError, match="y"):
        Scaler.fit(y, y * np.nan)


@pytest.mark.parametrize(
    "change",
    [
        lambda entries: entries.pop("x_mean"),
        lambda entries: entries.update(x_scale=[0.0] * 4),
        lambda entries: entries.update(x_scale=[1.0] * 3),
        lambda entries: entries.update(y_mean=["__import__('os')", 0.0]),
        lambda entries: entries.update(y_mean=[float("nan"), 0.0]),
        lambda entries: entries.update(y_mean=[10**400, 0]),
        lambda entries: entries.update(y_mean=[]),
        lambda entries: entries.update(y_mean={"a": 1}),
    ],
)
def test_hostile_texts_are_refused(change):
    entries = json.loads(Scaler.fit(*samples()).to_json())
    change(entries)
    with pytest.raises(ValueError, match="must"):
        Scaler.from_json(json.dumps(entries))


@pytest.mark.parametrize("text", ["", "[" * 100_000, "[1, 2]", '{"x_mean": [1'])
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match=r"(text|scaler) must"):
        Scaler.from_json(text)


def test_one_row_one_column_and_further_axes_keep_their_shape():
    x, y = samples()
    scaler = Scaler.fit(x, y[:, :1])
    inputs, targets = scaler.apply(x, y[:, :1])
    np.testing.assert_array_equal(scaler.inputs(x[0]), inputs[0])
    np.testing.assert_array_equal(scaler.inputs(x[None]), inputs[None])
    np.testing.assert_array_equal(scaler.targets(targets[:, 0]), scaler.targets(targets)[:, 0])
    for wrong in (np.ones((3, 1)), np.ones(3), 1.0):
        with pytest.raises(ValueError, match=r"x must have shape \(n, 4\)"):
            scaler.inputs(wrong)
    with pytest.raises(ValueError, match=r"h must have shape \(n, 1\), got \(1, 3\)"):
        scaler.targets(np.ones((1, 3)))
