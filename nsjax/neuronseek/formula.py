"""The formula of a task-driven neuron: data that can be evaluated, printed, saved and compared."""

from __future__ import annotations

import os
import textwrap
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import _check, _json
from nsjax.networks import cp
from nsjax.networks.cp import CPNeuron
from nsjax.neuronseek import canonical, files, parts, printing, schema, symbolic, tensors
from nsjax.neuronseek.parts import LabelledTerm, Structure
from nsjax.neuronseek.shapes import checked_names, checked_neuron

TOL = 1e-10
"""What counts as zero beside the largest number of its kind, in a canonical form."""


@dataclass(frozen=True, eq=False, repr=False)
class Formula:
    """A CP-polynomial neuron with the names of its inputs and outputs.

    It is data: nothing in it is ever parsed as code. Calling it computes what
    `nsjax.networks.cp.apply` says.

    Attributes:
        neuron: `CPNeuron` of read-only float64 NumPy arrays, streams sorted by order and name.
        inputs: d names; x0, x1, ... if not given.
        outputs: c names; y, or y0, y1, ... if not given.

    Raises:
        TypeError, ValueError: for shapes that do not fit, what is not finite, and names that are
            no letter followed by letters, digits and underscores, or come twice.

    >>> from nsjax.networks.cp import CPTerms
    >>> product = CPTerms([[2.0]], [[[1.0, 0.0]], [[0.0, 1.0]]])
    >>> formula = Formula(CPNeuron([0.5], {3: [[0.0, -1.0]]}, {2: product}, {}))
    >>> print(formula)
    y = 0.5 - x1^3 + 2 x0 x1
    >>> formula(jnp.array([[1.0, 2.0]])).tolist()
    [[-3.5]]
    >>> Formula.from_json(formula.to_json()) == formula
    True
    """

    neuron: CPNeuron
    inputs: tuple[str, ...] = None  # type: ignore[assignment]
    outputs: tuple[str, ...] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        known = len(self.inputs) if isinstance(self.inputs, tuple | list) else None
        neuron, d = checked_neuron(self.neuron, known)
        object.__setattr__(self, "neuron", neuron)
        object.__setattr__(self, "inputs", checked_names("inputs", self.inputs, d, "x"))
        c = len(neuron.bias)
        object.__setattr__(self, "outputs", checked_names("outputs", self.outputs, c, "y"))

    @classmethod
    def of(
        cls, neuron: CPNeuron, *, inputs: Any = None, outputs: Any = None, tol: float = 0.0
    ) -> Formula:
        """Formula of a fitted neuron, its numbers below `tol` made zero.

        Args:
            neuron: NumPy or JAX arrays of any floating dtype.
            inputs: names of the inputs.
            outputs: names of the outputs.
            tol: relative to the largest number of its kind: entries of a factor, weights of a power
                for an output, coefficients of an order. With 0 every number stays as it is; above
                it the gauge of interactions is fixed, too.

        Raises:
            TypeError, ValueError: as the class, and for a negative `tol`.
        """
        tol = _check.non_negative("tol", tol)
        formula = cls(neuron, inputs, outputs)
        return formula._with(canonical.cleaned(formula.neuron, tol)) if tol else formula

    def __call__(self, x: Any) -> jax.Array:
        """Outputs for inputs `(n, d)`, `(n, c)`, or for one sample `(d,)`, `(c,)`.

        The dtype follows x. Works under `jax.jit`, `jax.vmap` and `jax.grad`.
        """
        one = np.ndim(x) == 1
        x = _check.vector("x", x, self.d)[None] if one else _check.matrix("x", x, columns=self.d)
        outputs = cp.apply(jax.tree.map(lambda leaf: jnp.asarray(leaf, x.dtype), self.neuron), x)
        return outputs[0] if one else outputs

    def __eq__(self, other: object) -> bool:
        """The same names and numbers; `equivalent` compares functions."""
        if not isinstance(other, Formula):
            return NotImplemented
        if (self.inputs, self.outputs) != (other.inputs, other.outputs):
            return False
        if parts.structure(self.neuron) != parts.structure(other.neuron):
            return False
        return all(map(np.array_equal, *map(jax.tree.leaves, (self.neuron, other.neuron))))

    def __hash__(self) -> int:
        return hash((self.inputs, self.outputs, parts.structure(self.neuron)))

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return f"Formula({textwrap.shorten(self.to_text(), 200, placeholder=' ...')!r})"

    @property
    def d(self) -> int:
        """Number of inputs."""
        return len(self.inputs)

    @property
    def c(self) -> int:
        """Number of outputs."""
        return len(self.outputs)

    def to_text(self, digits: int = 4, *, max_entries: int = 8, tol: float = 1e-6) -> str:
        """Plain text, a line for every output.

        Products of single inputs are multiplied out and added up; every other factor is scaled
        until its largest entry is 1, so that the text does not depend on the gauge.

        Args:
            digits: significant digits of a number.
            max_entries: of a longer sum only so many entries are written, the largest, and the
                number of the others.
            tol: numbers below this beside the largest of their sum are not written.

        >>> neuron = CPNeuron([0.0], {1: [[1.0, -0.25]]}, {}, {"sine": ([[2.0]], [[[3.0, 1.0]]])})
        >>> Formula(neuron, inputs=("a", "b")).to_text()
        'y = a - 0.25 b + 2 sin(3 a + b)'
        """
        style = printing.text_style(digits)
        return "\n".join(printing.lines(*self._parts, style, max_entries=max_entries, tol=tol))

    def to_latex(self, digits: int = 4, *, max_entries: int = 8, tol: float = 1e-6) -> str:
        r"""LaTeX for math mode; several outputs are joined by a line break.

        Args:
            digits, max_entries, tol: as in `to_text`.

        >>> Formula(CPNeuron([0.0], {2: [[1e-7, 0.5]]}, {}, {})).to_latex()
        'y = 0.5 x_{1}^{2}'
        """
        style = printing.latex_style(digits)
        lines = printing.lines(*self._parts, style, max_entries=max_entries, tol=tol)
        return " \\\\\n".join(lines)

    def to_sympy(self) -> tuple[Any, ...]:
        """One sympy expression for every output, in symbols named as the inputs.

        Every number that is not zero is there, in full precision. A registered basis that sympy
        does not have becomes an undefined function of its name.

        Raises:
            ImportError: without sympy, which `pip install 'nsjax[sympy]'` adds.
        """
        return symbolic.expressions(self.neuron, self.inputs)

    def to_json(self) -> str:
        """JSON text from which `from_json` gives back the same formula, every bit of it.

        Raises:
            ValueError: if the text would have more than 64 MB.
        """
        return schema.write(*self._parts)

    @classmethod
    def from_json(cls, text: str | bytes) -> Formula:
        """Formula from JSON text, which may come from anywhere.

        Raises:
            TypeError: for what is neither str nor bytes.
            ValueError: for text that is no formula: it names the place, what came and what was
                wanted. Sizes are bounded before anything is built.
        """
        return cls(*schema.read(text))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write JSON to a file at `path`, which is whole or not there at all."""
        files.write_atomic(path, self.to_json())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Formula:
        """Formula from a file at `path` that `save` wrote; errors as `from_json`."""
        text = files.read_bytes(path, _json.MAX_BYTES + 1)
        try:
            return cls.from_json(text)
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from None

    def monomials(self, *, max_terms: int = 100_000) -> dict[tensors.Exponents, np.ndarray]:
        """Coefficients `(c,)` of every monomial of the polynomial part, bias included.

        Args:
            max_terms: how many there may be.

        Returns:
            By exponents: sorted pairs (input, exponent), () for the bias.

        Raises:
            ValueError: if there are more.

        >>> square = ([[1.0]], [[[1.0, 1.0]], [[1.0, -1.0]]])
        >>> Formula(CPNeuron([0.0], {}, {2: square}, {})).monomials()
        {((0, 2),): array([1.]), ((1, 2),): array([-1.])}
        """
        return tensors.monomials(self.neuron, _check.positive_integer("max_terms", max_terms))

    def canonical(self, *, tol: float = TOL, x: Any = None, share: float = 0.0) -> Formula:
        """The same function in one form: pure powers first, few interactions, terms sorted.

        Factors of interactions have norm 1 and a positive largest entry. Terms of one input are
        powers, terms with the same factors are one, and an order whose tensor is diagonal is a
        power. For one output, order 2 has the fewest products of three splits: its powers as they
        are, none, or its whole diagonal, and a matrix of least rank; equal counts go to fewer
        streams. In higher orders `x_j^(n-1) (u . x)` gives its power of x_j to the pure stream, and
        terms that differ in one factor become one; a least rank is not promised there.

        A formula that was fitted to noise is the same function as few terms up to an error only.
        With a `share` above 0, each order and basis may change by that share of the variance of
        the outputs on the inputs x, and loses what it can for it: the least terms, products in an
        order that is all but diagonal, and for one output in order 2 the eigenvalues nearest to
        zero of its matrix. For these every input counts in units of its size (root mean square,
        rounded to a power of two). What goes leaves its mean in the bias. A share for noise is
        `Search.resolution`; a true term below it goes as well.

        Args:
            tol: numbers below this, beside the sum of coefficients of their order, are zero.
            x: inputs `(n, d)` on which variances are taken; for a `share` above 0.
            share: of the outputs' variance, summed over outputs, that counts as zero.

        Raises:
            TypeError, ValueError: for a bad `tol`, `share` or x.
        """
        tol, share = _check.positive("tol", tol), _check.non_negative("share", share)
        if share == 0:
            return self._with(canonical.canonical(self.neuron, tol))
        x = np.asarray(_check.matrix("x", x, columns=self.d), np.float64)
        return self._with(canonical.resolved(self.neuron, tol, x, share))

    def structure(self, *, tol: float = TOL, x: Any = None, share: float = 0.0) -> Structure:
        """Orders and streams of the canonical form, with their numbers of terms.

        Args:
            tol, x, share: as in `canonical`.

        Raises:
            TypeError, ValueError: as `canonical`.
        """
        return parts.structure(self.canonical(tol=tol, x=x, share=share).neuron)

    def distance(self, other: Formula) -> dict[int, float]:
        """Relative distance of the polynomials, by order; 0 is the bias. Bases do not count.

        `||S - T|| / max(||S||, ||T||)` for the symmetric coefficient tensors of an order, all
        outputs together, which are never formed. Up to 20,000 monomials, in the inputs or in an
        orthonormal basis of all factors, distances are resolved to rounding. Above, they come from
        inner products of the terms, `||S||^2 - 2 <S, T> + ||T||^2`, and what lies below 1e-7 of the
        size of the terms is rounding; this goes up to order 12.

        Args:
            other: of as many inputs and outputs.

        Raises:
            TypeError, ValueError: for another number of inputs or outputs.
        """
        return tensors.distances(self.neuron, self._alike(other).neuron)

    def equivalent(self, other: Formula, tol: float = 1e-6) -> bool:
        """Whether two formulas are the same function, whatever their names and form.

        Canonical forms are compared: every order by `distance`, and the terms of every basis one by
        one. What is rounding beside the largest coefficients counts as zero.

        Args:
            other: of as many inputs and outputs.
            tol: relative distance up to which an order, or a term of a basis, counts as equal.

        Raises:
            TypeError, ValueError: for another number of inputs or outputs.
        """
        tol = _check.positive("tol", tol)
        first, second = self.canonical().neuron, self._alike(other).canonical().neuron
        return tensors.equal_polynomials(first, second, tol) and canonical.equal_bases(
            first, second, tol
        )

    def terms(self) -> tuple[LabelledTerm, ...]:
        """Every term as a formula of its own; with the bias they add up to this one."""
        return tuple(
            LabelledTerm(label, self._with(each))
            for label, each in parts.labelled(self.neuron, self.inputs)
        )

    def shares(self, x: Any) -> dict[str, float]:
        """Variance of every term over that of the outputs, summed over outputs, by label.

        Args:
            x: inputs `(n, d)`.

        Returns:
            0 for every term if the outputs are constant. Terms may cancel: shares need not add up
            to 1.
        """
        x = _check.matrix("x", x, columns=self.d)
        whole = jnp.sum(jnp.var(self(x), axis=0))
        parts = {each.label: jnp.sum(jnp.var(each.formula(x), axis=0)) for each in self.terms()}
        return {label: float(part / whole) if whole > 0 else 0.0 for label, part in parts.items()}

    @property
    def _parts(self) -> tuple[CPNeuron, tuple[str, ...], tuple[str, ...]]:
        return self.neuron, self.inputs, self.outputs

    def _with(self, neuron: CPNeuron) -> Formula:
        return Formula(neuron, self.inputs, self.outputs)

    def _alike(self, other: Formula) -> Formula:
        if not isinstance(other, Formula):
            raise TypeError(f"other must be a Formula, got {type(other).__name__}")
        if (other.d, other.c) != (self.d, self.c):
            raise ValueError(
                f"other must have {self.d} inputs and {self.c} outputs, got {other.d} and {other.c}"
            )
        return other
