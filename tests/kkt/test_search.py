"""KKT points of whole networks and of any objective, against closed forms."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax import PolyLeakyReLU, kkt, objectives

RNG = np.random.default_rng(0)
X, Z = jnp.asarray(RNG.normal(size=(20, 4))), jnp.asarray(RNG.normal(size=(20, 1)))
X3, Z2 = X[:, :3], jnp.asarray(RNG.normal(size=(20, 2)))


def network_points(activation, widths, x, z):
    """KKT points of the NCF of a whole network, from 16 starts."""
    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    ends = np.cumsum([rows * columns for rows, columns in shapes])

    def sample(key):
        flat = jnp.split(jax.random.normal(key, (int(ends[-1]),)), ends[:-1])
        return tuple(part.reshape(shape) for part, shape in zip(flat, shapes, strict=True))

    found = kkt.search(
        jax.random.key(0),
        objectives.NetworkNCF(activation),
        sample,
        args=(x, z),
        starts=16,
    )
    return jax.tree.map(np.asarray, found)


def layer_norms(found):
    """Squared norms `(m, L)` of every layer at every point."""
    return np.stack([np.sum(w**2, axis=(1, 2)) for w in found.points], axis=1)


def test_quadratic_network_agrees_with_the_search_for_one_neuron():
    """p = 2, slope 1, one hidden neuron: `2/(3 sqrt 3) |l_k|`, and both searches find the same."""
    activation = PolyLeakyReLU(2, 1.0)
    found = network_points(activation, (4, 1, 1), X, Z)
    eigenvalues, vectors = np.linalg.eigh(np.asarray((X.T * Z[:, 0]) @ X))
    wanted = 2 / (3 * 3**0.5) * np.abs(eigenvalues[[0, 3]])
    for value, sign, first, second in zip(found.values, found.signs, *found.points, strict=True):
        k = 3 * int(np.argmin(np.abs(wanted - float(value))))  # 0 or 3
        np.testing.assert_allclose(value, wanted[k // 3], rtol=1e-12)
        np.testing.assert_allclose(abs(first[0] @ vectors[:, k]), (2 / 3) ** 0.5, rtol=1e-12)
        np.testing.assert_allclose(second[0, 0], np.sign(eigenvalues[k]) / 3**0.5, rtol=1e-12)
        assert int(sign) == 1
    np.testing.assert_allclose(found.values[0], wanted.max(), rtol=1e-12)
    single = kkt.search_neuron(
        jax.random.key(0), (X[:1] * 0, Z[:1] * 0), 1, X, Z, activation, starts=32
    )
    np.testing.assert_allclose(single.values[0], found.values[0], rtol=1e-12)
    assert int(found.counts.sum()) == 16
    assert float(jnp.max(found.residuals)) < 1e-12
    assert bool(jnp.all(found.is_maximum))


@pytest.mark.parametrize("widths", [(3, 2, 2), (3, 2, 2, 2)], ids=["L=2", "L=3"])
def test_linear_network_finds_the_largest_singular_value(widths):
    """p = 1, slope 1: the best value is `L^(-L/2) sigma_1(z^T x)`, layer norms^2 1/L."""
    depth = len(widths) - 1
    found = network_points(PolyLeakyReLU(1, 1.0), widths, X3, Z2)
    sigma = np.linalg.svd(np.asarray(Z2.T @ X3), compute_uv=False)[0]
    np.testing.assert_allclose(found.values[0], depth ** (-depth / 2) * sigma, rtol=1e-10)
    best = float(found.residuals[0])
    assert best < 1e-8
    np.testing.assert_allclose(layer_norms(found)[0], 1 / depth, rtol=1e-6)
    np.testing.assert_allclose(found.multipliers, depth * found.values, rtol=1e-9)
    assert bool(found.is_maximum[0])


def test_layers_and_neurons_of_a_leaky_network_are_balanced():
    """p = 2, slope 0.5, L = 3: squared layer norms in ratio 4 : 2 : 1, at every neuron
    `||in||^2 = 2 ||out||^2` (Lemmas 3 and 9), and the multiplier is D N with D = 7."""
    activation, widths = PolyLeakyReLU(2, 0.5), (3, 2, 2, 1)
    found = network_points(activation, widths, X3, Z)
    assert np.max(found.residuals) < 1e-12
    # Where N vanishes the lemmas say nothing.
    found = jax.tree.map(lambda leaf: leaf[found.signs != 0] if np.ndim(leaf) else leaf, found)
    shares = np.broadcast_to(np.array([4, 2, 1]) / 7, (len(found.values), 3))
    np.testing.assert_allclose(layer_norms(found), shares, atol=1e-12)
    for into, out in pairwise(found.points):
        np.testing.assert_allclose(
            np.sum(into**2, axis=2), 2 * np.sum(out**2, axis=1), rtol=1e-9, atol=1e-12
        )
    np.testing.assert_allclose(found.multipliers, 7 * found.values, rtol=1e-12)

    objective = objectives.NetworkNCF(activation)
    best = jax.tree.map(lambda w: w[0], found.points)
    np.testing.assert_allclose(kkt.norm(best), 1, rtol=1e-12)
    np.testing.assert_allclose(objective(best, X3, Z), found.values[0], rtol=1e-12)
    assert float(kkt.residual(objective, best, args=(X3, Z))) < 1e-12
    keys = jax.random.split(jax.random.key(1), 2000)
    random = jax.jit(jax.vmap(lambda k: objective(kkt.random_unit(k, best), X3, Z)))(keys)
    assert np.max(random) < found.values[0]


def cubic(point, factors):
    """`sum_i a_i w_i^3` over a nested tree: maxima `a_i` at the axes of positive a."""
    return jnp.sum(factors * jnp.concatenate([point["a"], point["b"][0]]) ** 3)


def draw(key):
    """A start of `cubic`."""
    a, b = jax.random.normal(key, (2, 2))
    return {"a": a, "b": [b]}


def test_any_objective_on_a_nested_tree(compiled):
    """The maxima of a diagonal cubic are its axes, with value |a_i| and the sign of a_i, and one
    of negative value where all `a_i w_i` agree.

    New data and a new key run what was compiled before, and no Python of the objective, also where
    another number of points is found. Started at KKT points that are no maxima, `w_i ~ 1/a_i` on
    two axes with value `1/sqrt(sum 1/a_i^2)`, and the negative of an axis, the search stays there
    and says so; a start where the objective is flat has value and sign 0.
    """
    traces = []

    def objective(point, factors):
        traces.append(None)
        return cubic(point, factors)

    factors = jnp.array([3.0, 0.5, -2.0, 1.0])
    found = kkt.search(jax.random.key(0), objective, draw, args=(factors,), starts=64)
    # The last one is the top of the part of the sphere where every term is negative.
    lowest = -1 / np.linalg.norm(1 / factors)
    np.testing.assert_allclose(found.values, [3, 2, 1, 0.5, lowest], rtol=1e-12)
    points = np.concatenate([found.points["a"], found.points["b"][0]], axis=1)
    wanted = np.eye(4)[[0, 2, 3, 1]] * [[1], [-1], [1], [1]]
    np.testing.assert_allclose(points, [*wanted, lowest / factors], atol=1e-12)
    assert found.is_maximum.tolist() == [True] * 5
    assert found.signs.tolist() == [1] * 4 + [-1]
    assert int(found.counts.sum()) == 64

    before, other, key = len(traces), jnp.array([1e3, 1e-9, 4.0, 0.0]), jax.random.key(1)
    compiled.clear()
    fewer = kkt.search(key, objective, draw, args=(other,), starts=64, tol=1e-7)
    assert len(fewer.values) != 5
    assert compiled == []
    assert len(traces) == before > 0

    special = jnp.array([[1 / 3, 2, 0, 0], [0, -1, 0, 0]])

    def stay(key):
        row = special[jax.random.randint(key, (), 0, 2)]
        return {"a": row[:2], "b": [row[2:]]}

    stayed = kkt.search(key, objective, stay, args=(factors,), starts=64)
    np.testing.assert_allclose(stayed.values, [(1 / 9 + 4) ** -0.5, -0.5], rtol=1e-14)
    assert stayed.is_maximum.tolist() == [False, False]
    assert stayed.signs.tolist() == [1, -1]
    assert stayed.steps == 0
    assert len(traces) == before
    flat = kkt.search(key, objective, stay, args=(factors * jnp.array([0, 0, 1, 1]),), starts=64)
    assert not np.any(flat.values)
    assert not np.any(flat.signs)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"objective": 3}, TypeError, "objective must be callable, got 3"),
        ({"sample": None}, TypeError, "sample must be callable, got None"),
        ({"starts": -1}, ValueError, "starts must be a positive integer, got -1"),
        ({"max_steps": True}, TypeError, "max_steps must be a positive integer, got True"),
        ({"tol": float("nan")}, ValueError, "tol must be a positive finite number, got nan"),
        ({"sample": lambda key: ()}, ValueError, r"sample\(key\) must have at least one array"),
        ({"sample": lambda key: jnp.zeros(2)}, ValueError, r"sample\(key\) must draw nonzero"),
        (
            {"sample": lambda key: jnp.where(jax.random.uniform(key) < 0.5, jnp.nan, 1)[None]},
            ValueError,
            r"sample\(key\) must be finite",
        ),
    ],
)
def test_bad_input_is_refused(change, error, message):
    """The message names the argument; nothing has been compiled by then."""
    good = {"objective": cubic, "sample": draw}
    with pytest.raises(error, match=message):
        kkt.search(jax.random.key(0), **{**good, **change})


def test_an_objective_that_cannot_be_hashed_is_refused():
    """A static argument must hash; the message says so of `objective`."""

    class Unhashable:
        __hash__ = None

        def __call__(self, point):
            return jnp.sum(point**3)

    with pytest.raises(TypeError, match="objective must be hashable"):
        kkt.search(jax.random.key(0), Unhashable(), lambda key: jax.random.normal(key, (2,)))


@pytest.mark.parametrize("scale", [1e170, 1e-170])
def test_values_whose_squares_are_out_of_range(scale):
    """The same points at any scale: `w_0^3 + 2 w_1^3` has two axes and a negative top."""
    found = kkt.search(
        jax.random.key(0),
        lambda w, scale: scale * (w[0] ** 3 + 2 * w[1] ** 3),
        lambda key: jax.random.normal(key, (2,)),
        args=(jnp.asarray(scale),),
        starts=16,
    )
    np.testing.assert_allclose(found.values / scale, [2, 1, -(1.25**-0.5)], rtol=1e-12)
    assert float(jnp.max(found.residuals)) < 1e-12
    assert (found.is_maximum.tolist(), found.result) == ([True] * 3, 0)


def test_a_saddle_beside_a_much_higher_maximum_is_none():
    """Its curvature is judged against its own value, not the largest."""
    rows = jnp.array([[1.0, 0, 0], [0, 2**-0.5, 2**-0.5]])
    found = kkt.search(
        jax.random.key(0),
        lambda w: 1e7 * jnp.maximum(w[0], 0) ** 3 + w[1] ** 3 + w[2] ** 3,
        lambda key: rows[jax.random.randint(key, (), 0, 2)],
        starts=8,
    )
    np.testing.assert_allclose(found.values, [1e7, 2**-0.5], rtol=1e-12)
    assert found.is_maximum.tolist() == [True, False]
    assert found.result == 0


@pytest.mark.parametrize(("factor", "value"), [(-1.0, -1.0), (1.0, 1.0), (0.0, 0.0)])
def test_constant_and_negative_objectives(factor, value):
    """Constant on the sphere: every start is a KKT point, and the message says why."""
    found = kkt.search(
        jax.random.key(0),
        lambda w, factor: factor * jnp.sum(w**2),
        lambda key: jax.random.normal(key, (3,)),
        args=(jnp.asarray(factor),),
        starts=4,
    )
    np.testing.assert_allclose(found.values, [value] * 4, atol=1e-15)
    assert (found.result, found.steps) == (2, 0)
    assert "zero or constant" in found.message
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(found))


def test_an_objective_that_is_not_finite_is_refused():
    """NaN at a start, said before anything is reported."""
    with pytest.raises(ValueError, match="objective must be finite at its starts"):
        kkt.search(
            jax.random.key(0), lambda w: jnp.log(w[0]), lambda key: jax.random.normal(key, (2,))
        )
