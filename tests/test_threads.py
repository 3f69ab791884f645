"""Threads of LAPACK: one inside, as many as before outside, and NumPy's own left alone."""

import sys

import jax.numpy as jnp
import numpy as np
from threadpoolctl import ThreadpoolController

from nsjax import _threads


def counts():
    return {each.filepath: each.num_threads for each in ThreadpoolController().lib_controllers}


def test_one_inside_and_as_before_outside():
    ours = {library.filepath for library in _threads._libraries()}
    assert ours, "SciPy's wheel brings an OpenBLAS"
    before = counts()
    with _threads.one_lapack_thread():
        inside = counts()
        # What XLA calls is what was limited: a factor of 128 rows is shared out otherwise.
        matrix = np.eye(128) + 0.001
        np.testing.assert_allclose(jnp.linalg.cholesky(matrix), np.linalg.cholesky(matrix), 1e-12)
    assert {inside[path] for path in ours} == {1}
    assert all(inside[path] == n for path, n in before.items() if path not in ours)
    assert counts() == before


def test_without_threadpoolctl_nothing_is_done(monkeypatch):
    monkeypatch.setattr(_threads, "_found", None)
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    before = counts()
    with _threads.one_lapack_thread():
        assert counts() == before
