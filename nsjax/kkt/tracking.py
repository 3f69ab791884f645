"""KKT points of several searches side by side: equal values, equal neurons, lines along a path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.kkt.certificate import KKTPoints

if TYPE_CHECKING:
    from jaxtyping import Float


class Levels(NamedTuple):
    """Distinct values of the KKT points of s searches, best first; m of them.

    Where the data have a symmetry, KKT points come in orbits of one value, of which any number is
    found: the value then says more than the point.

    Attributes:
        values: `(m,)`, the highest value of each level; that of all dead points is zero.
        signs: `(m,)` int, of the values: 1, 0 (dead) or -1.
        shares: `(s, m)`, the share of each search's starts that reached it.
        sizes: `(m,)` int, the most distinct points that one search found at it.
        residuals: `(m,)`, the largest KKT residual.
        is_maximum: `(m,)` bool, whether all its points are maxima on the sphere.
        kinked: `(m,)` bool, whether any of its points lies on a kink of the activation.
        labels: `(total,)` int, the level of every point, search after search.
    """

    values: np.ndarray
    signs: np.ndarray
    shares: np.ndarray
    sizes: np.ndarray
    residuals: np.ndarray
    is_maximum: np.ndarray
    kinked: np.ndarray
    labels: np.ndarray


def levels(found: Sequence[KKTPoints], *, tol: float = 1e-6) -> Levels:
    """Group the points of several searches of one objective by their values.

    Args:
        found: results of `search` or `search_neuron`, one or more.
        tol: values that lie closer than this share of the largest belong together.

    Raises:
        TypeError, ValueError: for what is no sequence of searches, none, or a `tol` that is not
            positive.
    """
    _searches(found)
    tol = _check.positive("tol", tol)

    def joined(name: str) -> np.ndarray:
        return np.concatenate([np.asarray(getattr(points, name)) for points in found])

    values = np.where(joined("signs") == 0, 0, joined("values"))
    order = np.argsort(-values, kind="stable")
    gaps = -np.diff(values[order]) > tol * np.max(np.abs(values))
    labels = np.empty(len(values), int)
    labels[order] = np.concatenate([[0], np.cumsum(gaps)])
    count = labels.max() + 1
    search = np.repeat(np.arange(len(found)), [len(points.values) for points in found])
    shares = np.zeros((len(found), count))
    np.add.at(shares, (search, labels), joined("shares"))
    sizes = np.zeros((len(found), count), int)
    np.add.at(sizes, (search, labels), 1)

    def over(name: str, reduce: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        each = joined(name)
        return np.array([reduce(each[labels == level]) for level in range(count)])

    return Levels(
        np.array([values[labels == level].max() for level in range(count)]),
        over("signs", np.max),
        shares,
        sizes.max(axis=0),
        over("residuals", np.max),
        over("is_maximum", np.all),
        over("kinked", np.any),
        labels,
    )


def _searches(found: Any) -> None:
    """Raise unless these are results of searches, one or more. One result is a tuple, too."""
    if isinstance(found, KKTPoints) or not isinstance(found, Sequence):
        raise TypeError(
            f"found must be a sequence of results of kkt.search, got {type(found).__name__}"
        )
    if len(found) == 0:
        raise ValueError("found must hold at least one search, got none")
    for i, each in enumerate(found):
        if not isinstance(each, KKTPoints):
            raise TypeError(f"found[{i}] must be a KKTPoints, got {type(each).__name__}")


def neuron_cosines(
    first: Any, second: Any, activation: Callable[[jax.Array], jax.Array]
) -> Float[np.ndarray, "m j"]:
    """Cosines between the incoming weights of two sets of neurons, on the host.

    Where `s(-t) = s(t)` or `-s(t)`, a neuron with incoming weights -u is, with outgoing weights of
    the right sign, the neuron u: the absolute value is taken there. Weights that are zero have
    cosine zero with all others.

    Args:
        first, second: incoming weights `(m, k)` and `(j, k)`, a neuron per row.
        activation: homogeneous activation s.

    Raises:
        TypeError, ValueError: if the weights are no finite matrices of equal width.

    >>> from nsjax import PolyLeakyReLU
    >>> u, v = jnp.array([[1.0, 0.0]]), jnp.array([[-2.0, 0.0]])
    >>> [neuron_cosines(u, v, PolyLeakyReLU(2, slope)).item() for slope in (1.0, 0.0)]
    [1.0, -1.0]
    """
    first = np.asarray(_check.matrix("first", first))
    second = np.asarray(_check.matrix("second", second, columns=first.shape[1]))
    lengths = [np.linalg.norm(rows, axis=1, keepdims=True) for rows in (first, second)]
    first, second = (
        rows / np.where(length > 0, length, 1)
        for rows, length in zip((first, second), lengths, strict=True)
    )
    cosines = np.clip(first @ second.T, -1, 1)
    # Homogeneity makes t = 1 enough.
    left, right = (float(activation(jnp.asarray(t))) for t in (-1.0, 1.0))
    return np.abs(cosines) if abs(left) == abs(right) else cosines


def match(cosines: Float[np.ndarray, "m j"], *, least: float = 0.9) -> np.ndarray:
    """Pair the rows of a table of cosines with its columns, closest pairs first.

    Args:
        cosines: of m earlier and j later points.
        least: pairs below this cosine are left unpaired.

    Returns:
        `(m,)` int, the column of every row, -1 for a row without one; no column comes twice.

    Raises:
        ValueError: if the cosines are no matrix of numbers without NaN.

    >>> match(np.array([[0.99, 0.95], [0.999, 0.2]])).tolist()
    [1, 0]
    """
    table = np.array(cosines, float)
    if table.ndim != 2:
        raise ValueError(f"cosines must be a matrix of rank 2, got shape {table.shape}")
    if np.isnan(table).any():
        raise ValueError("cosines must hold no NaN, got some")
    pairs = np.full(len(table), -1)
    while table.size and np.max(table) >= least:
        row, column = np.unravel_index(np.argmax(table), table.shape)
        pairs[row] = column
        table[row, :] = table[:, column] = -np.inf
    return pairs


class Track(NamedTuple):
    """KKT points along a path of s snapshots, joined to l lines; NaN or False where one is absent.

    Attributes:
        which: `(s, l)` int, which point of the snapshot it is, -1 where it was not found.
        values, shares: `(s, l)`, as in `KKTPoints`.
        signs: `(s, l)` int.
        is_maximum, kinked: `(s, l)` bool.
    """

    which: np.ndarray
    values: np.ndarray
    shares: np.ndarray
    signs: np.ndarray
    is_maximum: np.ndarray
    kinked: np.ndarray

    @property
    def births(self) -> int:
        """How many lines begin after the first snapshot."""
        return int(np.sum(self.which[0] < 0))

    @property
    def deaths(self) -> int:
        """How many lines end before the last snapshot."""
        return int(np.sum(self.which[-1] < 0))


def track(
    found: Sequence[KKTPoints],
    activation: Callable[[jax.Array], jax.Array],
    *,
    least: float = 0.9,
) -> Track:
    """Join the points of successive searches for one neuron to lines, by their incoming weights.

    A line goes on with the point closest to where it was seen last. Lines of the snapshot before
    choose first, then those that were missed for a while.

    Args:
        found: results of `search_neuron`, one per snapshot.
        activation: of the neurons, see `neuron_cosines`.
        least: smallest cosine at which a point goes on an earlier line.

    Raises:
        TypeError, ValueError: for what is no sequence of searches, or none.
    """
    _searches(found)
    _check.function("activation", activation)
    least = _check.real("least", least)
    incoming = [np.asarray(points.points[0]) for points in found]
    seen = incoming[0]
    rows = [np.arange(len(seen))]
    for now in incoming[1:]:
        cosines = neuron_cosines(seen, now, activation)
        alive = rows[-1] >= 0
        pairs = match(np.where(alive[:, None], cosines, -np.inf), least=least)
        taken = np.isin(np.arange(len(now)), pairs)
        late = np.where(alive[:, None] | taken[None, :], -np.inf, cosines)
        pairs = np.maximum(pairs, match(late, least=least))
        born = np.setdiff1d(np.arange(len(now)), pairs)
        rows.append(np.concatenate([pairs, born]))
        seen = np.concatenate([np.where(pairs[:, None] >= 0, now[pairs], seen), now[born]])
    which = np.full((len(rows), len(seen)), -1)
    for snapshot, row in zip(which, rows, strict=True):
        snapshot[: len(row)] = row

    def along(name: str, absent: float) -> np.ndarray:
        each = [np.append(np.asarray(getattr(points, name)), absent) for points in found]
        return np.stack([row[places] for row, places in zip(each, which, strict=True)])

    return Track(
        which,
        along("values", np.nan),
        along("shares", np.nan),
        along("signs", 0).astype(int),
        along("is_maximum", False).astype(bool),
        along("kinked", False).astype(bool),
    )
