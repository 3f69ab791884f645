"""Losses that judge: one sample of a class does not decide, whatever a polynomial says of it."""

import numpy as np

from nsjax.neuronseek import judging
from nsjax.neuronseek.config import Config
from nsjax.neuronseek.workspace import WRONG, Workspace

CLASSES = np.eye(3)[np.repeat([0, 1, 2], [97, 2, 1])]
SIGNS = np.where(np.arange(100) % 10 > 0, -1.0, 1.0)[:, None]


class Given(Workspace):
    """A workspace whose models are their outputs."""

    def outputs(self, model, rows=slice(None)):
        return model[rows]


def space(y, loss):
    everywhere = np.ones(len(y), bool)
    return Given(np.zeros((len(y), 1)), y, loss, Config(), everywhere, everywhere, everywhere)


def test_the_best_constant_is_judged_as_it_is_however_rare_a_class():
    for y, loss, constant in (
        (CLASSES, "cross_entropy", np.log([0.97, 0.02, 0.01])),
        (SIGNS, "logistic", np.log([1 / 9])),
    ):
        here = space(y, loss)
        model = np.broadcast_to(constant, y.shape)
        found = here.judged_losses(model, here.hold)
        np.testing.assert_allclose(found, here.losses(model, here.hold))
        np.testing.assert_allclose(found.mean(), 1)


def test_a_sample_that_is_wrong_without_bound_counts_as_wrong():
    here = space(CLASSES, "cross_entropy")
    constant = np.broadcast_to(np.log([0.97, 0.02, 0.01]), CLASSES.shape)
    # Sure of all classes, and of a wrong one for a single sample.
    model = 20 * CLASSES
    model[7] = [0, 0, 1e5]
    assert not here.losses(model, here.hold).mean() < 1
    largest = here.losses(constant, here.hold).max()
    assert here.judged_losses(model, here.hold).max() == WRONG * largest
    assert judging.better(here, constant, 20 * CLASSES)
    model = np.where(np.arange(100)[:, None] == 7, constant, model)
    assert judging.better(here, constant, model)


def test_outputs_are_judged_cut_off_at_the_targets():
    y = np.linspace(-1, 3, 50)[:, None]
    here = space(y, "square")
    model = y.copy()
    model[7] = 1e6
    expected = np.zeros(50)
    expected[7] = 0.5 * (3 - y[7, 0]) ** 2 / here.reference
    np.testing.assert_allclose(here.judged_losses(model, here.hold), expected)
    assert judging.better(here, np.full_like(y, y.mean()), model)
    assert here.losses(model, here.hold).mean() > 1e9


def test_what_is_not_finite_stays_so():
    here = space(CLASSES, "cross_entropy")
    nothing = np.full_like(CLASSES, np.nan)
    assert np.all(np.isnan(here.judged_losses(nothing, here.hold)))
    assert not judging.better(here, np.zeros_like(CLASSES), nothing)
