"""Memory that is counted, and maps that programs give back."""

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import runs
from nsjax.runs import memory


def test_peak_is_that_of_the_function_alone():
    """Of two arrays, the second after the first is gone: the larger one."""

    def work():
        np.ones(2**22)
        np.ones(2**24)
        return 7

    result, peak = runs.peak_memory(work)
    assert result == 7
    if memory._RESET.exists():
        assert 100 < peak < 300  # MiB: 32, then 128
    else:
        assert np.isnan(peak)


def test_peak_is_not_a_number_where_it_is_not_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_RESET", tmp_path / "missing" / "file")
    result, peak = runs.peak_memory(lambda: 7)
    assert result == 7
    assert np.isnan(peak)


def test_programs_are_freed_when_they_hold_too_many_maps(monkeypatch, tmp_path):
    few = tmp_path / "most"
    traced = []

    @jax.jit
    def program(x):
        traced.append(x)
        return x + 1

    program(jnp.ones(3))
    assert memory.spare_maps() is False
    program(jnp.ones(3))
    assert len(traced) == 1
    few.write_text("10\n")
    monkeypatch.setattr(memory, "_MOST_MAPS", few)
    if memory._MAPS.exists():
        assert memory.spare_maps() is True
        program(jnp.ones(3))
        assert len(traced) == 2
    monkeypatch.setattr(memory, "_MAPS", tmp_path / "missing")
    assert memory.spare_maps() is False
