import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax.runs import Checkpoints


def state(value):
    return {"a": jnp.full((2, 3), value, jnp.float32), "b": (np.arange(3) * value, jnp.array(2))}


def test_the_newest_state_comes_back(tmp_path):
    with Checkpoints(tmp_path / "deep" / "folder") as kept:
        assert kept.restore(state(0)) is None
        kept.save(1, state(1))
        kept.save(2, state(2))
    with Checkpoints(tmp_path / "deep" / "folder") as kept:
        found = kept.restore(jax.tree.map(jnp.zeros_like, state(0)))
        jax.tree.map(np.testing.assert_array_equal, found, state(2))
        assert found["a"].dtype == jnp.float32
        kept.save(3, found)
    steps = {path.name for path in (tmp_path / "deep" / "folder").iterdir()}
    assert "3" in steps
    assert not steps & {"1", "2"}


def test_another_structure_is_refused(tmp_path):
    with Checkpoints(tmp_path) as kept:
        kept.save(1, state(1))
        with pytest.raises((ValueError, KeyError)):
            kept.restore({"other": jnp.zeros(3)})
