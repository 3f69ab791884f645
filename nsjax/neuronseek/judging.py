"""Whether a change of the model is better than chance: paired tests on held-out samples."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nsjax.neuronseek.model import Model
from nsjax.neuronseek.workspace import Workspace


class Comparison(NamedTuple):
    """Two models on the samples that judge, or on those for training if there are none.

    Attributes:
        old, new: mean relative losses.
        z: by how many standard errors the roots of the losses are lower under the new one, samples
            paired. Products have heavy tails: a few samples decide a mean of squares.
    """

    old: float
    new: float
    z: float


def judge(space: Workspace) -> np.ndarray:
    """The samples that judge, boolean `(n,)`."""
    return space.hold if space.judged else space.train


def compare(space: Workspace, old: Model, new: Model) -> Comparison:
    """Compare two models."""
    rows = judge(space)
    before, after = space.judged_losses(old, rows), space.judged_losses(new, rows)
    if not (np.all(np.isfinite(before)) and np.all(np.isfinite(after))):
        return Comparison(float(np.mean(before)), float(np.mean(after)), 0.0)
    fall = np.sqrt(np.maximum(before, 0)) - np.sqrt(np.maximum(after, 0))
    error = float(np.std(fall)) / np.sqrt(len(fall))
    mean = float(np.mean(fall))
    z = mean / error if error > 0 else np.inf * np.sign(mean) if mean else 0.0
    return Comparison(float(np.mean(before)), float(np.mean(after)), z)


def better(space: Workspace, old: Model, new: Model, *, strict: float = 1.0) -> bool:
    """Whether the new model is better than chance, by enough to be worth its terms.

    Args:
        space: samples and settings.
        old, new: the models.
        strict: factor on the standard errors that are asked for.
    """
    found = compare(space, old, new)
    if not np.isfinite(found.new) or found.old <= space.rounding:
        return False
    halved = found.new < 0.5 * found.old
    gained = found.old - found.new > space.config.gain * found.old
    return gained and found.z > strict * (min(space.config.z, 2) if halved else space.config.z)


def harmless(space: Workspace, whole: Model, reduced: Model) -> bool:
    """Whether the reduced model does as well, as far as can be told."""
    found = compare(space, reduced, whole)
    if found.old <= space.rounding:
        return True
    return np.isfinite(found.old) and not better(space, reduced, whole)
