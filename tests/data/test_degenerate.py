"""Tasks with a degenerate minimum: their order against the loss itself, in plain NumPy."""

import jax
import numpy as np
import pytest

from nsjax import data
from nsjax.data import degenerate


def best_loss(task, directions, power):
    """Loss of the best multiple of (x.u)^power, above its value at the incoming weights."""
    x, y = np.asarray(task.x), np.asarray(task.y)[:, 0]

    def gain(u):
        response = (u @ x.T) ** power
        return (response @ y) ** 2 / np.sum(response**2, axis=-1) / 2

    return gain(np.asarray(task.incoming)) - gain(directions)


@pytest.mark.parametrize(
    ("power", "contact"), [(2, 1), (2, 2), (3, 1), (3, 2), (4, 2), (4, 3), (8, 3), (9, 5)]
)
def test_contact_has_its_order(power, contact):
    """Halving the turn of u divides the loss by 2 to the order; the other weights fit best."""
    task = data.contact_task(jax.random.key(1), 24, power, contact)
    assert task.order == 2 * contact
    assert task.alpha == 1 - 1 / task.order
    angles = np.array([0.08, 0.04]) * (1 if contact < 4 else 3)
    rises = best_loss(task, np.stack([np.cos(angles), np.sin(angles)], axis=1), power)
    assert np.all(rises > 0)
    assert np.log2(rises[0] / rises[1]) == pytest.approx(task.order, abs=0.25)
    response = np.asarray(task.x[:, 0]) ** power
    assert response @ np.asarray(task.y[:, 0]) == pytest.approx(response @ response, rel=1e-9)


def test_valley_is_the_quartic_form_it_says():
    task = data.valley_task(jax.random.key(0), bend=0.5)
    x, y = np.asarray(task.x), np.asarray(task.y)[:, 0]
    u = np.random.default_rng(0).normal(size=(50, 3))
    form = 4 * np.sum(u**2, axis=1) ** 2 + (u[:, 0] * u[:, 2] - u[:, 1] ** 2) ** 2
    form += 0.5 * u[:, 2] ** 4
    np.testing.assert_allclose(np.sum((x @ u.T) ** 4, axis=0), form, rtol=1e-10)
    np.testing.assert_allclose((x.T * y) @ x, 4 * np.eye(3), atol=1e-10)
    t = np.array([0.2, 0.1])
    curve = np.stack([np.ones(2), t, t**2], axis=1)
    rises = best_loss(task, curve, 2)
    assert np.log2(rises[0] / rises[1]) == pytest.approx(8, abs=0.2)
    assert best_loss(task, curve * [1, 1, 0], 2)[1] > 100 * rises[1]


@pytest.mark.parametrize(("power", "conflicting", "order"), [(2, 1.0, 2), (4, 1.0, 4), (3, 0.0, 6)])
def test_conflict_turns_away(power, conflicting, order):
    task = data.conflict_task(jax.random.key(2), 5, power, conflicting=conflicting)
    x, y, u = (np.asarray(each) for each in task[:3])
    z = x @ u
    np.testing.assert_allclose(z[:3] ** power, y[:3, 0], rtol=1e-12)
    np.testing.assert_allclose(z[3:], 0, atol=1e-12)
    assert np.all(y[3:] <= 0)
    assert np.any(y[3:] < 0) == (conflicting > 0)
    assert task.order == order
    # One more conflicting pre-activation, the others kept.
    step = np.linalg.solve(x, np.eye(5)[4])
    losses = [
        np.sum((np.maximum(x @ (u + t * step), 0) ** power - y[:, 0]) ** 2) / 2
        for t in (0, 0.02, 0.01)
    ]
    assert np.log2((losses[1] - losses[0]) / (losses[2] - losses[0])) == pytest.approx(
        order, abs=0.1
    )
    flow = {2: np.inf, 4: 2.0, 6: 1.5}
    assert task.decay == flow[order]


def test_collinear_inputs_span_what_they_should():
    x = data.collinear_inputs(jax.random.key(0), 30, 5, rank=2)
    assert np.linalg.matrix_rank(np.asarray(x)) == 2


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda key: data.contact_task(key, 5, 3, 1), "samples must be even"),
        (lambda key: data.contact_task(key, 8, 1, 1), "power must be at least 2"),
        (lambda key: data.contact_task(key, 8, 3, 3), "contact must be at most power"),
        (lambda key: data.conflict_task(key, 1, 2), "samples must be at least 2"),
        (lambda key: data.conflict_task(key, 3, 1), "power must be at least 2"),
        (lambda key: data.valley_task(key, bend=2.0), "bend must be at most 1"),
        (lambda key: data.collinear_inputs(key, 5, 3, rank=4), "rank must be"),
    ],
)
def test_bad_sizes_are_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call(jax.random.key(0))


def test_inputs_without_such_a_minimum_are_refused(monkeypatch):
    """Of few samples some draws give a third coefficient of the root that is negative."""
    monkeypatch.setattr(degenerate, "DRAWS", 1)
    messages = []
    for seed in range(30):
        try:
            data.contact_task(jax.random.key(seed), 8, 4, 3)
        except ValueError as error:
            messages.append(str(error))
    assert 0 < len(messages) < 30
    assert all("take another key" in message for message in messages)
