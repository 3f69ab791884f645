"""Pytrees as flat vectors and back."""

import jax
import jax.numpy as jnp
import numpy as np

from nsjax._flat import Layout

TREE = {"a": jnp.arange(6.0).reshape(2, 3), "b": (jnp.array(7.0), jnp.zeros((0, 2)))}


def test_there_and_back():
    """The entries in the order of the leaves, scalars and empty leaves included."""
    layout = Layout.of(TREE)
    flat = layout.flat(TREE)
    assert layout.size == 7
    assert flat.tolist() == [0, 1, 2, 3, 4, 5, 7]
    back = layout.tree(2 * flat)
    assert jax.tree.structure(back) == jax.tree.structure(TREE)
    for leaf, wanted in zip(jax.tree.leaves(back), jax.tree.leaves(TREE), strict=True):
        assert leaf.shape == wanted.shape
        np.testing.assert_array_equal(leaf, 2 * wanted)


def test_dtypes_come_back():
    """Flat in the widest dtype, every leaf in its own again."""
    tree = (jnp.ones(2, jnp.float32), jnp.ones(1, jnp.float64))
    layout = Layout.of(tree)
    flat = layout.flat(tree)
    assert flat.dtype == jnp.float64
    assert [leaf.dtype for leaf in layout.tree(flat)] == [jnp.float32, jnp.float64]


def test_equal_layouts_hash_alike():
    """Other values make no other layout; another shape, dtype or structure does."""
    layout = Layout.of(TREE)
    assert hash(layout) == hash(Layout.of(jax.tree.map(jnp.ones_like, TREE)))
    others = [
        Layout.of({**TREE, "a": jnp.zeros((3, 2))}),
        Layout.of({**TREE, "a": jnp.zeros((2, 3), jnp.float32)}),
        Layout.of({"a": TREE["a"], "c": TREE["b"]}),
    ]
    assert len({layout, *others}) == 4
