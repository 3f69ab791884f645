"""Orbits of the tent and the full logistic map from bits, and of any map with many digits.

A step of the tent map shifts the binary digits of x by one, and flips them all if the first was 1.
So with random bits `s_0, s_1, ...` the number whose digits are `s_{m+1} ^ s_m, s_{m+2} ^ s_m, ...`
is `T^m` of the one with `m = 0`, to all digits, at any depth: the orbit is a window that slides
along the bits, and nothing is ever rounded but what is returned. The logistic map is the tent map
in the coordinate `x = sin^2(pi theta / 2)`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from nsjax import _check
from nsjax.neuronseek.orbits.maps import LOGISTIC, NeuronMap, check_map

if TYPE_CHECKING:
    from jaxtyping import Float, PRNGKeyArray, UInt32

WORD = 32
"""Bits of a word of random bits."""


def random_words(key: PRNGKeyArray, steps: int, *, count: int = 1) -> UInt32[np.ndarray, "k w"]:
    """Random bits for `count` tent orbits of `steps` steps, in words of 32, the highest first.

    Args:
        key: PRNG key.
        steps: of every orbit.
        count: k, how many orbits.

    Returns:
        `(count, words)`.

    Raises:
        TypeError, ValueError: for a bad key, or counts that are no positive integers.

    >>> random_words(jax.random.key(0), 40, count=3).shape
    (3, 5)
    """
    _check.key("key", key)
    steps = _check.positive_integer("steps", steps)
    words = -(-(steps + 1) // WORD) + 3
    shape = (_check.positive_integer("count", count), words)
    return np.asarray(jax.random.bits(key, shape, "uint32"))


def tent_orbits(words: UInt32[np.ndarray, "k w"], steps: int) -> Float[np.ndarray, "k m"]:
    """Orbits of the tent map, exact to the rounding of a float64, `(k, steps + 1)`.

    Args:
        words: bits, `(k, w)` with `32 (w - 3) > steps`, from `random_words`. They are the whole
            start: `steps + 64` binary digits of it.
        steps: number of steps.

    Raises:
        TypeError, ValueError: for words of another kind, or too few.

    >>> words = np.array([[0b0011 << 28, 0, 0, 0]], np.uint32)  # 0.011, the first bit is no digit
    >>> tent_orbits(words, 4)[0]
    array([0.375, 0.75 , 0.5  , 1.   , 0.   ])
    """
    steps = _check.positive_integer("steps", steps)
    _words(words, 2)
    if WORD * (words.shape[1] - 3) <= steps:
        raise ValueError(
            f"words must have more than {steps} bits and three words, got {words.shape[1]} words"
        )
    wide = words.astype(np.uint64)
    shifts = np.arange(1, WORD + 1, dtype=np.uint64)
    two = (wide[:, :-2] << np.uint64(32)) | wide[:, 1:-1]
    # 64 bits from the place after each bit on; a shift by 32 leaves the lower word.
    windows = (two[..., None] << shifts) | (wide[:, 2:, None] >> (np.uint64(32) - shifts))
    flips = (wide[:, :-2, None] >> (np.uint64(32) - shifts)) & np.uint64(1)
    windows ^= np.uint64(0) - flips  # all ones where the bit before is 1
    tails = windows.reshape(len(words), -1)[:, : steps + 1]
    # A window that is all ones stands for 1, as the digits of 1 go on for ever.
    return np.ldexp(tails.astype(np.float64), -64)


def _fraction(start: Any) -> None:
    if not isinstance(start, Fraction) or not 0 <= start <= 1:
        raise ValueError(f"start must be a Fraction from 0 to 1, got {start!r}")


def _words(words: Any, axes: int) -> None:
    if not isinstance(words, np.ndarray) or words.dtype != np.uint32 or words.ndim != axes:
        got = f"{words.dtype} of shape {words.shape}" if isinstance(words, np.ndarray) else words
        raise TypeError(f"words must be an array of uint32 with {axes} axes, got {got!r}")


def logistic_orbits(words: UInt32[np.ndarray, "k w"], steps: int) -> Float[np.ndarray, "k m"]:
    """Orbits of `4 x (1 - x)`, exact to the rounding of a float64.

    Args:
        words, steps: as in `tent_orbits`.

    Raises:
        TypeError, ValueError: as `tent_orbits`.

    >>> words = np.array([[0b0011 << 28, 0, 0, 0]], np.uint32)  # of the tent map from 3/8
    >>> logistic_orbits(words, 2)[0].round(4).tolist()
    [0.3087, 0.8536, 0.5]
    """
    return from_tent(tent_orbits(words, steps))


def from_tent(theta: Any) -> Any:
    """`sin^2(pi theta / 2)`: carries orbits of the tent map to those of the logistic map.

    >>> from_tent([0.0, 0.5, 1.0]).round(6).tolist()
    [0.0, 0.5, 1.0]
    """
    return np.sin(np.pi / 2 * np.asarray(theta)) ** 2


def start_of(words: UInt32[np.ndarray, " w"]) -> Fraction:
    """The number whose orbit `tent_orbits` gives, all its digits.

    Raises:
        TypeError: for words that are no vector of uint32.

    >>> start_of(np.array([0b0011 << 28], np.uint32))
    Fraction(3, 8)
    """
    _words(words, 1)
    stream = int.from_bytes(words.astype(">u4").tobytes(), "big")
    bits = WORD * len(words) - 1
    first, rest = stream >> bits, stream & ((1 << bits) - 1)
    return Fraction(rest ^ ((1 << bits) - 1) if first else rest, 1 << bits)


def tent_fractions(start: Fraction, steps: int) -> Float[np.ndarray, " m"]:
    """The tent orbit of a fraction in integers, exact and slow: what windows are checked with.

    Args:
        start: from 0 to 1.
        steps: number of steps.

    Raises:
        TypeError, ValueError: for a start that is no such Fraction, or a bad number of steps.

    >>> tent_fractions(Fraction(3, 8), 3).tolist()
    [0.375, 0.75, 0.5, 1.0]
    """
    _check.positive_integer("steps", steps)
    _fraction(start)
    one, x, found = start.denominator, start.numerator, []
    for _ in range(steps + 1):
        found.append(x / one)
        x = 2 * min(x, one - x)
    return np.array(found)


def precise_orbit(map: NeuronMap, start: Any, steps: int, *, bits: int) -> list[Any]:
    """The orbit of a start in numbers of so many bits, as a list of `steps + 1` mpmath numbers.

    About a bit is lost a step: with `steps + 64` bits the last point is right to float64.

    Args:
        map: the map; its coefficients count as exact.
        start: a number, a fraction, or an mpmath number.
        steps: number of steps.
        bits: precision.

    Raises:
        ImportError: without mpmath.
        TypeError, ValueError: for bad numbers.
    """
    mpmath = _mpmath()
    check_map(map)
    steps = _check.positive_integer("steps", steps)
    if isinstance(start, str | bool) or not 0 <= start <= 1:
        raise ValueError(f"start must be a number from 0 to 1, got {start!r}")
    with mpmath.workprec(_check.positive_integer("bits", bits)):
        if isinstance(start, Fraction):
            start = mpmath.mpf(start.numerator) / start.denominator
        found = [mpmath.mpf(start)]
        for _ in range(steps):
            found.append(_precise(mpmath, map, found[-1]))
    return found


def logistic_fractions(start: Fraction, steps: int) -> list[Any]:
    """The orbit of `sin^2(pi start / 2)` under `4 x (1 - x)`, stepped in mpmath numbers.

    Slow: what `logistic_orbits` is checked with.

    Args:
        start: from 0 to 1.
        steps: number of steps.

    Raises:
        ImportError: without mpmath.
        TypeError, ValueError: for a start that is no such Fraction, or a bad number of steps.
    """
    steps = _check.positive_integer("steps", steps)
    _fraction(start)
    mpmath = _mpmath()
    bits = steps + 128
    with mpmath.workprec(bits):
        theta = mpmath.mpf(start.numerator) / start.denominator
        x = mpmath.sin(mpmath.pi * theta / 2) ** 2
    return precise_orbit(LOGISTIC, x, steps, bits=bits)


def bits_of_gaps(map: NeuronMap, start: Fraction, steps: int) -> Float[np.ndarray, " m"]:
    """`log2` of the distance between orbits that start `2^-(steps + 32)` apart, `(steps + 1,)`.

    Its slope is the Lyapunov exponent over log 2, with no derivative taken.

    Args:
        map: the map.
        start: where the first orbit starts.
        steps: number of steps.

    Raises:
        ImportError: without mpmath.
        TypeError, ValueError: for another map, a start that is no Fraction from 0 to 1, or a bad
            number of steps.
    """
    steps = _check.positive_integer("steps", steps)
    _fraction(start)
    mpmath = _mpmath()
    gap = steps + 32
    bits = gap + steps + 64
    pair = [precise_orbit(map, x, steps, bits=bits) for x in (start, start + Fraction(1, 1 << gap))]
    with mpmath.workprec(bits):
        return np.array([float(mpmath.log(abs(a - b), 2)) for a, b in zip(*pair, strict=True)])


def as_floats(orbit: list[Any]) -> Float[np.ndarray, " m"]:
    """An orbit of mpmath numbers in float64.

    >>> as_floats([Fraction(1, 4), Fraction(1, 2)]).tolist()
    [0.25, 0.5]
    """
    return np.array([float(x) for x in orbit])


def horizon(rounded: Any, exact: Any, *, tol: float = 0.01) -> int:
    """Steps until a rounded orbit is further than `tol` from the exact one; -1 if it never is.

    Args:
        rounded, exact: orbits `(m,)`.
        tol: distance, positive.

    Raises:
        TypeError, ValueError: for orbits of different lengths, or a `tol` that is not positive.

    >>> horizon([0.1, 0.2, 0.5], [0.1, 0.2, 0.4])
    2
    """
    rounded, exact = np.asarray(rounded), np.asarray(exact)
    if rounded.ndim != 1 or rounded.shape != exact.shape:
        raise ValueError(
            f"rounded and exact must be orbits of one length, got {rounded.shape} and {exact.shape}"
        )
    far = np.abs(rounded - exact) > _check.positive("tol", tol)
    return int(np.argmax(far)) if far.any() else -1


def _mpmath() -> Any:
    try:
        import mpmath
    except ImportError as error:
        raise ImportError(
            "orbits with many digits need mpmath: install it with pip install 'nsjax[run]'"
        ) from error
    return mpmath


def _precise(mpmath: Any, map: NeuronMap, x: Any) -> Any:
    known = {
        "relu": lambda t: max(t, mpmath.mpf(0)),
        "sine": mpmath.sin,
        "sigmoid": lambda t: 1 / (1 + mpmath.exp(-t)),
        "tanh": mpmath.tanh,
        "softplus": lambda t: mpmath.log(1 + mpmath.exp(t)),
        "silu": lambda t: t / (1 + mpmath.exp(-t)),
        "gelu": lambda t: t * mpmath.ncdf(t),
        "golu": lambda t: t * mpmath.exp(-mpmath.exp(-t)),
    }
    s = known[map.activation]
    values = [s(mpmath.polyval([mpmath.mpf(c) for c in reversed(n)], x)) for n in map.neurons]
    return map.offset + mpmath.fdot(map.readout, values)
