"""Small saddles for the tests of dynamics, trained once and kept."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import jax

import nsjax
from nsjax import data, dynamics, networks


class Case(NamedTuple):
    """What `dynamics.escape` takes."""

    params: networks.homogeneous.Params
    inactive: tuple
    x: jax.Array
    y: jax.Array
    activation: nsjax.PolyLeakyReLU

    @property
    def problem(self) -> tuple:
        """Positional arguments of `escape`."""
        return self.params, self.inactive, self.x, self.y, self.activation


@cache
def saddle(
    p: int = 2,
    slope: float = 1.0,
    *,
    active: tuple[int, ...] = (1,),
    widths: tuple[int, ...] = (3,),
    outputs: int = 1,
    seed: int = 0,
    samples: int = 40,
    dimension: int = 4,
) -> Case:
    """A trained saddle of a network with these hidden layers."""
    keys = jax.random.split(jax.random.key(seed), 3)
    activation = nsjax.PolyLeakyReLU(p, slope)
    x = data.sphere(keys[0], samples, dimension)
    hidden = (3,) * len(widths)
    y = networks.teacher_targets(keys[1], x, activation, hidden=hidden, outputs=outputs)
    found = dynamics.train_saddle(
        keys[2], x, y, activation, active=active, widths=widths, attempts=3
    )
    assert found.result == 0, found.message
    return Case(found.params, found.inactive, x, y, activation)
