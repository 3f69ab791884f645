"""Pytrees as flat vectors, with a hashable way back, so that compiled programs are shared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Layout:
    """Structure, shapes and dtypes of a pytree: what a flat vector needs to become it again.

    `jax.flatten_util.ravel_pytree` returns a new function at every call, which as a static argument
    would compile anew each time; two equal layouts hash alike.
    """

    structure: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]

    @classmethod
    def of(cls, tree: Any) -> Layout:
        """The layout of a pytree of arrays."""
        leaves, structure = jax.tree.flatten(tree)
        return cls(
            structure,
            tuple(tuple(leaf.shape) for leaf in leaves),
            tuple(str(leaf.dtype) for leaf in leaves),
        )

    @property
    def size(self) -> int:
        """Number of entries of all leaves together."""
        return sum(int(np.prod(shape, dtype=int)) for shape in self.shapes)

    def flat(self, tree: Any) -> jax.Array:
        """Concatenate the leaves of a pytree of this layout, in the widest of their dtypes."""
        return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)])

    def tree(self, flat: jax.Array) -> Any:
        """The pytree whose concatenated leaves are `flat`."""
        leaves, at = [], 0
        for shape, dtype in zip(self.shapes, self.dtypes, strict=True):
            size = int(np.prod(shape, dtype=int))
            leaves.append(flat[at : at + size].reshape(shape).astype(dtype))
            at += size
        return jax.tree.unflatten(self.structure, leaves)

    def trees(self, rows: Any) -> Any:
        """The pytree with a leading axis whose i-th entries are row i of `rows`, on the host."""
        leaves, at = [], 0
        for shape, dtype in zip(self.shapes, self.dtypes, strict=True):
            size = int(np.prod(shape, dtype=int))
            part = np.asarray(rows)[:, at : at + size].reshape(len(rows), *shape).astype(dtype)
            leaves.append(jax.device_put(part))
            at += size
        return jax.tree.unflatten(self.structure, leaves)
