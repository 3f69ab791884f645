"""CPU seconds without those of compilation."""

import jax
import jax.numpy as jnp

from nsjax import runs


def test_seconds_are_without_compilation():
    """What compiles is called again."""
    clock, calls = runs.Compilations(), []

    def work():
        calls.append(None)
        clock.count += len(calls) == 1
        return len(calls)

    result, seconds = clock.warm(work)
    assert (result, len(calls)) == (2, 2)
    assert seconds >= 0


def test_a_program_is_compiled_in_the_first_of_two_calls():
    clock, calls = runs.Compilations(), []
    square = jax.jit(lambda x: x * x + 1)

    def work():
        calls.append(None)
        return float(square(jnp.arange(3.0))[2])

    assert clock.warm(work)[0] == 5
    assert len(calls) == 2
