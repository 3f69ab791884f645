"""Tables and figure of the benchmark of waiting at a saddle."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.flow_config import METHODS, Config
from nsjax.plots.style import CATEGORIES, grid
from nsjax.runs import print_table

COLUMNS = {
    "delta": "delta",
    "method": "method",
    "status": "status",
    "gradients": "gradients",
    "hessians": "Hessians",
    "steps": "steps",
    "cpu_seconds": "CPU s",
    "fixed_seconds": "fixed s",
    "time_error": "time error",
    "direction_error": "direction error",
    "reference": "reference",
}


def report(config: Config, rows: list[dict]) -> None:
    for q in config.orders:
        some = [row for row in rows if row["q"] == q]
        ordered = sorted(some, key=lambda row: (-row["delta"], METHODS.index(row["method"])))
        lines = [[shown(row, key) for key in COLUMNS] for row in ordered]
        title = f"q = {q}, from delta to 10 delta; CPU-seconds once warm"
        print_table(title, list(COLUMNS.values()), lines)
        firsts = {row["method"]: row["compile_seconds"] for row in some}
        print_table(
            f"q = {q}, compilation",
            ["method", "CPU s; implicit and explicit on top of slow"],
            firsts.items(),
        )
    words: dict[tuple[int, str, str], list[str]] = {}
    for row in rows:
        if row["status"] != "measured" and row["message"]:
            key = row["q"], row["method"], row["message"]
            words.setdefault(key, []).append(f"{row['delta']:g}")
    if words:
        said = [(*key[:2], ", ".join(deltas), key[2]) for key, deltas in words.items()]
        print_table("What was not run to the end", ["q", "method", "delta", "message"], said)


def shown(row: dict, key: str) -> Any:
    """What the table shows: which solvers an escape ran, and large counts with four digits."""
    value = row[key]
    if key == "status" and row["ran"] not in ("", row["method"]):
        return f"{value} ({row['ran']})"
    return float(value) if isinstance(value, int) and value >= 10**6 else value


def draw(config: Config, rows: list[dict]) -> Figure:
    """Work against delta: a panel for each order, a line for each method."""
    lines = {
        "slow": ("slow, with hand-over", CATEGORIES[0], "o", 1.4, 4.5),
        "implicit": ("implicit, with Hessians", CATEGORIES[1], "s", 1.4, 4.5),
        # The two lines nearly coincide: one is drawn wide, the other on top of it.
        "compiled loop": ("gradient descent", CATEGORIES[5], "^", 4.0, 8.0),
        "explicit": ("explicit", CATEGORIES[2], "D", 1.2, 3.5),
    }
    figure, panels = grid(1, len(config.orders), panel=(3.4, 2.8))
    for panel, q in zip(panels[0], config.orders, strict=True):
        for method, (label, color, marker, width, size) in lines.items():
            some = [row for row in rows if (row["q"], row["method"]) == (q, method)]
            some = sorted((row for row in some if row["work"]), key=lambda row: row["delta"])
            deltas, work = [row["delta"] for row in some], [row["work"] for row in some]
            panel.plot(deltas, work, color=color, label=label, lw=width)
            for row in some:
                face = "white" if row["status"] == "extrapolated" else color
                panel.plot(
                    row["delta"], row["work"], marker, color=color, mfc=face, markersize=size
                )
            if some and len(some) < len(config.deltas):
                panel.annotate(
                    "refused below",
                    (deltas[0], work[0]),
                    xytext=(-5, -6),
                    textcoords="offset points",
                    ha="right",
                    va="center",
                    fontsize=7,
                    color=color,
                )
        descent = [r for r in rows if (r["q"], r["method"]) == (q, "compiled loop")]
        ends = np.array([min(config.deltas), max(config.deltas)])
        anchor = max(descent, key=lambda row: row["delta"])
        slope = 8 * anchor["work"] * (ends / anchor["delta"]) ** (2 - q)
        panel.plot(ends, slope, "--", color="0.4", lw=1, label=r"slope $-(q-2)$")
        panel.set(xscale="log", yscale="log", xlabel=r"$\delta$")
        panel.set_title(f"$q = {q}$", fontsize=9)
    panels[0, 0].set_ylabel("gradient evaluations")
    handles = [
        Line2D([], [], color=color, label=label, marker=marker, lw=width, markersize=size)
        for label, color, marker, width, size in lines.values()
    ]
    gray = partial(Line2D, [], [], color="0.4", lw=1)
    handles.append(gray(linestyle="--", label=r"slope $-(q-2)$"))
    handles.append(gray(linestyle="", marker="o", mfc="white", ms=4.5, label="extrapolated"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure
