"""Search by gradient training: fit a CP-polynomial neuron, prune its terms, fit the rest again.

The search of NeuronSeek (arXiv 2506.15715): task loss with L1 penalties on coefficients and
factors, Adam, then a threshold on the coefficients, of which each order has one; and other rules by
which terms go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from nsjax import _check, _mesh
from nsjax.networks import cp
from nsjax.neuronseek import thresholds
from nsjax.neuronseek.stages import Stages, Trained
from nsjax.objectives import LOSSES
from nsjax.pursuit.problem import check_targets

RULES = ("paper", "contribution", "hard_concrete", "group_lasso", "stridge")
_TEMPLATE = cp.Template()


@dataclass(frozen=True)
class Training:
    """Settings of a search by gradient training. Frozen and hashable.

    Raises:
        TypeError, ValueError: on making one with a bad setting, which is named.

    >>> Training(rule="contribution", threshold=0.05).threshold
    0.05
    """

    template: cp.Template = _TEMPLATE
    """Terms to begin with."""
    rule: Literal["paper", "contribution", "hard_concrete", "group_lasso", "stridge"] = "paper"
    """What prunes. `"paper"`: L1 penalties on coefficients C and factors, and a threshold on |C|;
    with the other settings as they are by default, that of NeuronSeek.
    `"contribution"`: the same penalties, and a threshold on the standard deviation of what a term
    adds to the outputs. `"hard_concrete"`: L0 gates, open with probability above 0.5.
    `"group_lasso"`: a proximal step on the norm of each term's weights after every step.
    `"stridge"`: a ridge penalty on all weights and a threshold on contributions, `rounds` times."""
    grouping: Literal["term", "order"] | None = None
    """Whether single terms are pruned, or all terms of an order and stream together. By default the
    latter for `"paper"`, which has one C of each, and the former for the other rules."""
    gauge: Literal["fixed", "free"] = "free"
    """For `"paper"`: whether |C| is measured as it was trained, where it trades scale with the
    factors and says little, or with all factors of norm 1."""
    threshold: str | float | None = None
    """`"mean_minus_std"`, `"mean"`, or a fraction of the largest value. By default the first; 0.05
    for `"stridge"`. The L0 gates and the group lasso need none."""
    epochs: int = 300
    """Epochs before terms are pruned."""
    refit_epochs: int = 100
    """Epochs without penalties at the end, and of each further round of `"stridge"`."""
    rounds: int = 4
    """For `"stridge"`: rounds of training and pruning."""
    batch: int | None = 64
    """Samples of a minibatch. Samples are shuffled in every epoch, and its last batch is filled up
    with the first samples of the epoch; None for full batches."""
    learning_rate: float = 0.01
    """Of Adam at the start; it falls to zero along a cosine, in the fit and in each refit."""
    clip: float | None = None
    """Largest norm of a gradient; None for no limit."""
    lam_c: float = 1e-4
    """Weight of `||C||_1` beside the relative loss, for `"paper"` and `"contribution"`."""
    lam_u: float = 1e-4
    """Weight of `sum_n n^2 mean|U_n|` over the orders, U_n all other weights of order n."""
    penalty: float = 0.01
    """Weight of the rule's own penalty: of the expected number of open gates; of the group lasso,
    in which a term of m weights weighs `sqrt(m)`, against Adam's normalised steps; or of the sum of
    squares for `"stridge"`."""
    dtype: Literal["float32", "float64"] | None = None
    """Precision of the training; that of the data by default."""

    def __post_init__(self) -> None:
        if not isinstance(self.template, cp.Template):
            raise TypeError(f"template must be a cp.Template, got {self.template!r}")
        _check.choice("rule", self.rule, RULES)
        if self.grouping is not None:
            _check.choice("grouping", self.grouping, ("term", "order"))
        _check.choice("gauge", self.gauge, ("fixed", "free"))
        if isinstance(self.threshold, str):
            _check.choice("threshold", self.threshold, thresholds.STATISTICS)
        elif self.threshold is not None:
            _check.non_negative("threshold", self.threshold)
        for name in ("epochs", "rounds"):
            _check.positive_integer(name, getattr(self, name))
        if self.refit_epochs != 0:
            _check.positive_integer("refit_epochs", self.refit_epochs)
        if self.batch is not None:
            _check.positive_integer("batch", self.batch)
        _check.positive("learning_rate", self.learning_rate)
        if self.clip is not None:
            _check.positive("clip", self.clip)
        for name in ("lam_c", "lam_u", "penalty"):
            _check.non_negative(name, getattr(self, name))
        if self.dtype is not None:
            _check.choice("dtype", self.dtype, ("float32", "float64"))

    @property
    def goes(self) -> str:
        """What is pruned as a whole, `"term"` or `"order"`."""
        return self.grouping or ("order" if self.rule == "paper" else "term")


def run(
    keys: jax.Array,
    x: Any,
    y: Any,
    *,
    config: Training | None = None,
    loss: str = "square",
    validation: tuple[Any, Any] | None = None,
    test: tuple[Any, Any] | None = None,
    mesh: Mesh | None = None,
    on_epochs: Callable[[int, np.ndarray], None] | None = None,
) -> list[Trained]:
    """Train a neuron from each of several keys, all of them at once.

    Args:
        keys: PRNG keys `(seeds,)`.
        x: inputs `(n, d)`; scaled to about unit variance they train best.
        y: targets `(n, c)`; for the square loss they are standardised inside.
        config: settings; the default ones if not given.
        loss: `"square"`, `"logistic"` with labels -1 and 1, or `"cross_entropy"` with one-hot rows.
        validation: held-out samples, followed during training.
        test: samples for the error at the end alone.
        mesh: devices, with one or both of the axes "members", over which the keys are split, and
            "data", over which the samples are. Minibatches are put together on every device: full
            batches alone gain by the latter.
        on_epochs: called after every chunk of epochs with how many there were so far and the
            relative training losses of the last one, `(seeds,)`.

    Returns:
        One result for each key, the same as it would be alone, to rounding.

    Raises:
        TypeError, ValueError: for bad keys, data or settings.

    >>> x = jax.random.uniform(jax.random.key(0), (200, 2), minval=-1.0)
    >>> config = Training(cp.Template((1, 2), (), 1), epochs=60, batch=None, learning_rate=0.1)
    >>> (found,) = run(jax.random.split(jax.random.key(1), 1), x, x[:, :1] ** 2, config=config)
    >>> found.train_error < 1e-3
    True
    """
    config = Training() if config is None else config
    if not isinstance(config, Training):
        raise TypeError(f"config must be a Training, got {type(config).__name__}")
    keys = _checked_keys(keys)
    if config.dtype == "float64" and not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise ValueError("dtype must be float32 where jax_enable_x64 is off, got 'float64'")
    x, y = _pair("x", "y", x, y)
    _check.choice("loss", loss, tuple(LOSSES))
    check_targets(loss, np.asarray(y, np.float64), float(jnp.finfo(x.dtype).eps))
    others = [
        None
        if pair is None
        else _pair(f"{name}[0]", f"{name}[1]", *pair, d=x.shape[1], c=y.shape[1])
        for name, pair in (("validation", validation), ("test", test))
    ]
    held, test = others
    search = Stages(config, keys, x, y, loss, held, test, on_epochs, _mesh.checked(mesh))
    search.train(config.epochs, "epoch", penalised=True)
    search.prune()
    if config.rule == "stridge":
        # As many rounds whatever the seeds find, so that each gets what it would get alone.
        for turn in range(1, config.rounds):
            search.train(config.refit_epochs, f"round {turn + 1}, epoch", penalised=True)
            search.prune()
    search.train(config.refit_epochs, "refit, epoch", penalised=False)
    return search.results()


def _checked_keys(keys: Any) -> jax.Array:
    wanted = "keys must be PRNG keys of shape (seeds,), such as jax.random.split(key, 10)"
    if not isinstance(keys, jax.Array) or not jnp.issubdtype(keys.dtype, jax.dtypes.prng_key):
        raise TypeError(f"{wanted}, got {type(keys).__name__}")
    if keys.ndim != 1 or not len(keys):
        raise ValueError(f"{wanted}, got shape {keys.shape}")
    return keys


def _pair(
    first: str, second: str, x: Any, y: Any, d: int | None = None, c: int | None = None
) -> tuple[jax.Array, jax.Array]:
    x, y = _check.matrix(first, x, columns=d), _check.matrix(second, y, columns=c)
    if len(x) != len(y):
        raise ValueError(
            f"{first} and {second} must have one row per sample, got {len(x)} rows in {first} and "
            f"{len(y)} in {second}"
        )
    if len(x) < 2:
        raise ValueError(f"{first} must have at least 2 samples, got {len(x)}")
    return x, y.astype(x.dtype)
