"""What a flow watches for, and what it saves."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nsjax import _check

BUILT_IN = ("loss", "grad_norm")


@dataclass(frozen=True)
class Event:
    """Stop where a scalar quantity crosses a value; the crossing time is located by bisection.

    Args:
        quantity: "loss", "grad_norm", or the name of a saved observable that is a scalar.
        below: stop once the quantity is below this value, or
        above: stop once it is above this value. Exactly one of the two.

    Raises:
        ValueError: if neither or both of `below` and `above` are given, or one is not finite.

    >>> Event("grad_norm", below=1e-8)
    Event(quantity='grad_norm', below=1e-08, above=None)
    """

    quantity: str
    below: float | None = None
    above: float | None = None

    def __post_init__(self) -> None:
        if (self.below is None) == (self.above is None):
            raise ValueError(
                "an Event takes exactly one of below and above, got "
                f"below={self.below!r}, above={self.above!r}"
            )
        value = self.below if self.above is None else self.above
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError(f"an Event's value must be a number, got {value!r}")
        if not np.isfinite(self.threshold):
            raise ValueError(f"an Event's value must be finite, got {self.threshold!r}")

    @property
    def threshold(self) -> float:
        """The value to cross."""
        return float(self.below if self.above is None else self.above)  # type: ignore[arg-type]

    @property
    def sign(self) -> int:
        """1 where the quantity rises past the value, -1 where it falls."""
        return 1 if self.below is None else -1


@dataclass(frozen=True)
class Saves:
    """Saves of the loss, the gradient norm and chosen observables, log-spaced or evenly spaced.

    Args:
        count: how many times, after the start.
        decades: the first time is the horizon over 10 to this power; 0 for even spacing.
        observables: name to pure function `(params, *args) -> array`; hashable functions, so that
            calling again with the same ones does not compile again.
        snapshots: whether to keep the parameters at every save too.

    Raises:
        TypeError, ValueError: for a bad count or number of decades, or an observable that is not
            callable or takes a built-in name.
    """

    count: int = 200
    decades: float = 8.0
    observables: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    snapshots: bool = False

    def __post_init__(self) -> None:
        _check.positive_integer("saves.count", self.count)
        _check.non_negative("saves.decades", self.decades)
        if not isinstance(self.observables, Mapping):
            raise TypeError(
                f"saves.observables must map names to functions, got {self.observables!r}"
            )
        for name, function in self.observables.items():
            _check.function(f"saves.observables[{name!r}]", function)
            if name in BUILT_IN:
                raise ValueError(
                    f"saves.observables must not redefine {name!r}, it is saved anyway"
                )

    @property
    def fractions(self) -> np.ndarray:
        """Shares of the horizon at which to save, from zero."""
        if self.decades == 0:
            return np.linspace(0, 1, self.count + 1)
        return np.concatenate([[0.0], np.logspace(-self.decades, 0, self.count)])


def check_events(events: Any, observables: Mapping[str, Any]) -> tuple[Event, ...]:
    """Return the events as a tuple if each watches a quantity that there is."""
    if isinstance(events, str) or not isinstance(events, Event | Sequence):
        raise TypeError(f"events must be nsjax.dynamics.Event objects, got {events!r}")
    events = (events,) if isinstance(events, Event) else tuple(events)
    there = (*BUILT_IN, *observables)
    for event in events:
        if not isinstance(event, Event):
            raise TypeError(f"events must be nsjax.dynamics.Event objects, got {event!r}")
        if event.quantity not in there:
            raise ValueError(
                f"an event watches the quantity {event.quantity!r}, which is not saved; there are "
                + ", ".join(repr(name) for name in there)
            )
    return events
