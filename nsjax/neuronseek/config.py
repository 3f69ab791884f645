"""Settings of the default search, by candidates."""

from __future__ import annotations

from dataclasses import dataclass

from nsjax import _check
from nsjax.networks.cp import Template

SOURCES = ("monomials", "powers", "products")


@dataclass(frozen=True)
class Config:
    """Settings of the search by candidates. Frozen and hashable.

    Raises:
        TypeError, ValueError: on making one with a bad setting, which is named.

    >>> Config(bases=("sine",)).bases
    ('sine',)
    """

    powers: tuple[int, ...] = (1, 2, 3, 4, 5)
    """Orders that the pure stream may have."""
    interactions: tuple[int, ...] = (2, 3, 4, 5)
    """Orders that the interaction stream may have."""
    bases: tuple[str, ...] = ()
    """Other functions of projections that there may be, by the names of `networks.BASES`."""
    sources: tuple[str, ...] = SOURCES
    """Where candidates come from: `"monomials"`, products of inputs, one at a time; `"powers"`, an
    elementwise power of all inputs; `"products"` of projections, and bases."""
    max_terms: int = 16
    """Most products of projections and bases."""
    max_monomials: int = 64
    """Most monomials."""
    holdout: float = 0.25
    """Share of the samples on which candidates are judged, unless validation data are given."""
    starts: int = 24
    """Starts of the fit of a new product, for each order."""
    subspace: int = 10
    """Largest dimension in which new products are looked for first: all of space up to it, else
    the leading directions of the transformed residual's second moment."""
    steps: int = 60
    """Most steps of Levenberg-Marquardt in a fit."""
    z: float = 3.0
    """Standard errors by which a candidate has to lower the held-out loss."""
    gain: float = 1e-3
    """Share of the held-out loss by which it has to."""
    ridge: float = 1e-3
    """Weight of `1/2 ||w||^2` for the logistic loss and cross-entropy, which have no minimum on
    classes that can be told apart."""
    dense: int = 2000
    """Most parameters of a fit by Levenberg-Marquardt; above, L-BFGS."""
    steps_large: int = 500
    """Most steps of L-BFGS."""

    def __post_init__(self) -> None:
        Template(self.powers, self.interactions, 1, self.bases)
        object.__setattr__(self, "powers", tuple(sorted(self.powers)))
        object.__setattr__(self, "interactions", tuple(sorted(self.interactions)))
        object.__setattr__(self, "bases", tuple(self.bases))
        if isinstance(self.sources, str) or not self.sources:
            raise TypeError(f"sources must be a tuple of names, got {self.sources!r}")
        for source in self.sources:
            _check.choice("sources", source, SOURCES)
        object.__setattr__(self, "sources", tuple(self.sources))
        for name in (
            "max_terms",
            "max_monomials",
            "starts",
            "subspace",
            "steps",
            "dense",
            "steps_large",
        ):
            _check.positive_integer(name, getattr(self, name))
        for name in ("z", "gain", "ridge"):
            _check.non_negative(name, getattr(self, name))
        if not 0 < _check.positive("holdout", self.holdout) < 1:
            raise ValueError(f"holdout must lie between 0 and 1, got {self.holdout!r}")

    @property
    def order(self) -> int:
        """Largest order of a term."""
        return max((*self.powers, *self.interactions), default=0)
