"""Pursuit against gradient descent on diagonal networks: greedy against least l1 norm.

Compressed sensing with networks `H(x; u, v) = sum_j u_j v_j x_j`: neuron pursuit, which is
orthogonal matching pursuit (OMP) there; the rule `flow`, where the next neuron is the one that the
slow flow grows first, without and with memory of earlier waits; gradient flow from several scales;
OMP and basis pursuit. Supports, l1 norms, the order in which neurons come, and phase diagrams of
recovery. A rerun with the same settings goes on where the last one stopped.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from nsjax import data, diagnostics, plots, runs
from nsjax.pursuit import diagonal

Solutions = dict[str, np.ndarray]
PURSUIT, MEMORY, OMP, BP = "pursuit, rule ncf", "flow, with memory", "OMP", "basis pursuit"


@dataclass(frozen=True)
class Config:
    """Settings of the compressed sensing experiment."""

    preset: Literal["quick", "full"] = "quick"
    """Which set of defaults the other settings start from."""
    dimension: int = 100
    """Number of inputs d."""
    samples: int = 40
    """Number of samples n of the table."""
    sparsities: tuple[int, ...] = (6, 12)
    """Sparsities k of the table."""
    instances: int = 200
    """Instances for each sparsity."""
    deltas: tuple[float, ...] = (1e-8, 1e-2)
    """Norms from which the flow without memory grows new neurons."""
    alphas: tuple[float, ...] = (1.0, 1e-1, 1e-3, 1e-6, 1e-12, 1e-24)
    """Initial scales of gradient descent, falling."""
    followed: int = 20
    """Instances for which gradient flow is integrated, for the order of its neurons."""
    followed_alpha: float = 1e-6
    """Its initial scale, one of `alphas`."""
    first: int = 5
    """How many first neurons have to come in one order."""
    phase_samples: tuple[int, ...] = (20, 40, 60)
    """Numbers of samples of the phase diagram."""
    phase_sparsities: tuple[int, ...] = (4, 8, 12, 16, 20, 24)
    """Its sparsities."""
    phase_instances: int = 10
    """Its instances at each point."""
    phase_deltas: tuple[float, ...] = (1e-2,)
    """Its norms for the flow without memory."""
    phase_alphas: tuple[float, ...] = (1.0, 1e-3, 1e-6)
    """Its initial scales of gradient descent, falling."""
    seed: int = 0
    """Seed of data and directions."""
    root: Path = field(default=Path("runs"), compare=False)
    """Where run folders go."""


PRESETS = {
    "quick": Config(),
    "full": Config(
        preset="full",
        sparsities=(6, 12, 18),
        deltas=(1e-8, 1e-4, 1e-2, 1e-1),
        followed=50,
        phase_samples=(10, 20, 30, 40, 50, 60),
        phase_sparsities=(2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24),
        phase_instances=20,
    ),
}


def flow_label(delta: float) -> str:
    """Name of the flow without memory."""
    return f"flow, delta {delta:g}"


def descent_label(alpha: float) -> str:
    """Name of gradient descent."""
    return f"gradient descent, alpha {alpha:g}"


def draw(config: Config, samples: int, sparsity: int, instances: int) -> tuple[Any, ...]:
    """Keys of directions, inputs, targets and true coefficients of a batch."""
    keys = jax.random.split(jax.random.key(config.seed), (2, instances))

    def one(key: jax.Array) -> Any:
        return data.compressed_sensing(key, samples, config.dimension, sparsity)

    return keys[1], *jax.vmap(one)(keys[0])


grow_by_flow = jax.jit(
    jax.vmap(lambda key, x, y, delta: diagonal.grow(key, x, y, delta=delta), (0, 0, 0, None))
)


@partial(jax.jit, static_argnames="alphas")
def flow_limits(x: Any, y: Any, alphas: tuple[float, ...]) -> Any:
    """Ends of gradient flow, see `diagonal.flow_limit`."""
    return jax.vmap(lambda x, y: diagonal.flow_limit(x, y, alphas))(x, y)


def solve(
    batch: tuple[Any, ...], deltas: tuple[float, ...], alphas: tuple[float, ...]
) -> tuple[Solutions, dict[str, list[list[int]]], dict[str, float]]:
    """Solutions `(B, d)`, orders of the neurons, and worst relative residuals, by method."""
    keys, x, y, _ = batch
    problems = list(zip(np.asarray(x), np.asarray(y), strict=True))
    solutions: Solutions = {}
    orders: dict[str, list[list[int]]] = {}
    for delta in (0.0, *deltas):
        name = flow_label(delta) if delta else PURSUIT
        grown = grow_by_flow(keys, x, y, delta)
        solutions[name] = np.asarray(grown.coefficients)
        orders[name] = [
            order[:count].tolist()
            for order, count in zip(np.asarray(grown.order), np.asarray(grown.neurons), strict=True)
        ]
    visited = [diagonal.successive_saddles(*each) for each in problems]
    solutions[MEMORY] = np.array([each.coefficients[-1] for each in visited])
    orders[MEMORY] = [each.order.tolist() for each in visited]
    limits, _ = flow_limits(x, y, alphas)
    for i, alpha in enumerate(alphas):
        solutions[descent_label(alpha)] = np.asarray(limits[:, i])
    matched = [diagonal.orthogonal_matching_pursuit(*each) for each in problems]
    solutions[OMP] = np.array([each[0] for each in matched])
    orders[OMP] = [each[1].tolist() for each in matched]
    solutions[BP] = np.array([diagonal.basis_pursuit(*each) for each in problems])
    targets = np.linalg.norm(y, axis=1)
    residuals = {
        name: float(np.max(np.linalg.norm(y - np.einsum("bnd,bd->bn", x, beta), axis=1) / targets))
        for name, beta in solutions.items()
    }
    return solutions, orders, residuals


def follow(config: Config, batch: tuple[Any, ...], solutions: Solutions) -> dict[str, Any]:
    """Gradient flow integrated on the first instances: order of births, end, and the limit's."""
    _, x, y, _ = (part[: config.followed] for part in batch)
    alpha = config.followed_alpha
    flow = jax.jit(jax.vmap(lambda x, y: diagonal.flow(x, y, alpha=alpha)))(x, y)
    limits = solutions[descent_label(alpha)][: config.followed]
    births = np.asarray(flow.births)
    return {
        "order": [
            np.argsort(row, kind="stable")[: np.isfinite(row).sum()].tolist() for row in births
        ],
        "residual": float(np.max(flow.residual)),
        "gap": float(np.max(np.abs(flow.coefficients - limits))),
        "steps": int(np.max(flow.steps)),
    }


def compare(config: Config, sparsity: int) -> tuple[Solutions, dict[str, Any]]:
    """Everything on the instances of one sparsity."""
    batch = draw(config, config.samples, sparsity, config.instances)
    solutions, orders, residuals = solve(batch, config.deltas, config.alphas)
    values: dict[str, Any] = {"residuals": residuals}
    followed = follow(config, batch, solutions) if config.followed else None
    least = np.abs(solutions[BP]).sum(axis=1)
    for name, beta in solutions.items():
        row = {
            "as_omp": diagnostics.share_interval(diagonal.same_support(beta, solutions[OMP])),
            "as_bp": diagnostics.share_interval(diagonal.same_support(beta, solutions[BP])),
            "recovered": diagnostics.share_interval(diagonal.recovered(beta, np.asarray(batch[3]))),
            "l1": diagnostics.median_interval(np.abs(beta).sum(axis=1) / least),
            "l1_most": float(np.max(np.abs(beta).sum(axis=1) / least)),
        }
        if name in orders:
            row["order_as_omp"] = sum(
                one == other for one, other in zip(orders[name], orders[OMP], strict=True)
            )
            if followed:
                common = [
                    diagonal.common_start(one, other)
                    for one, other in zip(followed["order"], orders[name], strict=False)
                ]
                row["common"] = float(np.median(common))
                row["as_flow"] = diagnostics.share_interval(np.array(common) >= config.first)
        values[name] = row
    if followed:
        values["followed"] = {key: followed[key] for key in ("residual", "gap", "steps")}
    return {f"m{i}": beta for i, beta in enumerate(solutions.values())}, values


def phase(config: Config, samples: int) -> dict[str, list[float]]:
    """Share of instances recovered at every sparsity, by method."""
    batches = [draw(config, samples, k, config.phase_instances) for k in config.phase_sparsities]
    batch = jax.tree.map(lambda *parts: jnp.concatenate(parts), *batches)
    solutions, _, _ = solve(batch, config.phase_deltas, config.phase_alphas)
    return {
        name: diagonal.recovered(found, batch[3])
        .reshape(len(config.phase_sparsities), -1)
        .mean(axis=1)
        .tolist()
        for name, found in solutions.items()
    }


def main(config: Config) -> Path:
    """Run the experiment; returns the run's folder."""
    runs.setup()
    with runs.open_run(config.root, "compressed_sensing", config, seed=config.seed) as run:
        table: dict[int, dict[str, Any]] = {}
        for sparsity, _, values in run.sweep(
            config.sparsities,
            lambda k: f"table-k{k}",
            lambda k: compare(config, k),
            description="sparsities",
        ):
            table[sparsity] = values
        shares: dict[int, dict[str, list[float]]] = {}
        for samples, _, values in run.sweep(
            config.phase_samples,
            lambda n: f"phase-n{n}",
            lambda n: ({}, phase(config, n)),
            description="samples",
        ):
            shares[samples] = values
        summarise(run, config, table, shares)
    return run.path


def summarise(
    run: runs.Run,
    config: Config,
    table: dict[int, dict[str, Any]],
    shares: dict[int, dict[str, list[float]]],
) -> None:
    """Tables, results and figure."""
    for sparsity, values in table.items():
        rows = []
        for name, row in values.items():
            if "l1" not in row:
                continue
            rows.append(
                (
                    name,
                    *("{:.1%} ({:.0%}-{:.0%})".format(*row[key]) for key in ("as_omp", "as_bp")),
                    "{:.1%} ({:.0%}-{:.0%})".format(*row["recovered"]),
                    "{:.4f} ({:.4f}-{:.4f})".format(*row["l1"]),
                    f"{row['order_as_omp']}" if "order_as_omp" in row else "",
                    f"{row['common']:g}, {row['as_flow'][0]:.0%}" if "as_flow" in row else "",
                )
            )
        runs.print_table(
            f"k = {sparsity}, n = {config.samples}, d = {config.dimension}, {config.instances} "
            "instances (shares with Wilson's 95 % intervals, the median of the l1 norm over the "
            "least with a bootstrap's; neurons in common with the flow: median, and share with "
            f"the first {config.first})",
            (
                "method",
                "support: OMP",
                "support: BP",
                "recovered",
                "l1 / least",
                "order: OMP",
                f"order: flow {config.followed_alpha:g}",
            ),
            rows,
        )
        if "followed" in values:
            print(f"gradient flow integrated on {config.followed}: {values['followed']}")
    panels = {
        name: np.array([shares[n][name] for n in config.phase_samples]).T
        for name in shares[config.phase_samples[0]]
    }
    run.save_figure(
        plots.plot_recovery(
            panels, samples=config.phase_samples, sparsities=config.phase_sparsities
        ),
        "compressed_sensing",
    )
    run.save_results({}, {"table": {str(k): v for k, v in table.items()}, "phase": panels})
    print(f"results and figures: {run.path}")


if __name__ == "__main__":
    sys.exit(runs.script(main, Config, PRESETS, description=__doc__))
