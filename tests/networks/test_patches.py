"""Moments of patches against sliding windows of NumPy and against the convolution itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax.networks import patch_moments
from nsjax.networks.patches import PatchMoments


def windows(images, size, strides, pads):
    """Patches `(count, kh kw c)`, cut out one by one by NumPy."""
    padded = np.pad(images, ((0, 0), *pads, (0, 0)))
    found = np.lib.stride_tricks.sliding_window_view(padded, size, axis=(1, 2))
    found = found[:, :: strides[0], :: strides[1]]
    return found.transpose(0, 1, 2, 4, 5, 3).reshape(-1, size[0] * size[1] * images.shape[-1])


@pytest.mark.parametrize(
    ("size", "strides", "padding", "pads"),
    [
        ((3, 2), (1, 2), "VALID", ((0, 0), (0, 0))),
        ((3, 3), (1, 1), "SAME", ((1, 1), (1, 1))),
        ((2, 3), (2, 1), ((1, 0), (2, 1)), ((1, 0), (2, 1))),
    ],
)
def test_moments_are_those_of_all_windows(size, strides, padding, pads):
    images = np.random.default_rng(0).normal(0.5, 1, (5, 6, 7, 3))
    # Five images in batches of two: the last one is filled up.
    found = patch_moments(images, size, strides=strides, padding=padding, batch=2)
    patches = windows(images, size, strides, pads)
    assert found.patches == len(patches)
    np.testing.assert_allclose(found.mean, patches.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(found.second, patches.T @ patches / len(patches), atol=1e-12)
    covariance = np.cov(patches.T, bias=True)
    np.testing.assert_allclose(found.about(found.mean), covariance, atol=1e-12)
    kept = patches.reshape(len(patches), -1, 3)[:, :, 1:].reshape(len(patches), -1)
    some = found.channels(slice(1, 3), 3)
    np.testing.assert_allclose(some.second, kept.T @ kept / len(kept), atol=1e-12)


def test_they_give_the_mean_square_of_a_convolution():
    images = jax.random.normal(jax.random.key(0), (4, 8, 8, 2)) ** 2
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 2, 5))
    outputs = jax.lax.conv_general_dilated(
        images, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    moments = patch_moments(images, 3, strides=2)
    matrix = kernel.reshape(-1, 5)
    expected = jnp.mean(jnp.sum(outputs**2, axis=-1))
    np.testing.assert_allclose(jnp.trace(matrix.T @ moments.second @ matrix), expected, rtol=1e-12)
    assert isinstance(moments, PatchMoments)


@pytest.mark.parametrize(
    ("images", "size", "options", "message"),
    [
        (np.ones((2, 3, 3)), 3, {}, r"images must have shape \(n, h, w, c\), got \(2, 3, 3\)"),
        (np.full((2, 3, 3, 1), np.nan), 3, {}, "images must be finite, got 18 NaN"),
        ("a", 3, {}, "images must be an array, got 'a'"),
        (np.ones((2, 3, 3, 1)), 1.5, {}, "kernel_size must be a positive integer, got 1.5"),
        (np.ones((2, 3, 3, 1)), 4, {"padding": "VALID"}, "kernel_size must fit into images"),
        (np.ones((2, 3, 3, 1)), (3, 3, 3), {}, "kernel_size must be one or two"),
        (np.ones((2, 3, 3, 1)), 3, {"padding": "FULL"}, "padding must be one of"),
        (np.ones((2, 3, 3, 1)), 3, {"padding": ((1, -1), (0, 0))}, "padding must be an integer >="),
        (np.ones((2, 3, 3, 1)), 3, {"padding": 0.5}, "padding must be an integer >= 0, got 0.5"),
        (np.ones((2, 3, 3, 1)), 3, {"padding": ((1, 1),)}, "padding must have two pairs"),
        (np.ones((2, 3, 3, 1)), 3, {"batch": 0}, "batch must be a positive integer"),
    ],
)
def test_bad_arguments_are_named(images, size, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        patch_moments(images, size, **options)


def test_points_and_channels_have_to_fit():
    moments = patch_moments(np.ones((1, 4, 4, 2)), 3)
    with pytest.raises(ValueError, match=r"point must have shape \(18,\)"):
        moments.about(np.ones(2))
    with pytest.raises(ValueError, match="whole must divide 18, the patches' size, got 5"):
        moments.channels(slice(0, 1), 5)
