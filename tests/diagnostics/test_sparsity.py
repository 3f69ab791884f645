"""Active neurons, sparsity of weights, dormant neurons, gradients: against plain loops."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from hypothesis import given
from hypothesis import strategies as st

import nsjax
from nsjax import diagnostics, networks, objectives

WIDTHS = (3, 5, 4, 2)


def network(seed, widths=WIDTHS):
    return networks.init(jax.random.key(seed), widths)


def kill(params, layer, neuron):
    """The network with one neuron of a hidden layer set to zero."""
    weights = list(params)
    weights[layer - 1] = weights[layer - 1].at[neuron].set(0)
    weights[layer] = weights[layer].at[:, neuron].set(0)
    return tuple(weights)


def norms_by_loop(params):
    return [
        [np.sqrt(np.sum(into[j] ** 2) + np.sum(out[:, j] ** 2)) for j in range(into.shape[0])]
        for into, out in itertools.pairwise(params)
    ]


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_active_neurons_against_a_loop(seed, threshold):
    """Relative to the largest of all layers, and absolute; the zero neuron is never active."""
    params = jax.tree.map(np.asarray, kill(network(seed), 1, 2))
    norms = norms_by_loop(params)
    largest = max(map(max, norms))
    for layer in range(2):
        np.testing.assert_allclose(
            diagnostics.neuron_norms(params)[layer], norms[layer], rtol=1e-13
        )
        relative = diagnostics.active_neurons(params, threshold=threshold)[layer]
        absolute = diagnostics.active_neurons(params, threshold=threshold, relative=False)[layer]
        assert relative.dtype == absolute.dtype == bool
        np.testing.assert_array_equal(relative, np.array(norms[layer]) > threshold * largest)
        np.testing.assert_array_equal(absolute, np.array(norms[layer]) > threshold)
    assert not diagnostics.active_neurons(params, threshold=0)[0][2]


def test_active_neurons_of_snapshots_and_of_the_origin():
    """Each snapshot against its own largest neuron, whatever the scale; at the origin, none."""
    params = kill(network(0), 1, 2)
    scales = (1.0, 1e-30, 1e-200, 0.0)
    each = [jax.tree.map(lambda w, c=c: c * w, params) for c in scales]
    found = diagnostics.active_neurons(each)
    single = diagnostics.active_neurons(params)
    for many, one in zip(found, single, strict=True):
        np.testing.assert_array_equal(many, [one, one, one, np.zeros_like(one)])
    assert [int(flags.sum()) for flags in single] == [4, 4]
    inside = jax.jit(diagnostics.active_neurons)(params)
    np.testing.assert_array_equal(inside[0], single[0])


@given(st.integers(0, 10_000))
def test_weight_sparsity_against_a_loop(seed):
    """Every number from NumPy, matrix by matrix; and the bounds that each must keep."""
    rng = np.random.default_rng(seed)
    params = [np.asarray(w) * (rng.uniform(size=w.shape) < 0.4) for w in network(seed)]
    params[0][1, 1] = params[1][0, 0] = params[2][0, 1] = 3.0  # none is zero
    found = diagnostics.weight_sparsity(tuple(params), threshold=0.1)
    for layer, w in enumerate(params):
        size = np.abs(w)
        rows, columns = np.linalg.norm(w, axis=1), np.linalg.norm(w, axis=0)
        singular = np.linalg.svd(w, compute_uv=False)
        root = np.sqrt(w.size)
        shares = singular[singular > 0] / singular.sum()
        wanted = (
            np.mean(size <= 0.1 * size.max()),
            (root - size.sum() / np.linalg.norm(w)) / (root - 1),
            np.mean(rows > 0.1 * rows.max()),
            np.mean(columns > 0.1 * columns.max()),
            np.sum(singular**2) / singular[0] ** 2,
            np.exp(-np.sum(shares * np.log(shares))),
        )
        np.testing.assert_allclose([part[layer] for part in found], wanted, rtol=1e-10)
        rank = np.linalg.matrix_rank(w)
        assert 1 - 1e-12 <= found.stable_rank[layer] <= rank + 1e-9
        assert 1 - 1e-12 <= found.effective_rank[layer] <= rank + 1e-6


def test_weight_sparsity_of_extremes():
    """One entry: Hoyer 1, ranks 1. All equal: 0. Orthogonal: full ranks. Zero: NaN."""
    single, equal = jnp.zeros((4, 4)).at[1, 2].set(-1e-180), jnp.full((4, 4), -2.0)
    found = diagnostics.weight_sparsity((single, equal, jnp.eye(4), jnp.zeros((2, 4))))
    np.testing.assert_allclose(found.hoyer, [1, 0, 2 / 3, np.nan], atol=1e-12)
    np.testing.assert_allclose(found.stable_rank, [1, 1, 4, np.nan], rtol=1e-12)
    np.testing.assert_allclose(found.effective_rank, [1, 1, 4, np.nan], rtol=1e-6)
    np.testing.assert_allclose(found.rows, [0.25, 1, 1, np.nan])
    np.testing.assert_allclose(found.small, [15 / 16, 0, 0.75, np.nan])
    many = diagnostics.weight_sparsity((jnp.ones((7, 3, 2)), jnp.ones((7, 1, 3))))
    assert many.hoyer.shape == (7, 2)
    assert np.isnan(diagnostics.weight_sparsity((jnp.ones((1, 1)), jnp.ones((1, 1)))).hoyer).all()


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.5, 1.0]))
def test_dormant_scores_against_a_loop(seed, tau):
    """Sokar's definition over arrays, with a silent neuron."""
    h = np.random.default_rng(seed).normal(size=(6, 5)) * np.array([1.0, 0.0, 5.0, 0.1, 1.0])
    each = [np.mean([abs(h[i, j]) for i in range(6)]) for j in range(5)]
    wanted = np.array(each) / np.mean(each)
    scores = diagnostics.dormant_scores(h)
    np.testing.assert_allclose(scores, wanted, rtol=1e-12)
    assert float(scores[1]) == 0
    ratio = diagnostics.dormant_ratio(scores, tau=tau)
    assert float(ratio) == pytest.approx(np.mean(wanted <= tau))
    np.testing.assert_allclose(
        diagnostics.dormant_scores(np.stack([h, 1e-200 * h])), [wanted, wanted], rtol=1e-12
    )


def test_a_silent_layer_is_wholly_dormant():
    """Scores NaN, ratio 1, without a warning."""
    scores = diagnostics.dormant_scores(np.zeros((3, 4)))
    assert np.isnan(scores).all()
    assert float(diagnostics.dormant_ratio(scores)) == 1
    assert diagnostics.dormant_ratio([[0.0, 0.1], [np.nan, 0.0]]).tolist() == [0.5, 1]
    assert np.isnan(diagnostics.gradient_scores(np.zeros((4, 3)))).all()


@pytest.mark.parametrize("loss", ["square", "logistic"])
def test_neuron_activity_against_features_and_finite_differences(loss):
    """Activations from the forward pass, gradients from central differences of the loss."""
    activation = nsjax.PolyLeakyReLU(2, 0.3)
    params = kill(network(3), 2, 1)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 3)), np.sign(rng.normal(size=(8, 2)))
    found = diagnostics.neuron_activity(params, x, y, activation, loss=loss, tau=0.1)
    hidden = networks.features(params, x, activation)[1:]
    value = objectives.NetworkLoss(activation, loss)
    for layer in range(2):
        np.testing.assert_allclose(
            found.scores[layer], diagnostics.dormant_scores(hidden[layer]), rtol=1e-12
        )
        gradient = np.zeros(params[layer].shape)
        for entry in np.ndindex(gradient.shape):
            step = [
                value((*params[:layer], params[layer].at[entry].add(h), *params[layer + 1 :]), x, y)
                for h in (1e-6, -1e-6)
            ]
            gradient[entry] = (step[0] - step[1]) / 2e-6
        means = np.mean(np.abs(gradient), axis=1)
        np.testing.assert_allclose(found.gradients[layer], means / means.mean(), rtol=1e-5)
    assert float(found.scores[1][1]) == 0
    assert float(found.gradients[1][1]) == 0
    assert float(found.dormant[1]) >= 0.25
    assert float(found.stuck[1]) >= 0.25


def test_neuron_activity_of_snapshots():
    """A leading axis gives what each snapshot gives; the origin is silent."""
    activation = nsjax.PolyLeakyReLU(2)
    each = [network(0), network(1), jax.tree.map(jnp.zeros_like, network(0))]
    x, y = jnp.ones((4, 3)), jnp.ones((4, 2))
    many = diagnostics.neuron_activity(each, x, y, activation)
    one = diagnostics.neuron_activity(each[1], x, y, activation)
    np.testing.assert_allclose(many.scores[1][1], one.scores[1], rtol=1e-12)
    np.testing.assert_allclose(many.gradients[0][1], one.gradients[0], rtol=1e-12)
    assert np.isnan(many.scores[0][2]).all()
    assert many.dormant[0][2] == 1


class Two(linen.Module):
    """A flax network that hands out its hidden layer."""

    @linen.compact
    def __call__(self, x):
        hidden = linen.relu(linen.Dense(6)(x))
        self.sow("intermediates", "hidden", hidden)
        return linen.Dense(1)(hidden)


def test_a_flax_module_feeds_its_own_layers():
    """Activations sown by the module, gradients of its kernel transposed."""
    x = jax.random.normal(jax.random.key(0), (9, 3))
    model = Two()
    variables = model.init(jax.random.key(1), x)
    params = {"params": variables["params"]}
    _, state = model.apply(params, x, mutable=["intermediates"])
    (hidden,) = state["intermediates"]["hidden"]
    scores = diagnostics.dormant_scores(hidden)
    gradient = jax.grad(lambda p: jnp.sum(model.apply(p, x) ** 2))(params)
    learning = diagnostics.gradient_scores(gradient["params"]["Dense_0"]["kernel"].T)
    assert scores.shape == learning.shape == (6,)
    np.testing.assert_allclose([jnp.mean(scores), jnp.mean(learning)], 1, rtol=1e-5)


GOOD = {
    "params": (jnp.eye(2), jnp.eye(2)),
    "x": jnp.eye(2),
    "y": jnp.eye(2),
    "activation": jnp.tanh,
}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: diagnostics.active_neurons(GOOD["params"], threshold=-1), ValueError, "threshold"),
        (lambda: diagnostics.active_neurons(jnp.eye(2)), TypeError, "params must be a tuple"),
        (
            lambda: diagnostics.weight_sparsity(GOOD["params"], threshold="a"),
            TypeError,
            "threshold",
        ),
        (lambda: diagnostics.dormant_scores(jnp.ones(3)), ValueError, "activations must have rank"),
        (lambda: diagnostics.dormant_scores([[1.0]]), TypeError, "activations must be an array"),
        (lambda: diagnostics.dormant_ratio(1.0), ValueError, "scores must have a last axis"),
        (lambda: diagnostics.dormant_ratio("scores"), TypeError, "scores must be an array"),
        (lambda: diagnostics.dormant_ratio(jnp.ones(2), tau=-1), ValueError, "tau"),
        (lambda: diagnostics.gradient_scores(jnp.full((2, 2), jnp.inf)), ValueError, "gradient"),
        (lambda: diagnostics.neuron_activity(**{**GOOD, "loss": "x"}), ValueError, "loss must be"),
        (lambda: diagnostics.neuron_activity(**{**GOOD, "activation": 3}), TypeError, "activation"),
        (
            lambda: diagnostics.neuron_activity(**{**GOOD, "y": jnp.ones((3, 2))}),
            ValueError,
            "one row per sample",
        ),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
