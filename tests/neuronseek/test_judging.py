"""Judging: paired tests on held-out samples, with losses given sample by sample."""

import numpy as np
import pytest

from nsjax.neuronseek import judging
from nsjax.neuronseek.config import Config


class Space:
    """A workspace whose models are arrays of losses; the last `held` samples judge."""

    def __init__(self, samples, held, **settings):
        self.hold = np.arange(samples) >= samples - held
        self.train, self.judged = ~self.hold, held > 0
        self.rounding, self.config = 1e-20, Config(**settings)

    def judged_losses(self, model, rows):
        return model[rows]


RNG = np.random.default_rng(0)
OLD = RNG.uniform(0.5, 1.5, 400)


def lower(share, noise=0.0):
    """Losses whose roots are lower by a share, and noise."""
    return (np.sqrt(OLD) * (1 - share) + noise * RNG.standard_normal(400)) ** 2


def test_roots_of_losses_are_compared_in_pairs():
    """By hand, on the samples that judge alone."""
    new = lower(0.05, noise=0.1)
    found = judging.compare(Space(400, 100), OLD, new)
    falls = [a**0.5 - b**0.5 for a, b in zip(OLD[300:], new[300:], strict=True)]
    mean = sum(falls) / 100
    error = (sum((fall - mean) ** 2 for fall in falls) / 100 / 100) ** 0.5
    np.testing.assert_allclose(found, (OLD[300:].mean(), new[300:].mean(), mean / error))
    # Without any the samples for training judge.
    np.testing.assert_allclose(judging.compare(Space(400, 0), OLD, new).old, OLD.mean())


@pytest.mark.parametrize(
    ("old", "new", "z"),
    [
        (np.ones(40), np.ones(40), 0),
        (np.ones(40), np.full(40, 0.25), np.inf),
        (np.full(40, 0.25), np.ones(40), -np.inf),
        (np.ones(40), np.full(40, np.nan), 0),
        (np.full(40, np.inf), np.ones(40), 0),
    ],
)
def test_falls_that_do_not_vary(old, new, z):
    """Equal models are equal; what is not finite cannot be told."""
    assert judging.compare(Space(40, 20), old, new).z == z


def test_a_better_model_gains_enough_and_is_sure():
    space = Space(400, 400)
    assert judging.better(space, OLD, lower(0.05))
    assert not judging.better(space, OLD, OLD)
    assert not judging.better(space, lower(0.05), OLD)
    # Sure, but below `gain`; and above it, but unsure.
    assert not judging.better(space, OLD, lower(1e-4))
    assert judging.better(Space(400, 400, gain=1e-5), OLD, lower(1e-4))
    unsure = lower(0.01, noise=0.3)
    assert not judging.better(space, OLD, unsure)
    assert not judging.better(space, OLD, np.full(400, np.nan))


def test_half_the_loss_needs_two_standard_errors():
    """Roots fall by 1 for four samples of sixteen: z = 4 sqrt(p / (1 - p)) with p = 1/4."""
    space, few = Space(16, 16), np.arange(16) < 4
    old, new = np.where(few, 1, 0.1), np.where(few, 0, 0.1)
    np.testing.assert_allclose(judging.compare(space, old, new).z, 4 / 3**0.5)
    assert judging.better(space, old, new)
    assert not judging.better(space, old, new, strict=1.5)
    # The same z, and not half the loss, unless less is asked for.
    old, new = np.ones(16), np.where(few, 0.0, 1.0)
    np.testing.assert_allclose(judging.compare(space, old, new).z, 4 / 3**0.5)
    assert not judging.better(space, old, new)
    assert judging.better(space, old, new, strict=0.5)


def test_a_loss_that_is_rounding_cannot_get_better():
    space = Space(40, 40)
    assert not judging.better(space, np.full(40, 1e-21), np.full(40, 1e-30))
    assert judging.harmless(space, np.full(40, 1e-30), np.full(40, 1e-21))


def test_a_reduced_model_does_no_harm_unless_the_whole_is_better():
    space = Space(400, 400)
    assert judging.harmless(space, OLD, OLD)
    assert judging.harmless(space, OLD, lower(0.05))
    assert not judging.harmless(space, lower(0.05), OLD)
    assert not judging.harmless(space, OLD, np.full(400, np.inf))
