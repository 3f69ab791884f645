"""Signs that a search has failed, each named with what to try.

Every function returns the warning, or None; `collect` keeps those there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nsjax.networks.cp import CPNeuron
from nsjax.neuronseek import terms

if TYPE_CHECKING:
    from jax.typing import ArrayLike
    from jaxtyping import Float

NEAR_LINEAR = 0.99
"""Share of the outputs' variance above which a linear fit of them makes a formula near-linear."""
ROSE = 2.0
"""How far above its start a final loss is unstable."""
ROSE_FROM_BEST = 100.0
"""How far above its best a final loss is unstable."""
SPREAD = 10.0
"""Largest over smallest error of several seeds above which they vary."""
ROUNDING = 1e-10
"""Relative errors below this are as good as zero."""


def collect(*found: str | None) -> tuple[str, ...]:
    """The warnings among them."""
    return tuple(each for each in found if each)


def everything_pruned(neuron: CPNeuron) -> str | None:
    """Whether the neuron has no term left."""
    if sum(terms.counts(neuron).values()):
        return None
    return (
        "everything was pruned: the penalties may be too large, or the targets no polynomial of "
        "these orders; try smaller penalties, a lower threshold, or a template with other orders "
        "or bases"
    )


def near_linear(x: ArrayLike, outputs: ArrayLike) -> str | None:
    """Whether a linear fit in x `(n, d)` explains nearly all variance of outputs `(n, c)`."""
    x, outputs = np.asarray(x, float), np.asarray(outputs, float)
    if not np.all(np.isfinite(outputs)) or len(x) <= x.shape[1] + 1:
        return None  # as many weights as samples fit anything
    centred = outputs - outputs.mean(axis=0)
    variance = float(np.sum(centred**2))
    if variance <= ROUNDING * float(np.sum(outputs**2)) or variance == 0:
        return None
    inputs = x - x.mean(axis=0)
    fit = inputs @ np.linalg.lstsq(inputs, centred, rcond=None)[0]
    share = 1 - float(np.sum((centred - fit) ** 2)) / variance
    if share <= NEAR_LINEAR:
        return None
    return (
        f"the formula is near-linear: a linear fit explains {100 * share:.2f} % of its outputs' "
        "variance, so networks of it will do little that standard ones do not; try higher orders "
        "or rank, smaller penalties, or rescaled inputs"
    )


def unstable(losses: Float[np.ndarray, " m"]) -> str | None:
    """Whether losses along the training are not finite, or ended far above start or best."""
    losses = np.asarray(losses, float)
    advice = "; try a smaller learning rate, gradient clipping, or inputs scaled to unit variance"
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad):
        return f"training is unstable: the loss was not finite in epoch {bad[0] + 1}{advice}"
    if len(losses) < 2:
        return None
    start, best, last = losses[0], float(np.min(losses)), losses[-1]
    if last > ROSE * start:
        return (
            f"training is unstable: the loss ended at {last:.3g}, above {start:.3g} after the "
            f"first epoch{advice}"
        )
    # A loss near its floor may jump by a large factor without harm.
    if last > ROSE_FROM_BEST * best and last > 0.01 * start:
        return (
            f"training is unstable: the loss ended at {last:.3g}, far above its best, {best:.3g}"
            f"{advice}"
        )
    return None


def negative_threshold(cut: float, count: int) -> str | None:
    """Whether a threshold on values that are never negative is negative itself."""
    if cut >= 0:
        return None
    return (
        f"the threshold mean - std is negative ({cut:.3g}) over {count} terms, so nothing was "
        'pruned; try threshold="mean", or a fraction of the largest value'
    )


def few_samples(parameters: int, samples: int, features: int, outputs: int = 1) -> str | None:
    """Whether there are fewer targets than parameters, or fewer samples than features.

    Args:
        parameters: of the neuron that was fitted.
        samples: n.
        features: d.
        outputs: c; every sample has as many targets.
    """
    what = []
    if samples * outputs < parameters:
        what.append(f"{samples * outputs} targets for {parameters} parameters")
    if samples < features:
        what.append(f"{samples} samples of {features} features")
    if not what:
        return None
    return (
        f"little data: {' and '.join(what)}, so a small training error means little; try more "
        "samples, a lower rank or order, or held-out samples"
    )


def few_held_out(held_out: int) -> str | None:
    """Whether there are no held-out samples, so that candidates are judged on those fitted."""
    if held_out:
        return None
    return (
        "no held-out samples: there are too few to set some aside, so terms are judged on the "
        "samples that they are fitted to; try more samples, or validation data"
    )


def over_seeds(results: Sequence[Any]) -> tuple[str, ...]:
    """What several results of one search on one data set, from several keys, say together.

    Args:
        results: each with `formula` or `neuron`, and with `test_error`, `validation_error` and
            `train_error`, of which the first that is a number for all counts.

    Returns:
        Warnings, if the errors or the structures vary.
    """
    if len(results) < 2:
        return ()
    found = []
    for name in ("test_error", "validation_error", "train_error"):
        errors = np.array([float(getattr(result, name)) for result in results])
        if np.all(np.isfinite(errors)):
            least, most = float(np.min(errors)), float(np.max(errors))
            if most > SPREAD * max(least, ROUNDING):
                found.append(
                    f"high variance over {len(results)} seeds: {name.replace('_', ' ')}s from "
                    f"{least:.3g} to {most:.3g}; keep the best on held-out samples, or try more "
                    "epochs, another learning rate, or one that is the same in all runs"
                )
            break
    distinct = len({_structure(result) for result in results})
    if distinct > 1:
        found.append(
            f"{len(results)} seeds found {distinct} different structures; try a search that tests "
            "every term, larger penalties, or a smaller template"
        )
    return tuple(found)


def _structure(result: Any) -> Any:
    """Orders and ranks of a result: of its formula's canonical form, if it has one."""
    if hasattr(result, "formula"):
        return result.formula.structure()
    return tuple(sorted(terms.counts(result.neuron).items()))
