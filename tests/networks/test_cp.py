"""The CP-polynomial neuron and its bases, against plain loops."""

import itertools
import math
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsjax.networks import cp
from nsjax.networks.bases import BASES, Basis, basis, register_basis
from nsjax.networks.cp import CPNeuron, CPTerms, Template

ALL = Template(powers=(1, 2, 4), interactions=(2, 3), rank=3, bases=tuple(BASES))
FUNCTIONS = {
    "sine": math.sin,
    "cosine": math.cos,
    "tanh": math.tanh,
    "bell": lambda t: math.exp(-t * t),
    "exponential": math.exp,
}
init = jax.jit(cp.init, static_argnums=(1, 2), static_argnames=("template",))
apply = jax.jit(cp.apply)
normalize = jax.jit(cp.normalize)
streams = jax.jit(cp.streams)


@pytest.fixture(scope="module")
def neuron():
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda key: cp.init(key, 4, 2, template=ALL), jax.random.key(0))
    return jax.tree.map(lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape)), shapes)


@pytest.fixture(scope="module")
def x():
    return jnp.asarray(np.random.default_rng(1).standard_normal((6, 4)))


def loops(neuron, x):
    """One sample, output, order, rank and input at a time."""
    neuron, x = jax.tree.map(np.asarray, (neuron, x))
    outputs = np.zeros((len(x), len(neuron.bias)))
    for i, o in itertools.product(*map(range, outputs.shape)):
        total = float(neuron.bias[o])
        for k, weights in neuron.powers.items():
            total += sum(weights[o, j] * x[i, j] ** k for j in range(x.shape[1]))
        for n, terms in neuron.interactions.items():
            for r in range(terms.coefficients.shape[1]):
                total += terms.coefficients[o, r] * math.prod(
                    sum(terms.factors[m, r, j] * x[i, j] for j in range(x.shape[1]))
                    for m in range(n)
                )
        for name, terms in neuron.bases.items():
            for r in range(terms.coefficients.shape[1]):
                t = sum(terms.factors[0, r, j] * x[i, j] for j in range(x.shape[1]))
                total += terms.coefficients[o, r] * FUNCTIONS[name](t)
        outputs[i, o] = total
    return outputs


def test_outputs_by_plain_loops(neuron, x):
    """Every stream, two outputs."""
    np.testing.assert_allclose(apply(neuron, x), loops(neuron, x), rtol=1e-12)


def test_streams_add_up_to_the_outputs(neuron, x):
    parts = streams(neuron, x)
    assert set(parts) == {
        *(("power", k) for k in (1, 2, 4)),
        *(("interaction", n) for n in (2, 3)),
        *(("basis", name) for name in BASES),
    }
    np.testing.assert_allclose(sum(parts.values()) + neuron.bias, apply(neuron, x), rtol=1e-12)


def test_gradients_by_finite_differences(neuron, x):
    """In every parameter and in x, along random directions."""

    def loss(neuron, x):
        return jnp.sum(cp.apply(neuron, x) ** 2)

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))(neuron, x)
    flat, tree = jax.tree.flatten((neuron, x))
    rng = np.random.default_rng(0)
    for _ in range(3):
        direction = [rng.standard_normal(leaf.shape) for leaf in flat]
        moved = [
            jax.tree.unflatten(
                tree, [leaf + step * d for leaf, d in zip(flat, direction, strict=True)]
            )
            for step in (1e-6, -1e-6)
        ]
        up, down = (np.sum(loops(*each) ** 2) for each in moved)
        slope = sum(
            np.vdot(g, d) for g, d in zip(jax.tree.leaves(gradient), direction, strict=True)
        )
        assert slope == pytest.approx((up - down) / 2e-6, rel=1e-5)


def test_every_stream_has_unit_variance_on_given_inputs():
    """For each output, whatever the scale of the inputs, on those inputs."""
    x = np.array([5.0, 0.1, 1.0]) * np.random.default_rng(2).standard_normal((50, 3)) + 1
    template = Template(powers=(), interactions=(2,), rank=3, bases=("exponential",))
    drawn = init(jax.random.key(3), 3, 2, template=template, x=x)
    for part in streams(drawn, x).values():
        np.testing.assert_allclose(jnp.std(part, axis=0), 1, rtol=1e-9)
    assert drawn.bias.tolist() == [0, 0]


def test_every_stream_has_unit_variance_without_inputs():
    """On standard normal ones: wide enough that one draw stands for the average."""
    template = Template(powers=(2,), interactions=(2,), rank=300, bases=("sine",))
    drawn = init(jax.random.key(4), 50, 40, template=template)
    x = np.random.default_rng(4).standard_normal((4000, 50))
    for part in streams(drawn, x).values():
        assert float(jnp.mean(jnp.var(part, axis=0))) == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize(("n", "d"), [(2, 1), (4, 1), (3, 2), (4, 3), (5, 2)])
def test_variance_of_a_product_of_projections(n, d):
    """The exact mean over factors and inputs, from moments of normal variables by enumeration."""

    def moment(powers):  # of independent standard normal variables
        return math.prod(0 if p % 2 else math.prod(range(1, p, 2)) for p in powers)

    def count(indices):
        return [indices.count(j) for j in range(d)]

    second = mean = 0.0
    for first in itertools.product(range(d), repeat=n):
        # E u_m[i] u_m[j] = delta_ij / d: both copies of a factor have the same index.
        second += moment(count([*first, *first])) / d**n
        mean += moment(count(list(first))) ** 2 / d**n
    assert cp._product_variance(n, d) == pytest.approx(second - mean, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("sine", (1 - math.exp(-2)) / 2),
        ("cosine", (1 + math.exp(-2)) / 2 - math.exp(-1)),
        ("bell", 1 / math.sqrt(5) - 1 / 3),
        ("exponential", math.e * (math.e - 1)),
    ],
)
def test_variance_of_a_basis(name, variance):
    """Closed forms for a standard normal projection."""
    assert cp._basis_variance(name) == pytest.approx(variance, rel=1e-9)


def test_draws_are_of_the_wanted_kind():
    """Shapes, dtypes, keys, and names of the default template."""
    key = jax.random.key(0)
    drawn = jax.eval_shape(lambda key: cp.init(key, 3, 2, dtype=jnp.float32), key)
    assert {leaf.dtype for leaf in jax.tree.leaves(drawn)} == {jnp.dtype(jnp.float32)}
    assert [weights.shape for weights in drawn.powers.values()] == [(2, 3)] * 3
    assert drawn.interactions[3].factors.shape == (3, 5, 3)
    assert drawn.interactions[3].coefficients.shape == (2, 5)
    assert cp.parameters(drawn) == 2 + 3 * 6 + (2 * 5 * 3 + 10) + (3 * 5 * 3 + 10)
    x = jnp.ones((2, 3), jnp.float32)
    given = jax.eval_shape(lambda key: cp.init(key, 3, x=x), key)
    assert given.powers[1].dtype == jnp.float32


def test_keys_decide_the_draw():
    template = Template((1,), (), 1)
    first, same, other = (init(jax.random.key(i), 2, 1, template=template) for i in (0, 0, 1))
    assert all(map(np.array_equal, *map(jax.tree.leaves, (first, same))))
    assert not np.array_equal(first.powers[1], other.powers[1])


def test_constant_inputs_leave_the_scale_alone():
    """No variance to divide by: no NaN."""
    template = Template((2,), (), 1)
    drawn = init(jax.random.key(0), 2, 1, template=template, x=jnp.ones((3, 2)))
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(drawn))


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda k: cp.init(k, 0), ValueError, "inputs must be a positive integer, got 0"),
        (lambda k: cp.init(k, 2.0), TypeError, "inputs must be a positive integer, got 2.0"),
        (lambda k: cp.init(k, 2, 0), ValueError, "outputs must be a positive integer, got 0"),
        (lambda k: cp.init(k, 2, template="x"), TypeError, "template must be a Template, got str"),
        (lambda k: cp.init(k, 2, x=np.ones((3, 4))), ValueError, "x must have 2 columns"),
        (lambda k: cp.init(k, 2, x=np.full((3, 2), np.nan)), ValueError, "x must be finite"),
        (lambda k: cp.init(k, 2, x=np.ones((1, 2))), ValueError, "x must have at least 2 rows"),
    ],
)
def test_bad_sizes_and_inputs(call, error, said):
    with pytest.raises(error, match=said):
        call(jax.random.key(0))


def test_normalising_keeps_the_function(neuron, x):
    """And gives unit factors with a positive largest entry; twice is once."""
    fixed = normalize(neuron)
    np.testing.assert_allclose(apply(fixed, x), apply(neuron, x), rtol=1e-12)
    for terms in fixed.interactions.values():
        np.testing.assert_allclose(np.linalg.norm(terms.factors, axis=-1), 1, rtol=1e-12)
    for terms in (*fixed.interactions.values(), fixed.bases["sine"], fixed.bases["bell"]):
        factors = np.asarray(terms.factors)
        largest = np.take_along_axis(factors, np.abs(factors).argmax(-1)[..., None], axis=-1)
        assert np.all(largest > 0)
    for before, after in zip(*map(jax.tree.leaves, (fixed, normalize(fixed))), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-12)
    exponential = (neuron.bases["exponential"], fixed.bases["exponential"])
    assert np.array_equal(*(terms.factors for terms in exponential))
    norms = (np.linalg.norm(each.bases["sine"].factors, axis=-1) for each in (neuron, fixed))
    np.testing.assert_allclose(*norms)  # a frequency stays


def test_the_gauge_is_gone_after_normalising(neuron):
    """Factors scaled, flipped and their sizes moved into coefficients: the same arrays."""
    rng = np.random.default_rng(5)

    def moved(terms):
        sizes = np.exp(rng.standard_normal(terms.factors.shape[:2]))
        sizes = sizes * rng.choice([-1, 1], size=sizes.shape)
        return CPTerms(
            terms.coefficients / np.prod(sizes, axis=0), terms.factors * sizes[..., None]
        )

    other = neuron._replace(
        interactions={n: moved(terms) for n, terms in neuron.interactions.items()},
        bases=neuron.bases
        | {
            "sine": CPTerms(-neuron.bases["sine"].coefficients, -neuron.bases["sine"].factors),
            "bell": CPTerms(neuron.bases["bell"].coefficients, -neuron.bases["bell"].factors),
        },
    )
    fixed = (normalize(each) for each in (neuron, other))
    for one, two in zip(*map(jax.tree.leaves, fixed), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12)


def test_a_zero_factor_makes_a_zero_term():
    """Its coefficient becomes 0, and no entry NaN or a negative zero."""
    terms = CPTerms(jnp.array([[2.0, 3.0]]), jnp.array([[[0.0, 0], [-1, 0]], [[1, 1], [0, -1]]]))
    fixed = normalize(CPNeuron(jnp.zeros(1), {}, {2: terms}, {})).interactions[2]
    assert fixed.coefficients.tolist() == [[0, 3]]
    assert fixed.factors[0].tolist() == [[0, 0], [1, 0]]
    assert not np.any(np.signbit(fixed.factors))


def test_ten_thousand_inputs_need_little_memory():
    """n R d numbers for an order: at d = 10,000 nothing of size d^2 fits into 100 MB."""
    d = 10_000
    template = Template(powers=(1, 2), interactions=(2, 3), rank=4)
    shape = jax.eval_shape(lambda key: cp.init(key, d, template=template), jax.random.key(0))
    neuron = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), shape)
    compiled = jax.jit(cp.apply).lower(neuron, np.ones((8, d), np.float32)).compile()
    memory = compiled.memory_analysis()
    assert memory.temp_size_in_bytes < 20e6
    tracemalloc.start()
    outputs = compiled(neuron, np.full((8, d), 1e-3, np.float32))
    # Powers: 10 + 0.01; products of order n: 4 * 10^n.
    np.testing.assert_allclose(outputs, np.full((8, 1), 10.01 + 400 + 4000), rtol=1e-3)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"powers": (0,)}, ValueError, "orders in powers must be a positive integer, got 0"),
        ({"powers": (1.0,)}, TypeError, "orders in powers must be a positive integer, got 1.0"),
        ({"powers": (True,)}, TypeError, "orders in powers must be a positive integer, got True"),
        ({"powers": (2, 2)}, ValueError, r"powers must not repeat an order, got \(2, 2\)"),
        ({"powers": "12"}, TypeError, "powers must be a tuple of orders, got '12'"),
        ({"powers": 3}, TypeError, "powers must be a tuple of orders, got 3"),
        ({"interactions": (1,)}, ValueError, r"interactions must have orders >= 2 \(order 1 is a"),
        ({"interactions": (2, -1)}, ValueError, "orders in interactions must be a positive"),
        ({"rank": 0}, ValueError, "rank must be a positive integer, got 0"),
        ({"rank": 2.5}, TypeError, "rank must be a positive integer, got 2.5"),
        ({"bases": "sine"}, TypeError, "bases must be a tuple of names, got 'sine'"),
        ({"bases": ("sinus",)}, ValueError, "bases must be among sine, cosine, .*, got 'sinus'"),
        ({"bases": (["sine"],)}, ValueError, r"bases must be among .*, got \['sine'\]"),
        ({"powers": (), "interactions": ()}, ValueError, "must have powers, interactions or bases"),
    ],
)
def test_templates_that_are_refused(options, error, said):
    with pytest.raises(error, match=said):
        Template(**options)


def test_templates_are_sorted_and_hashable():
    """Equal ones never compile twice."""
    same = [
        Template(powers=[3, 1], interactions=[np.int64(2)], bases=["sine", "sine"]),
        Template(powers=(1, 3), interactions=(2,), bases=("sine",)),
    ]
    assert len(set(same)) == 1
    assert same[0].order == 3
    assert Template(powers=(), interactions=(), bases=("sine",)).order == 0


def test_bases_are_registered_once():
    """The same one may come again; another of its name may not."""
    one = Basis("square_root", jnp.sqrt, "sqrt({})", r"\sqrt{{}}")
    try:
        assert register_basis(one) == one
        assert register_basis(Basis("square_root", jnp.sqrt, "sqrt({})", r"\sqrt{{}}")) == one
        assert basis("square_root") == one
        with pytest.raises(ValueError, match="basis must have a new name, got 'square_root'"):
            register_basis(Basis("square_root", jnp.abs, "sqrt({})", r"\sqrt{{}}"))
    finally:
        BASES.pop("square_root")
    with pytest.raises(TypeError, match="basis must be a Basis, got str"):
        register_basis("square_root")


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        (("2t", jnp.sin, "{}", "{}"), ValueError, "name must be at most 32 letters"),
        (("t" * 33, jnp.sin, "{}", "{}"), ValueError, "name must be at most 32 letters"),
        (("a b", jnp.sin, "{}", "{}"), ValueError, "name must be at most 32 letters"),
        (("té", jnp.sin, "{}", "{}"), ValueError, "name must be at most 32 letters"),
        ((None, jnp.sin, "{}", "{}"), ValueError, "name must be at most 32 letters"),
        (("t", "sin", "{}", "{}"), TypeError, "function must be callable, got 'sin'"),
        (("t", jnp.sin, "sin", "{}"), ValueError, "text must be a string with one {}, got 'sin'"),
        (("t", jnp.sin, "{}", "{}{}"), ValueError, "latex must be a string with one {}"),
        (("t", jnp.sin, "{}", "{}", 1), TypeError, "odd must be True, False or None, got 1"),
    ],
)
def test_bases_that_are_refused(fields, error, said):
    with pytest.raises(error, match=said):
        Basis(*fields)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_bases_are_what_they_say(name):
    """Values, and the parity that moves a sign into the coefficient."""
    t = np.linspace(-2, 2, 9)
    found = basis(name)
    np.testing.assert_allclose(found.function(jnp.asarray(t)), [FUNCTIONS[name](s) for s in t])
    mirrored = found.function(-jnp.asarray(t))
    if found.odd is not None:
        np.testing.assert_allclose(mirrored, (-1 if found.odd else 1) * found.function(t))
