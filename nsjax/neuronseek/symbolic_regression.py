"""Genetic programming to compare with: sound engines of others behind one call.

The engine of NeuronSeek's own baseline shuffles its population after it has computed the fitness,
so that selection acts on numbers of other individuals: a part of the instability that is reported
of it is a fault of the program. The engines here have none of it.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np

from nsjax import _check
from nsjax.neuronseek import expressions
from nsjax.pursuit.problem import prediction_error


@dataclass(frozen=True)
class Operon:
    """Settings of pyoperon, which fits the constants of its expressions by Levenberg-Marquardt."""

    population: int = 200
    """Expressions of a generation."""
    length: int = 50
    """Most nodes of one."""
    local: int = 5
    """Steps of Levenberg-Marquardt for every new one."""
    symbols: str = "add,sub,mul,aq,sin,exp,logabs,sqrtabs,square,constant,variable"
    """What expressions are made of, by pyoperon's names."""


@dataclass(frozen=True)
class GPLearn:
    """Settings of gplearn."""

    population: int = 1000
    """Expressions of a generation."""
    parsimony: float = 1e-3
    """Penalty on length in a tournament."""
    functions: tuple[str, ...] = ("add", "sub", "mul", "div", "sin", "sqrt", "log")
    """What expressions are made of, by gplearn's names."""


class Steps(NamedTuple):
    """What a fit was after each of m steps.

    Attributes:
        seconds: CPU-seconds so far, `(m,)`.
        structures: what it looked like, by `expressions.structure`, m of them.
        train, held, test: mean squared errors over the variance of the targets there; NaN
            without such samples, `(m,)`.
    """

    seconds: np.ndarray
    structures: tuple[str, ...]
    train: np.ndarray
    held: np.ndarray
    test: np.ndarray


class Evolution(NamedTuple):
    """An expression found by genetic programming.

    Attributes:
        predict: from inputs `(k, d)` to outputs `(k,)`.
        text: the expression.
        nodes: its length.
        steps: the best expression of every generation, by training loss.
        chosen: the generation that held-out samples chose, if there were some; else the last.
    """

    predict: Callable[[np.ndarray], np.ndarray]
    text: str
    nodes: int
    steps: Steps
    chosen: int


class _Engine(Protocol):
    def advance(self) -> None: ...
    def best(self) -> tuple[Callable[[np.ndarray], np.ndarray], str, int]: ...


def evolve(
    seed: int,
    x: Any,
    y: Any,
    settings: Operon | GPLearn,
    *,
    seconds: float,
    validation: tuple[Any, Any] | None = None,
    test: tuple[Any, Any] | None = None,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Evolution:
    """Evolve expressions until a budget of CPU time is spent.

    Args:
        seed: of the engine.
        x, y: samples to fit, `(n, d)` and `(n,)`.
        settings: of the engine, and with them which.
        seconds: CPU-seconds; a generation that has begun is finished.
        validation: samples that choose the generation.
        test: samples for the errors of every generation.
        bounds: predictions are cut off there.

    Raises:
        ImportError: if the engine is not installed.
        TypeError, ValueError: for other settings or a budget that is not positive.
    """
    _check.positive("seconds", seconds)
    engines: dict[type, Any] = {Operon: _Operon, GPLearn: _GPLearn}
    if type(settings) not in engines:
        raise TypeError(f"settings must be an Operon or a GPLearn, got {type(settings).__name__}")
    x, y = np.asarray(x, float), np.asarray(y, float).reshape(-1)
    engine: _Engine = engines[type(settings)](seed, x, y, settings)
    pairs = [(x, y), validation, test]
    spent: list[float] = []
    structures: list[str] = []
    errors: list[list[float]] = []
    best: tuple[float, int, Any] | None = None
    begun = time.process_time()
    while not spent or spent[-1] < seconds:
        engine.advance()
        predict, text, nodes = engine.best()
        spent.append(time.process_time() - begun)
        structures.append(expressions.structure(text))
        errors.append([_error(predict, pair, bounds) for pair in pairs])
        score = errors[-1][0] if validation is None else errors[-1][1]
        if best is None or validation is None or score < best[0]:
            best = score, len(spent) - 1, (predict, text, nodes)
    assert best is not None
    train, held, tested = np.array(errors).T
    predict, text, nodes = best[2]
    return Evolution(
        lambda fresh: np.clip(predict(np.asarray(fresh, float)), *bounds),
        text,
        nodes,
        Steps(np.array(spent), tuple(structures), train, held, tested),
        best[1],
    )


def _error(predict: Any, pair: tuple[Any, Any] | None, bounds: tuple[float, float]) -> float:
    if pair is None:
        return float("nan")
    x, y = np.asarray(pair[0], float), np.asarray(pair[1], float).reshape(-1, 1)
    h = np.clip(np.nan_to_num(predict(x), nan=0.0), *bounds)
    return float(prediction_error(jnp.asarray(h[:, None]), jnp.asarray(y), loss="square"))


def _installed(package: str) -> Any:
    try:
        return __import__(package, fromlist=["_"])
    except ImportError as error:
        raise ImportError(
            f"symbolic regression needs {package.split('.')[0]}: pip install 'nsjax[baselines]'"
        ) from error


class _Operon:
    """pyoperon, a few generations at a time."""

    GENERATIONS = 2

    def __init__(self, seed: int, x: np.ndarray, y: np.ndarray, settings: Operon) -> None:
        self.x, self.y = x, y
        self.rng = np.random.default_rng(seed)
        self.model = _installed("pyoperon.sklearn").SymbolicRegressor(
            allowed_symbols=settings.symbols,
            population_size=settings.population,
            max_length=settings.length,
            optimizer_iterations=settings.local,
            objectives=["r2"],
            model_selection_criterion="mean_squared_error",
            generations=self.GENERATIONS,
            max_evaluations=10**12,
            n_threads=1,
            warm_start=True,
        )

    def advance(self) -> None:
        self.model.set_params(random_state=int(self.rng.integers(2**31)))
        self.model.fit(self.x, self.y)

    def best(self) -> tuple[Callable[[np.ndarray], np.ndarray], str, int]:
        tree, model = self.model.model_, self.model
        return (
            lambda x: np.asarray(model.evaluate_model(tree, x)),
            model.get_model_string(tree, 4),
            int(tree.Length),
        )


class _GPLearn:
    """gplearn, a generation at a time."""

    def __init__(self, seed: int, x: np.ndarray, y: np.ndarray, settings: GPLearn) -> None:
        self.x, self.y, self.count = x, y, 0
        self.model = _installed("gplearn.genetic").SymbolicRegressor(
            population_size=settings.population,
            parsimony_coefficient=settings.parsimony,
            function_set=settings.functions,
            # Its default is the mean absolute error, with constants in (-1, 1).
            metric="mse",
            const_range=(-5.0, 5.0),
            random_state=seed,
            warm_start=True,
            low_memory=True,
        )

    def advance(self) -> None:
        self.count += 1
        self.model.set_params(generations=self.count)
        with warnings.catch_warnings():
            # Protected functions overflow on the way; that is the engine's own matter.
            warnings.simplefilter("ignore")
            self.model.fit(self.x, self.y)

    def best(self) -> tuple[Callable[[np.ndarray], np.ndarray], str, int]:
        program = self.model._program
        return program.execute, str(program), int(program.length_)
