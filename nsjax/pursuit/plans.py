"""The kinds of new neurons that a network may get: chains, and those of every hidden layer."""

from __future__ import annotations

from typing import NamedTuple

from nsjax.kkt.neuron import value_factor
from nsjax.networks import (
    HomogeneousNeurons,
    NeuronFamily,
    ProductNeurons,
    Products,
    activation_degree,
)
from nsjax.networks.homogeneous import Activation
from nsjax.pursuit.chains import Chains, ProductChains


class Plan(NamedTuple):
    """One kind of new neurons; of products there is one for every order.

    Attributes:
        layer: hidden layer, from 1; 0 for a chain.
        family: what its response is.
        p: degree of a neuron in its incoming weights.
        factor: N* over phi.
        degree: of the NCF in all of its weights.
        factors: how often incoming weights hold a vector of the features' size.
        axes: whether each factor lies along one feature: a point for each monomial, which are
            scored all at once (`kkt.axes`), and nothing to climb.
    """

    layer: int
    family: NeuronFamily
    p: int
    factor: float
    degree: int
    factors: int
    axes: bool = False


def plans(activation: Activation, depth: int) -> list[Plan]:
    """All kinds of a network of `depth` layers, chains first."""
    neurons: list[tuple[NeuronFamily, int, int, bool]]
    along = getattr(activation, "along", "any")
    if isinstance(activation, Products):
        p, factors = activation.factors, activation.factors
        chains: Chains | ProductChains = ProductChains(p, depth)
        neurons = [
            (ProductNeurons(order), order, order, axes)
            for axes in (False, True)
            if along in (("axes", "both") if axes else ("any", "both"))
            for order in activation.orders
        ]
    else:
        p, factors = activation_degree(activation), 1
        chains = Chains(activation, depth)
        neurons = [(HomogeneousNeurons(activation), p, 1, False)]
    total = sum(p**layer for layer in range(depth))
    return [
        Plan(0, chains, p, chains.value_factor(), total, factors, along == "axes"),
        *(
            Plan(layer, family, degree, value_factor(degree), degree + 1, count, axes)
            for layer in range(1, depth)
            for family, degree, count, axes in neurons
        ),
    ]
