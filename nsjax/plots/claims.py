"""Plot of the claims of a theory check: how much of what each allows was used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nsjax.plots.style import CATEGORIES, axes

_LEAST, _MOST = 1e-4, 1e4
"""Shares beyond these are drawn at them."""
_LETTERS = 46
"""Longest name on a line."""


def plot_claims(
    claims: Mapping[str, Sequence[float]],
    control: Mapping[str, Sequence[float]],
    *,
    ax: Axes | None = None,
) -> Figure:
    """A line for every claim, a dot for every setting: at most 1 it holds, above it is violated.

    Claims are blue, controls dark; what came out the wrong way is orange.

    Args:
        claims: name to the shares that were used of what is allowed: a deviation over its
            tolerance, a number over its bound. Non-negative, infinite where zero was allowed.
        control: the same for claims that must be violated, drawn below them.
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: if a share is negative or NaN.

    >>> plot_claims({"slope": [0.2, 0.5]}, {"wrong slope": [7.0]}).axes[0].get_xscale()
    'log'
    """
    every = [*claims.items(), *control.items()]
    for name, shares in every:
        if not all(share >= 0 for share in shares):
            raise ValueError(f"shares must be non-negative, got {list(shares)} for {name!r}")
    figure, ax = axes(ax, size=(6.9, 1.1 + 0.19 * len(every)))
    for at, (_, shares) in enumerate(every):
        given = np.clip(np.asarray(shares, float), _LEAST, _MOST)
        is_claim = at < len(claims)
        for part, as_wanted in ((given <= 1, is_claim), (given > 1, not is_claim)):
            ax.plot(
                given[part],
                np.full(part.sum(), -at),
                "o" if is_claim else "D",
                color=(CATEGORIES[0] if is_claim else "0.3") if as_wanted else CATEGORIES[1],
                markersize=4,
                markeredgewidth=0,
                alpha=0.7,
                clip_on=False,
            )
    ax.axvline(1, color="0.2", linestyle="--", linewidth=1)
    if claims and control:
        ax.axhline(0.5 - len(claims), color="0.6", linewidth=0.8)
    ax.set_xscale("log")
    ax.set_xlim(_LEAST, _MOST)
    ax.set_ylim(0.6 - max(len(every), 1), 0.6)
    names = [_short(name) for name in claims] + [f"{_short(name)} (control)" for name in control]
    ax.set_yticks(-np.arange(len(every)), names, fontsize=7, parse_math=False)
    ax.set_xlabel("share used of what the statement allows (dashed: all of it)")
    return figure


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else name[: _LETTERS - 3] + "..."
