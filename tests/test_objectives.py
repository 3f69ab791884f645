"""Losses and residuals against plain NumPy, and the NCF of a saddle against the network itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from nsjax import PolyLeakyReLU, networks, objectives

LOSSES = ("square", "logistic", "cross_entropy")
SIZES = ((1, 1), (1, 3), (2, 1), (3, 3), (7, 2), (50, 1), (51, 3))


def plain_loss(name, outputs, y):
    """The loss as a loop over samples and outputs in NumPy."""
    total = 0.0
    for h, t in zip(outputs, y, strict=True):
        if name == "square":
            total += sum((a - b) ** 2 for a, b in zip(h, t, strict=True)) / 2
        elif name == "logistic":
            total += sum(np.logaddexp(0, -a * b) for a, b in zip(h, t, strict=True))
        else:
            total += sum(b * (scipy.special.logsumexp(h) - a) for a, b in zip(h, t, strict=True))
    return total


def plain_residual(name, outputs, y):
    """Minus the gradient of the loss in the outputs, in closed form."""
    if name == "square":
        return y - outputs
    if name == "logistic":
        return y * scipy.special.expit(-y * outputs)
    return y - y.sum(axis=1, keepdims=True) * scipy.special.softmax(outputs, axis=1)


def targets(name, rng, samples, classes):
    """Targets that fit the loss: real numbers, signs, or probabilities."""
    if name == "square":
        return rng.normal(size=(samples, classes))
    if name == "logistic":
        return rng.choice([-1.0, 1.0], size=(samples, classes))
    return rng.dirichlet(np.ones(classes), size=samples)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(("samples", "classes"), SIZES)
def test_loss_and_residual_against_numpy(name, samples, classes):
    """A SUM over samples, equal to the plain loop at every count, for one output and several."""
    rng = np.random.default_rng(samples)
    outputs, y = 2 * rng.normal(size=(samples, classes)), targets(name, rng, samples, classes)
    loss, residual = jax.jit(
        lambda h, t: (objectives.LOSSES[name](h, t), objectives.residual(h, t, loss=name))
    )(outputs, y)
    assert loss.shape == ()
    np.testing.assert_allclose(loss, plain_loss(name, outputs, y), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(residual, plain_residual(name, outputs, y), atol=1e-14)


@pytest.mark.parametrize("name", LOSSES)
def test_residual_is_minus_the_gradient_by_finite_differences(name):
    """Central differences of the plain NumPy loss, entry by entry."""
    rng = np.random.default_rng(0)
    outputs, y = rng.normal(size=(3, 3)), targets(name, rng, 3, 3)
    residual = np.asarray(objectives.residual(jnp.asarray(outputs), jnp.asarray(y), loss=name))
    step = 1e-5
    for entry in np.ndindex(outputs.shape):
        shift = np.zeros_like(outputs)
        shift[entry] = step
        rise = plain_loss(name, outputs + shift, y) - plain_loss(name, outputs - shift, y)
        np.testing.assert_allclose(-rise / (2 * step), residual[entry], atol=1e-9)


def test_losses_stay_finite_at_large_outputs():
    """`log(1 + e^800)` is 800; the probability of a class 1,600 below the other is 0."""
    outputs = jnp.array([[800.0, -800.0]])
    assert float(objectives.logistic(outputs, jnp.array([[-1.0, -1.0]]))) == 800.0
    assert float(objectives.cross_entropy(outputs, jnp.array([[0.0, 1.0]]))) == 1600.0
    for name in ("logistic", "cross_entropy"):
        residual = objectives.residual(outputs, jnp.array([[1.0, 0.0]]), loss=name)
        assert bool(jnp.all(jnp.isfinite(residual)))


def test_targets_of_another_shape_do_not_broadcast():
    """`(n, 1)` against `(n,)` would silently be a sum over n^2 pairs."""
    for loss in objectives.LOSSES.values():
        with pytest.raises(ValueError, match=r"y must have the outputs' shape \(3, 1\), got \(3,"):
            loss(jnp.ones((3, 1)), jnp.ones(3))
    with pytest.raises(ValueError, match="y must have the outputs' shape"):
        jax.jit(objectives.residual)(jnp.ones((3, 1)), jnp.ones((3, 2)))


def test_unknown_loss_is_refused():
    """The message lists what there is."""
    with pytest.raises(ValueError, match=r"loss must be one of 'square', 'logistic', .* got 'mse'"):
        objectives.residual(jnp.ones((1, 1)), jnp.ones((1, 1)), loss="mse")
    with pytest.raises(ValueError, match="loss must be one of"):
        objectives.NetworkLoss(PolyLeakyReLU(2), loss="mse")
    with pytest.raises(TypeError, match="activation must be callable, got 2"):
        objectives.NetworkLoss(2)


@pytest.fixture(scope="module")
def problem():
    """A two-layer network with two outputs, inputs and targets."""
    rng = np.random.default_rng(3)
    params = networks.init(jax.random.key(0), (3, 4, 2))
    return params, jnp.asarray(rng.normal(size=(5, 3))), jnp.asarray(rng.normal(size=(5, 2)))


def test_network_loss_and_its_residual(problem):
    """The loss and the residual of the network's outputs; equal losses hash alike."""
    params, x, y = problem
    activation = PolyLeakyReLU(2, 0.3)
    outputs = np.asarray(networks.apply(params, x, activation))
    loss = objectives.NetworkLoss(activation)
    np.testing.assert_allclose(loss(params, x, y), plain_loss("square", outputs, y), rtol=1e-13)
    np.testing.assert_allclose(loss.residual(params, x, y), y - outputs, atol=1e-14)
    assert hash(loss) == hash(objectives.NetworkLoss(PolyLeakyReLU(2, 0.3), "square"))
    assert loss != objectives.NetworkLoss(activation, "logistic")


def test_gradient_of_the_loss_is_minus_that_of_the_residual_s_ncf(problem):
    """`grad f = -grad N_r`: gradient flow of any loss follows the NCF of its residual."""
    params, x, _ = problem
    y = jnp.where(jnp.arange(10).reshape(5, 2) % 3 == 0, 1.0, -1.0)
    activation = PolyLeakyReLU(2, 0.3)
    loss = objectives.NetworkLoss(activation, "logistic")
    residual = loss.residual(params, x, y)
    ncf = objectives.NetworkNCF(activation)
    for a, b in zip(jax.grad(loss)(params, x, y), jax.grad(ncf)(params, x, residual), strict=True):
        np.testing.assert_allclose(a, -b, atol=1e-13)


def test_ncf_of_any_model(problem):
    """`<z, model(params, x)>` for a model whose parameters are a dict; z has the outputs' shape."""
    _, x, z = problem

    def model(params, x):
        return jnp.tanh(x @ params["w"]) + params["b"]

    params = {"w": jnp.ones((3, 2)), "b": jnp.array([1.0, -1.0])}
    wanted = np.sum(z * (np.tanh(np.asarray(x).sum(axis=1))[:, None] + [1, -1]))
    np.testing.assert_allclose(objectives.ncf(model, params, x, z), wanted, rtol=1e-13)
    with pytest.raises(ValueError, match=r"z must have the outputs' shape \(5, 2\), got \(5, 1\)"):
        objectives.ncf(model, params, x, z[:, :1])


@pytest.mark.parametrize("activation", [PolyLeakyReLU(2, 0.0), PolyLeakyReLU(1, 1.0)])
def test_saddle_ncf_is_the_leading_term_of_the_network(activation):
    """`<r, H(w_n, t w_z) - H(w_n, 0)> / t^(p+1)` tends to N(w_z), the error falling with t.

    Three layers with zero neurons in both hidden layers, two outputs. The error is of order t or
    smaller, so a tenth of t leaves at most about a tenth of it.
    """
    rng = np.random.default_rng(4)
    widths, active = (3, 3, 4, 2), (3, 1, 2, 2)
    masks = [np.arange(k) >= a for k, a in zip(widths, active, strict=True)]
    drawn = networks.init(jax.random.key(1), widths)
    inside = [masks[i + 1][:, None] | masks[i][None, :] for i in range(3)]
    saddle = tuple(np.where(block, 0, w) for block, w in zip(inside, drawn, strict=True))
    block = tuple(np.where(block, w, 0) for block, w in zip(inside, drawn, strict=True))
    x, r = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))

    @jax.jit
    def ncf_and_change(saddle, block, t):
        features = networks.features(saddle, x, activation)
        pulled = networks.pullback(saddle, x, jnp.asarray(r), activation)
        moved = tuple(w + t * z for w, z in zip(saddle, block, strict=True))
        change = networks.apply(moved, x, activation) - networks.apply(saddle, x, activation)
        return objectives.SaddleNCF(activation)(block, features, pulled), jnp.sum(r * change)

    errors = []
    for t in (3e-2, 3e-3):
        ncf, change = ncf_and_change(saddle, block, t)
        errors.append(abs(float(change) / t ** (activation.p + 1) - float(ncf)))
    assert abs(ncf) > 0.1
    assert errors[0] < 0.5 * abs(ncf)
    assert errors[1] < 0.15 * errors[0]


def test_neuron_ncf_by_hand():
    """One sample, d = 2, one active neuron with outgoing (1, 2): `N = (B . v) (u . x)^2`."""
    params = (jnp.array([[1.0, 0.0]]), jnp.array([[1.0], [2.0]]))
    ncf = objectives.neuron_ncf(params, 1, [[2.0, 1.0]], [[3.0, -1.0]], PolyLeakyReLU(2))
    u, v = jnp.array([1.0, 1.0]), jnp.array([0.5, 2.0])
    assert float(ncf(u, v)) == (3 * 0.5 - 2.0) * 9
    assert jax.grad(ncf)(u, v).tolist() == [-0.5 * 2 * 3 * 2, -0.5 * 2 * 3 * 1]


def test_neuron_ncf_refuses_what_does_not_fit():
    """The residual is called residual in its messages, the layer layer."""
    params, act = (jnp.ones((1, 2)), jnp.ones((2, 1))), PolyLeakyReLU(2)
    with pytest.raises(ValueError, match=r"residual must have 2 columns, got shape \(3, 1\)"):
        objectives.neuron_ncf(params, 1, np.ones((3, 2)), np.ones((3, 1)), act)
    with pytest.raises(ValueError, match="x and residual must have one row per sample, got 3"):
        objectives.neuron_ncf(params, 1, np.ones((3, 2)), np.ones((4, 2)), act)
    with pytest.raises(ValueError, match="layer must be a hidden layer, 1 to 1, got 2"):
        objectives.neuron_ncf(params, 2, np.ones((3, 2)), np.ones((3, 2)), act)


@pytest.mark.parametrize(("p", "slope"), [(1, 0.0), (2, 1.0), (3, 0.5), (4, -1.0)])
def test_any_power_loss_is_that_of_its_activation(p, slope):
    """Degree and slope as data give the loss and the gradient of the network with that degree."""
    keys = jax.random.split(jax.random.key(p), 3)
    params = networks.init(keys[0], (3, 4, 2, 1))
    x, y = jax.random.normal(keys[1], (9, 3)), jax.random.normal(keys[2], (9, 1))
    known = objectives.NetworkLoss(PolyLeakyReLU(p, slope))
    loss = objectives.AnyPowerLoss()
    args = (x, y, jnp.asarray(slope), jnp.eye(4)[p - 1])
    assert float(loss(params, *args)) == pytest.approx(float(known(params, x, y)), rel=1e-12)
    pairs = zip(jax.grad(loss)(params, *args), jax.grad(known)(params, x, y), strict=True)
    for gradient, wanted in pairs:
        np.testing.assert_allclose(gradient, wanted, rtol=1e-9, atol=1e-12)
    assert objectives.AnyPowerLoss() == loss


def test_numbers_have_losses():
    """Numbers of Python, arrays without axes, and one target for all outputs."""
    assert float(objectives.square(1.0, 2.0)) == 0.5
    assert float(objectives.square(np.ones((3, 1)), 0.0)) == 1.5
    wanted = np.logaddexp(0, -1.0)
    np.testing.assert_allclose(objectives.logistic(jnp.array(1.0), 1), wanted)
    np.testing.assert_allclose(jax.jit(objectives.logistic)(1.0, 1), wanted)
    with pytest.raises(ValueError, match="outputs must have a last axis of classes"):
        objectives.cross_entropy(1.0, 1.0)
    with pytest.raises(ValueError, match=r"y must have the outputs' shape \(3, 1\), got \(\)"):
        objectives.cross_entropy(jnp.ones((3, 1)), 1.0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("shapes", [((3, 1), (3,)), ((3,), (3, 1)), ((), (3,)), ((3, 1), (1, 1))])
def test_shapes_that_would_spread_are_refused(loss, shapes):
    with pytest.raises(ValueError, match="y must have the outputs' shape"):
        objectives.LOSSES[loss](*map(np.ones, shapes))
