"""Threads of the LAPACK that XLA calls on a CPU, which is SciPy's OpenBLAS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_found: list[Any] | None = None


@contextmanager
def one_lapack_thread() -> Iterator[None]:
    """LAPACK with one thread, for batches of small matrices that are factored again and again.

    From 128 rows on OpenBLAS shares a Cholesky factor out among threads that wait for each other
    busily: where other work has the cores, one that takes 0.1 ms takes up to 80. The library that
    NumPy's wheel brings for itself is left alone. Without threadpoolctl nothing is done. What is
    computed inside has to be waited for inside.
    """
    libraries = _libraries()
    before = [library.get_num_threads() for library in libraries]
    for library in libraries:
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library, threads in zip(libraries, before, strict=True):
            library.set_num_threads(threads)


def _libraries() -> list[Any]:
    """Controllers of SciPy's OpenBLAS, looked for once: loaded libraries are many."""
    global _found
    if _found is None:
        import scipy.linalg.cython_lapack  # noqa: F401  # as jaxlib does: so it is loaded

        try:
            from threadpoolctl import ThreadpoolController
        except ImportError:
            _found = []
        else:
            loaded = ThreadpoolController().lib_controllers
            _found = [
                each
                for each in loaded
                if each.internal_api == "openblas" and "numpy.libs" not in each.filepath
            ]
    return _found
