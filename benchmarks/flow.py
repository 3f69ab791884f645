"""What it costs to wait out a saddle: three methods of `nsjax.dynamics.escape` against plain loops.

In one run, on one saddle, data and start for each order q: the slow manifold, the implicit and the
explicit flow, and gradient descent with step `0.5 / lambda_max` as a loop in Python (the gradient
called as it is, and compiled) and as one compiled loop. Each goes from `delta` to `10 delta`.

Seconds are CPU-seconds of the whole call once warm, the median of some repeats; of these, "fixed"
is what the same call takes for a horizon of nearly nothing (inspection of the saddle, KKT search,
saves), which the loops do not need. Evaluations are those of the integrator. A row marked
"extrapolated" was measured over fewer steps and scaled to the escape time of the reference. The
status also names the solvers that ran: where its error is too large for its own tolerance, the slow
manifold hands over to the explicit or implicit flow, at large delta from the start.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks import rows as table
from benchmarks.flow_config import LIBRARY, LOOPS, METHODS, PRESETS, REFERENCES, Config
from benchmarks.flow_measure import (
    find_reference,
    measure_compilation,
    measure_library,
    measure_loop,
)
from benchmarks.flow_report import draw, report
from benchmarks.flow_saddle import from_arrays, make_problem, to_arrays
from nsjax.runs import Run, open_run, progress, script, setup


def measure_order(config: Config, run: Run, q: int, tick: Callable[[], Any]) -> list[dict]:
    """All rows of one order, what is finished taken from its cells."""

    def finished(name: str, compute: Callable[[], tuple[dict, dict]]) -> tuple[dict, dict]:
        cell = run.cell(f"q={q}_{name.replace(' ', '-')}")
        if not cell.finished:
            cell.save(*compute())
        tick()
        return cell.load()

    problem = from_arrays(
        q, config, *finished("saddle", lambda: to_arrays(make_problem(config, q)))
    )
    size = sum(w.size for w in problem.params)

    def compiling(method: str) -> float:
        name = f"compile_{method}"
        return finished(name, partial(measure_compilation, config, problem, method))[1][
            "cpu_seconds"
        ]

    compiled = {method: compiling(method) for method in LIBRARY}
    references = {
        delta: finished(
            f"delta={delta:g}_reference", partial(find_reference, config, problem, delta)
        )
        for delta in config.deltas
    }
    rows: list[dict] = []
    for method in METHODS:
        if method in LOOPS:
            compiled[method] = compiling(method)
        measure = measure_library if method in LIBRARY else measure_loop
        for delta, (there, reference) in references.items():
            arrays, row = finished(
                f"delta={delta:g}_{method}",
                partial(measure, config, problem, delta, method, reference["escape_time"]),
            )
            escape_time, direction = row["escape_time"], arrays["direction"]
            reached = escape_time is not None
            taken = row["times"]
            row |= {
                "q": q,
                "delta": delta,
                "method": method,
                "compile_seconds": compiled[method],
                # A Hessian costs about as much as a gradient for every weight.
                "work": None if taken is None else row["gradients"] + size * row["hessians"],
                "cpu_seconds": None if taken is None else float(np.median(taken)),
                "reference": reference["ran"],
                "reference_time": reference["escape_time"],
                "time_error": abs(escape_time / reference["escape_time"] - 1) if reached else None,
                "direction_error": (
                    float(np.linalg.norm(direction - there["direction"])) if reached else None
                ),
            }
            rows.append(row)
    return rows


def compared(config: Config, rows: list[dict]) -> list[table.Row]:
    """The slow manifold beside the explicit flow and the loops, for each order and delta."""
    found = []
    by_name = {(row["q"], row["delta"], row["method"]): row for row in rows}
    for q, delta in ((q, delta) for q in config.orders for delta in config.deltas):
        ours = by_name[q, delta, "slow"]
        for method in REFERENCES:
            theirs = by_name[q, delta, method]
            what, size = "escape from a saddle", f"q = {q}, delta = {delta:g}"
            if ours["times"] is None or theirs["times"] is None:
                why = ours["message"] if ours["times"] is None else theirs["message"]
                found.append(table.skipped(what, size, method, why))
                continue
            found.append(
                table.against(
                    what,
                    size,
                    method,
                    ours["times"],
                    theirs["times"],
                    paired=False,
                    note=f"{theirs['status']}; ours ran {ours['ran']}",
                )
            )
    return found


def main(config: Config) -> None:
    # No cache on disk: compilation is part of what is measured.
    setup(cache="")
    with open_run(config.root, "benchmark_flow", config, seed=config.seed) as run:
        cells = len(config.orders) * (1 + len(METHODS) + len(config.deltas) * (1 + len(METHODS)))
        ticks = progress(range(cells), description="flow", show=config.progress)
        rows: list[dict] = []
        for q in config.orders:
            rows += measure_order(config, run, q, partial(next, ticks, None))
        next(ticks, None)
        found = compared(config, rows)
        run.save_results({}, {"rows": table.to_json(found), "methods": rows})
        report(config, rows)
        table.show("The slow manifold beside plain ways to wait", found)
        figure = run.save_figure(draw(config, rows), "work")
        print(f"Results in {run.path}, figure in {figure}")


if __name__ == "__main__":
    sys.exit(script(main, Config, PRESETS, description=__doc__))
