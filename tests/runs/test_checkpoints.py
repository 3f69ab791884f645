import os
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax.runs import Checkpoints, RunError, checkpoints


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
        with pytest.raises(ValueError, match="step must be above 3, got 2"):
            kept.save(2, found)
    steps = {path.name for path in (tmp_path / "deep" / "folder").iterdir()}
    assert steps == {"2", "2.sha256.json", "3", "3.sha256.json"}
    checkpoints.discard(tmp_path / "deep" / "folder")
    checkpoints.discard(tmp_path / "deep" / "folder")
    assert not list((tmp_path / "deep").iterdir())


def test_shapes_may_have_grown(tmp_path):
    with Checkpoints(tmp_path) as kept:
        kept.save(1, {"w": np.ones((4, 2))})
        assert kept.restore({"w": np.ones((2, 2))})["w"].shape == (4, 2)


def test_keys_and_empty_arrays_come_back(tmp_path):
    key = jax.random.split(jax.random.key(3), 2)
    with Checkpoints(tmp_path) as kept:
        kept.save(1, {"key": key, "none": np.zeros((2, 0)), "one": np.float64(2)})
        found = kept.restore({"key": key, "none": np.zeros((2, 0)), "one": np.zeros(())})
    assert found["none"].shape == (2, 0)
    assert found["one"] == 2
    assert jax.random.bits(found["key"][1]) == jax.random.bits(key[1])


def test_states_that_come_too_soon_are_left_out(tmp_path):
    with Checkpoints(tmp_path, every=3600) as kept:
        assert kept.save(1, state(1))
        assert not kept.save(2, state(2))
        assert kept.restore(state(0))["a"][0, 0] == 1


def test_another_structure_is_refused(tmp_path):
    with Checkpoints(tmp_path) as kept:
        kept.save(1, state(1))
        with pytest.raises(ValueError, match="must have 1 arrays, has 3"):
            kept.restore({"other": jnp.zeros(3)})
    with pytest.raises(ValueError, match="keep must be an integer >= 2, got 1"):
        Checkpoints(tmp_path, keep=1)


def largest(folder):
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda path: path.stat().st_size)


def flip(folder):
    path = largest(folder)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def cut(folder):
    path = largest(folder)
    path.write_bytes(path.read_bytes()[:-7])


DAMAGES = {"flipped": flip, "cut": cut, "missing": lambda folder: largest(folder).unlink()}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_last_good_state_is_taken(tmp_path, damage):
    said = []
    with Checkpoints(tmp_path) as kept:
        kept.save(1, state(1))
        kept.save(2, state(2))
    DAMAGES[damage](tmp_path / "2")
    with Checkpoints(tmp_path, report=said.append) as kept:
        assert kept.restore(state(0))["a"][0, 0] == 1
        kept.save(2, state(5))
        assert kept.restore(state(0))["a"][0, 0] == 5
    assert len(said) == 1
    assert "the state of step 2" in said[0]
    assert "is missing" in said[0] if damage == "missing" else "not what was saved" in said[0]
    # Nothing is overwritten: the damaged one lies aside.
    assert [path.name.partition("-")[0] for path in (tmp_path / "damaged").iterdir()] == ["2"]


def test_no_whole_state_is_an_error(tmp_path):
    with Checkpoints(tmp_path) as kept:
        kept.save(1, state(1))
        kept.save(2, state(2))
    flip(tmp_path / "1")
    (tmp_path / "2.sha256.json").write_text("{")
    with (
        Checkpoints(tmp_path) as kept,
        pytest.raises(RunError, match=r"is whole: step 2: .*step 1"),
    ):
        kept.restore(state(0))
    assert {"1", "2"} <= {path.name for path in tmp_path.iterdir()}


def test_a_state_whose_writing_was_interrupted_is_passed_over(tmp_path):
    said = []
    with Checkpoints(tmp_path) as kept:
        kept.save(1, state(1))
        kept.save(2, state(2))
    (tmp_path / "2.sha256.json").unlink()  # written last
    with Checkpoints(tmp_path, report=said.append) as kept:
        assert kept.restore(state(0))["a"][0, 0] == 1
        assert kept.save(2, state(2))
    assert said == []


SAVES = """
import sys
import numpy as np
from nsjax.runs import Checkpoints
with Checkpoints(sys.argv[1]) as kept:
    like = {"x": np.zeros(1), "step": np.zeros(())}
    found = kept.restore(like)
    step = 0 if found is None else int(found["step"])
    print(step, flush=True)
    while True:
        step += 1
        kept.save(step, {"x": np.full(200_000, float(step)), "step": np.array(float(step))})
        print(step, flush=True)
"""


def test_killed_while_saving(tmp_path):
    """At five moments, several states in: what was saved before the kill comes back, whole."""
    rng, before = np.random.default_rng(0), 0
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", SAVES, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
        ) as process:
            first = int(process.stdout.readline())
            assert first >= before
            process.stdout.readline()
            time.sleep(rng.uniform(0.05, 0.4))
            process.send_signal(signal.SIGKILL)
            lines = process.stdout.read().split()
        before = int(lines[-1]) if lines else first + 1
    with Checkpoints(tmp_path) as kept:
        found = kept.restore({"x": np.zeros(1), "step": np.zeros(())})
    assert found["step"] >= before
    assert np.all(found["x"] == found["step"])
