"""Fourier spectra over a cyclic group of the neurons of modular addition."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nsjax import _check


class FourierModes(NamedTuple):
    """Neurons of a two-layer network on one-hot pairs modulo m, as waves; k neurons.

    Attributes:
        power: `(k, m // 2)` share of each frequency 1, 2, ... in the squared norms of the two
            incoming blocks and of the outgoing weights, each without its mean and each counting a
            third. Rows add up to 1.
        frequency: `(k,)` the one with most power, from 1 on.
        purity: `(k,)` its share; 1 for a single-frequency neuron, NaN for a constant one.
        phase: `(k, 3)` in radians: the blocks are `cos(2 pi f a / m + phase)` at that frequency.
        mismatch: `(k,)` `phase[0] + phase[1] - phase[2]` in (-pi, pi]: 0, or pi, for a neuron of
            even activation that is aligned with the sum.
    """

    power: jax.Array
    frequency: jax.Array
    purity: jax.Array
    phase: jax.Array
    mismatch: jax.Array


def fourier_modes(incoming: Any, outgoing: Any) -> FourierModes:
    """Frequencies, purities and phases of neurons on one-hot pairs, see `modular_addition`.

    Args:
        incoming: `(k, 2 m)`: weights of the first summand beside those of the second.
        outgoing: `(m, k)`.

    Raises:
        TypeError, ValueError: if they are no finite matrices that fit together, or m is below 3.

    Source: neuron pursuit (arXiv 2509.12154), section 5.2.2.

    >>> angles = 2 * jnp.pi * 2 * jnp.arange(7) / 7
    >>> wave = jnp.cos(angles)
    >>> modes = fourier_modes(jnp.concatenate([wave, wave])[None], wave[:, None])
    >>> int(modes.frequency[0]), round(float(modes.purity[0]), 3)
    (2, 1.0)
    """
    incoming, outgoing = _check.matrix("incoming", incoming), _check.matrix("outgoing", outgoing)
    m = outgoing.shape[0]
    if m < 3:
        raise ValueError(f"outgoing must have at least 3 rows, the modulus, got {m}")
    if incoming.shape != (outgoing.shape[1], 2 * m):
        raise ValueError(
            f"incoming must have shape (neurons, 2 m) = {(outgoing.shape[1], 2 * m)}, got "
            f"{incoming.shape}"
        )
    return _modes(jnp.stack([incoming[:, :m], incoming[:, m:], outgoing.T], axis=1))


@jax.jit
def _modes(blocks: jax.Array) -> FourierModes:
    waves = jnp.fft.rfft(blocks, axis=2)[:, :, 1:]
    shares = jnp.abs(waves) ** 2
    if blocks.shape[2] % 2 == 0:
        # The last one of an even modulus stands for itself alone, the others for a pair.
        shares = shares.at[:, :, -1].multiply(0.5)
    power = jnp.mean(shares / jnp.sum(shares, axis=2, keepdims=True), axis=1)
    top = jnp.argmax(power, axis=1)
    phase = jnp.angle(jnp.take_along_axis(waves, top[:, None, None], axis=2)[:, :, 0])
    turned = phase[:, 0] + phase[:, 1] - phase[:, 2]
    return FourierModes(
        power, top + 1, jnp.max(power, axis=1), phase, jnp.angle(jnp.exp(1j * turned))
    )
