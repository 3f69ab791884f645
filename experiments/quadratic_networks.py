"""Quadratic networks learn where matrix sensing does: test error against samples over d^2.

A two-layer x^2 network with output weights fixed at +1, or at +1 and -1, and a vanishing l2 penalty
on its first layer ends at the matrix of least trace, or of least nuclear norm, that fits the data.
Teachers of several widths; test errors against the sample ratio, and the number of samples from
which half of the seeds find the teacher, beside the statistical dimension that predicts it for
Gaussian measurements. Inputs give `x x^T`, which is not Gaussian and has a mean: so `x x^T - I` and
Gaussian matrices without and with that mean are measured, too. Networks trained from random starts
are drawn on top. A rerun with the same settings goes on where the last one stopped.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import data, diagnostics, dynamics, networks, plots, runs
from nsjax.diagnostics.statistical_dimension import MEAN_OF_INPUTS


@dataclass(frozen=True)
class Config:
    """Settings of the experiment."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    dimension: int = 8
    """Number of inputs d."""
    widths: tuple[int, ...] = (1, 2)
    """Widths of the teachers below d; d itself is added."""
    ratios: tuple[float, ...] = (0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.5, 1.8)
    """Numbers of samples over the predicted threshold."""
    seeds: int = 8
    """Seeds of teachers and samples at each number of samples."""
    recovered: float = 1e-4
    """Test error over the variance of the target, below which the teacher is found."""
    tol: float = 1e-6
    """Duality gap over the value."""
    max_steps: int = 1500
    """Most steps of the splitting."""
    starts: int = 3
    """Random starts of the networks that are trained, on the samples of one seed."""
    penalty: float = 1e-5
    """Their penalty lam: small, where the limit of a vanishing one is meant."""
    trained: tuple[float, ...] = (0.5, 0.9, 1.3)
    """Their numbers of samples over the predicted threshold."""
    seed: int = 0
    """First seed."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(
        preset="full",
        dimension=12,
        widths=(1, 2, 4),
        ratios=(0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.6, 1.9),
        seeds=20,
        starts=5,
        trained=(0.3, 0.5, 0.7, 0.9, 1.1, 1.3, 1.5),
    ),
}
GROUPS = {
    ("inputs", True): "output weights +1, $xx^T$",
    ("inputs", False): "output weights $\\pm 1$, $xx^T$",
    ("centred", False): "$\\pm 1$, $xx^T - I$",
    ("gaussian", True): "+1, Gaussian matrices",
    ("gaussian", False): "$\\pm 1$, Gaussian matrices",
    ("shifted", False): "$\\pm 1$, Gaussian matrices $+ I$",
}
"""What is compared: measurements, and whether output weights are +1 alone (M >= 0)."""


class Case(NamedTuple):
    """A teacher and a way to learn it."""

    design: str
    psd: bool
    positive: int
    negative: int


def cases(config: Config) -> list[Case]:
    """Teachers of positive output weights by every way, and of both signs by networks of both."""
    found = [Case(*group, k, 0) for group in GROUPS for k in config.widths]
    found += [Case("inputs", psd, config.dimension, 0) for psd in (True, False)]
    found += [Case("inputs", False, k - k // 2, k // 2) for k in config.widths if k > 1]
    return found


def predict(config: Config, case: Case) -> diagnostics.StatisticalDimension:
    """The number of samples at which the teacher is found."""
    return diagnostics.statistical_dimension(
        jax.random.key(config.seed),
        config.dimension,
        case.positive,
        case.negative,
        psd=case.psd,
        mean=MEAN_OF_INPUTS if case.design in ("inputs", "shifted") else 0.0,
    )


def draw(config: Config, case: Case, samples: Any, most: int) -> tuple[Any, ...]:
    """Measurements, targets and teachers, `(N, S, ...)`; what is over n samples is zero."""
    keys = jax.random.split(jax.random.key(config.seed), config.seeds)

    def one(key: jax.Array, n: jax.Array) -> Any:
        measurements, y, matrix = data.matrix_sensing(
            key, most, config.dimension, case.positive, case.negative, design=case.design
        )
        kept = jnp.arange(most) < n
        return jnp.where(kept[:, None, None], measurements, 0), jnp.where(kept, y, 0), matrix

    return jax.vmap(jax.vmap(one, (0, None)), (None, 0))(keys, jnp.asarray(samples))


@partial(jax.jit, static_argnames=("psd", "tol", "max_steps"))
def fit(measurements: Any, y: Any, psd: bool, tol: float, max_steps: int) -> Any:
    """The limit of vanishing penalty of every problem of a batch `(N, S, ...)`.

    Seeds run side by side, and numbers of samples one after the other: those at the threshold take
    many times the steps of others, which would wait for them.
    """
    solve = partial(dynamics.least_nuclear_norm, psd=psd, tol=tol, max_steps=max_steps)
    return jax.lax.map(lambda each: jax.vmap(solve)(*each), (measurements, y))


def numbers(config: Config, ratios: tuple[float, ...], predicted: float) -> np.ndarray:
    """Numbers of samples, at most somewhat more than a matrix has entries."""
    return np.unique(np.clip(np.round(np.array(ratios) * predicted), 1, most(config)).astype(int))


def most(config: Config) -> int:
    """The largest number of samples."""
    return int(1.15 * config.dimension * (config.dimension + 1) / 2)


def learn(config: Config, case: Case) -> tuple[dict[str, Any], dict[str, Any]]:
    """Test errors at all numbers of samples, and where half of the seeds find the teacher."""
    predicted = predict(config, case)
    samples = numbers(config, config.ratios, predicted.value)
    measurements, y, matrix = draw(config, case, samples, most(config))
    found = fit(measurements, y, case.psd, config.tol, config.max_steps)
    errors = np.asarray(jax.vmap(jax.vmap(networks.gaussian_error))(found.matrix, matrix))
    shares = np.mean(errors < config.recovered, axis=1)
    return {"samples": samples, "errors": errors}, {
        "predicted": predicted.value,
        "predicted_error": predicted.error,
        "shares": shares.tolist(),
        **{f"n{round(100 * p)}": crossing(samples, shares, p) for p in (0.25, 0.5, 0.75)},
        "unfinished": int(np.sum(np.asarray(found.result) != 0)),
        "problems": int(errors.size),
    }


def crossing(samples: Any, shares: Any, level: float) -> float:
    """Samples from which the share recovered stays above a level, between two numbers by a line."""
    below = np.flatnonzero(np.asarray(shares) < level)
    if not len(below):
        return float(samples[0])
    i = below[-1]
    if i + 1 == len(samples):
        return float("nan")
    step = (level - shares[i]) / (shares[i + 1] - shares[i])
    return float(samples[i] + step * (samples[i + 1] - samples[i]))


def train(config: Config, case: Case) -> tuple[dict[str, Any], dict[str, Any]]:
    """Test errors of networks of width d with output weights +1, trained from random starts."""
    d = config.dimension
    samples = numbers(config, config.trained, predict(config, case).value)
    keys = jax.random.split(jax.random.key(config.seed), 2)
    x = jax.random.normal(keys[0], (most(config), d))
    _, _, matrix = data.matrix_sensing(keys[1], 1, d, case.positive)
    y = jnp.einsum("ni,ij,nj->n", x, matrix, x)
    starts = jax.random.normal(jax.random.fold_in(keys[1], 1), (config.starts, d, d)) / d
    errors, norms = [], []
    for n in samples:
        kept = jnp.arange(len(x)) < n
        # Rows of zeros change nothing but the number of samples that lam is multiplied by.
        args = jnp.ones(d), x * kept[:, None], y * kept, config.penalty * float(n) / len(x)
        found = dynamics.minimize_starts(dynamics.first_layer_loss, starts, args=args, tol=1e-9)
        forms = jnp.einsum("ski,skj->sij", found.params, found.params)
        errors.append(np.asarray(networks.gaussian_error(forms, matrix)))
        norms.append(float(jnp.max(found.grad_norms)))
    return {"samples": samples, "errors": np.array(errors)}, {"grad_norms": norms}


def name_of(case: Case) -> str:
    """Name of a cell."""
    signs = "plus" if case.psd else "both"
    return f"{case.design}-{signs}-teacher{case.positive}+{case.negative}"


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.open_run(config.root, "quadratic_networks", config, seed=config.seed) as run:
        found: dict[Case, tuple[Any, Any]] = {}
        for case, arrays, values in run.sweep(
            cases(config), name_of, lambda case: learn(config, case), description="teachers"
        ):
            found[case] = arrays, values
        trained = {}
        for case, arrays, values in run.sweep(
            [Case("inputs", True, config.widths[-1], 0)],
            lambda _: "networks",
            lambda case: train(config, case),
            description="networks",
        ):
            trained[case] = arrays, values
        summarise(run, config, found, trained)
    return run.path


def summarise(
    run: runs.Run, config: Config, found: dict[Case, Any], trained: dict[Case, Any]
) -> None:
    """Tables, results and figure."""
    d = config.dimension

    def curve(case: Case) -> plots.ErrorCurve:
        arrays, values = found[case]
        return plots.ErrorCurve(arrays["samples"], arrays["errors"], values["predicted"])

    rows = [
        (
            GROUPS[case.design, case.psd].replace("$", "").replace("\\pm ", "+-"),
            f"{case.positive}+, {case.negative}-",
            f"{values['predicted']:.1f} ({values['predicted_error']:.1f})",
            *(f"{values[key]:.1f}" for key in ("n25", "n50", "n75")),
            f"{values['unfinished']} of {values['problems']}",
        )
        for case, (_, values) in found.items()
    ]
    runs.print_table(
        f"samples for a quarter, half and three quarters of {config.seeds} seeds, d = {d}, "
        f"d (d + 1) / 2 = {d * (d + 1) // 2}",
        (
            "network, measurements",
            "teacher",
            "predicted (error)",
            "1/4",
            "1/2",
            "3/4",
            "unfinished",
        ),
        rows,
    )
    groups: dict[str, list[plots.Threshold]] = {}
    for case, (_, values) in found.items():
        point = [values[key] for key in ("predicted", "n50", "n25", "n75")]
        if not case.negative and case.positive < d and np.all(np.isfinite(point)):
            group = groups.setdefault(GROUPS[case.design, case.psd], [])
            group.append(plots.Threshold(*point))
    panels = {
        "output weights +1": {
            f"teacher of width {k}": curve(Case("inputs", True, k, 0)) for k in (*config.widths, d)
        },
        "output weights $\\pm 1$": {
            f"teacher of {case.positive} of +1, {case.negative} of $-1$": curve(case)
            for case in sorted(found, key=lambda case: case.positive + case.negative)
            if (case.design, case.psd) == ("inputs", False)
            and (case.negative or case.positive == d)
        },
    }
    dots = {
        f"networks trained, teacher of width {case.positive}": plots.ErrorCurve(
            arrays["samples"], arrays["errors"], 0
        )
        for case, (arrays, _) in trained.items()
    }
    run.save_figure(
        plots.plot_sensing(panels, groups, dimension=d, dots=dots), "quadratic_networks"
    )
    trained_values = next(iter(trained.values()))[1]
    results = {name_of(case): values for case, (_, values) in found.items()}
    run.save_results({}, {**results, "networks": trained_values})
    print(f"results and figures: {run.path}")


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
