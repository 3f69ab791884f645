"""What a search for a task-driven neuron returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax.numpy as jnp
import numpy as np

from nsjax.networks.cp import CPNeuron
from nsjax.neuronseek.formula import Formula

if TYPE_CHECKING:
    from jax.typing import ArrayLike
    from jaxtyping import Array, Float

MESSAGES = {
    0: "the formula explains the targets to rounding",
    1: "no further term is better than chance on held-out samples",
    2: "a bound on terms or rounds was reached",
    3: "training ran all its epochs",
    4: "training became unstable: the loss is not finite or rose",
    5: "every term was pruned",
    6: "the template was fitted",
}
"""Why a search stopped, by `Search.result`."""


class History(NamedTuple):
    """Terms entering and leaving: m steps of a search by candidates, or m epochs of training.

    Attributes:
        labels: names of all terms that were ever part of the neuron, L of them, such as `"x^2"`,
            `"x0 x3"`, `"I3.1"` (the first interaction of order 3) or `"sine.1"`.
        shares: of each term, the variance of what it adds to the outputs over that of the targets,
            summed over outputs; 0 where it is not part, `(m, L)`.
        train: relative training loss after each step, `(m,)`: for the square loss the share of the
            targets' variance that is left.
        validation: the same on held-out samples, as they judge: outputs cut off at the targets, of
            classes no sample worse than wrong; NaN without, `(m,)`.
        test: error on test samples after each step, as `Search.test_error`; NaN without, and for
            gradient training, `(m,)`.
        actions: what each step did, in words, m of them.
    """

    labels: tuple[str, ...]
    shares: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    actions: tuple[str, ...]


class Search(NamedTuple):
    """Result of a search.

    Attributes:
        formula: the neuron as a formula, what is rounding left out; `formula.canonical()` and
            `formula.structure()` compare it with others.
        neuron: its parameters as they were fitted, gauge fixed.
        history: terms entering and leaving.
        result: int code, a key of `MESSAGES`; `message` is its text.
        train_error: on all samples given: mean squared error over the variance of the targets, or
            the share of wrong classes.
        validation_error: the same on the samples held out during the search; NaN without.
        test_error: the same on `test`; NaN without.
        parameters: free numbers of the formula.
        warnings: failure signatures with what to try, in words.
        evaluations: residuals with their Jacobian, or gradients, over the search.
        bounds: least and largest target seen, `(2, c)`, between which `predict` keeps its outputs;
            infinite but for the square loss.
        resolution: share of the targets' variance, for classes of a constant's loss, below which a
            term cannot be told from noise with these samples, as an order of magnitude: the larger
            of what the held-out test sees, `4 z^2 / m` of the noise, and what the moments see of a
            product of dense projections, `20 d / n` of it. NaN for the others.
    """

    formula: Formula
    neuron: CPNeuron
    history: History
    result: int
    train_error: float
    validation_error: float
    test_error: float
    parameters: int
    warnings: tuple[str, ...]
    evaluations: int
    bounds: np.ndarray
    resolution: float

    @property
    def message(self) -> str:
        """Why it stopped, in words."""
        return MESSAGES[int(self.result)]

    @property
    def resolution_message(self) -> str:
        """What could not have been found, in words; empty if that is rounding, or is not known."""
        if not self.resolution > 1e-12:
            return ""
        return (
            f"a term below about {self.resolution:.1g} of the variance could not be told from noise"
        )

    def predict(self, x: ArrayLike) -> Float[Array, "n c"]:
        """Outputs of the formula for inputs `(n, d)`, cut off at `bounds`.

        Beyond the samples a polynomial may be anything; no target was seen there.

        Args:
            x: inputs `(n, d)`.

        Raises:
            TypeError, ValueError: if x is no finite matrix of d columns.
        """
        return jnp.clip(self.formula(x), *self.bounds)
