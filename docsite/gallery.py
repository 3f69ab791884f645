"""The gallery: every figure that experiments and theory checks make, each with its command.

`ENTRIES` is the one list. A new experiment or theory check is one line there and its stored figures
in `docs/figures/`; `python -m docsite gallery` then writes `docs/gallery.md`, and a test holds that
nothing is missing.
"""

from dataclasses import dataclass
from pathlib import Path

from docsite.api import ROOT
from experiments.__main__ import first_line, scripts
from theory_checks.__main__ import statements

PAGE = ROOT / "docs" / "gallery.md"
FIGURES = ROOT / "docs" / "figures"


@dataclass(frozen=True)
class Entry:
    """One figure, or a script without one.

    Attributes:
        script: name of the experiment.
        figure: stem of the stored file.
        shows: one line.
        options: what the command has after the script; as stored, not always the default.
        page: the page with the numbers, without `.md`.
    """

    script: str
    figure: str
    shows: str
    options: str = ""
    page: str = ""


ENTRIES = (
    Entry("saddle_escape", "saddle_escape", "Escapes from a saddle, eight sizes of the start", "", "saddles"),
    Entry("cascade", "cascade", "The staircase of the loss, on one curve in the time delta t", "", "saddles"),
    Entry("kkt_landscape", "kkt_landscape", "Values and basins of the KKT points at the origin", "", "ncf"),
    Entry("neuron_pursuit", "pursuit_growth", "Errors against the number of neurons", "--task sparse-f1 --inputs sphere", "neuron_pursuit"),
    Entry("neuron_pursuit", "pursuit_weights", "Weight matrices: which inputs a grown network uses", "--task sparse-f1 --inputs sphere", "neuron_pursuit"),
    Entry("sample_efficiency", "sample_efficiency", "Test error against samples, beside strong baselines", "--preset full", "neuron_pursuit"),
    Entry("pursuit_ablation", "pursuit_ablation", "What of pursuit does the work", "", "neuron_pursuit"),
    Entry("modular_addition", "modular_accuracy", "Wrong pairs against the fraction of pairs seen", "--preset full --decays 0 1e-3 3e-3", "modular_addition"),
    Entry("modular_addition", "modular_fourier", "Neurons become waves", "--preset full --decays 0 1e-3 3e-3", "modular_addition"),
    Entry("modular_lojasiewicz", "modular_lojasiewicz", "The local Łojasiewicz constant along four flows", "", "modular_addition"),
    Entry("pointer_retrieval", "pointer_retrieval", "Wrong inputs against samples", "", "pointer_retrieval"),
    Entry("balance_ratios", "balance_ratios", "Ratio of every neuron in each round, by minimiser", "", "pointer_retrieval"),
    Entry("compressed_sensing", "compressed_sensing", "Recovery against samples and sparsity: pursuit, flows, OMP, basis pursuit", "", "compressed_sensing"),
    Entry("quadratic_networks", "quadratic_networks", "Test errors against samples over d^2, and predicted thresholds", "--preset full", "nuclear_norm"),
    Entry("flat_channels", "flat_channels", "Neurons that run to infinity together: gap, time, loss, shares", "--preset full", "flat_channels"),
    Entry("scale_sweep", "scale_sweep", "128 flows from small and from large starts", "", "runs"),
    Entry("neuron_search", "neuron_terms", "Terms that enter and leave, and errors", "", "neuron_search"),
    Entry("neuron_families", "neuron_families", "Errors on 16 families of formulas", "", "neuron_search"),
    Entry("order_sweep", "neuron_forms", "CP terms beside Tucker cores: error against parameters", "", "neuron_search"),
    Entry("basis_functions", "neuron_templates", "Errors by what the template allows", "", "neuron_search"),
    Entry("pruning_rules", "pruning_rules", "Exact structures of ten rules of pruning", "--preset full", "neuron_search"),
    Entry("order_choice", "order_choice", "Neurons that choose their order: errors against samples", "--preset full", "cp_terms"),
    Entry("order_choice", "order_phases", "Share of seeds recovered against samples and inputs", "--preset full --task sparse --terms 5 --noise 0.05 --dimensions 20 50 100 200", "cp_terms"),
    Entry("real_data", "airfoil_errors", "Airfoil: errors of all starts", "--preset full --data airfoil --data-dir DIR", "real_data"),
    Entry("real_data", "stability_courses", "Airfoil: stability against work", "--preset full --data airfoil --data-dir DIR", "real_data"),
    Entry("scaling", "scaling", "CPU time and memory against the number of inputs", "--preset full --seeds 2", "real_data"),
    Entry("tabular_networks", "task_networks_errors", "Test errors of ten splits of airfoil", "--data airfoil --data-dir DIR --search ridge --splits 10 --hidden 64", "task_networks"),
    Entry("tabular_networks", "task_networks_curves", "Held-out losses on airfoil, one hidden layer", "--data airfoil --data-dir DIR --search ridge --splits 10 --hidden 64", "task_networks"),
    Entry("resnet_cifar10", "task_networks_digits", "Wrong digits against epochs", "--preset digits", "task_networks"),
    Entry("resnet_cifar10", "task_networks_cifar", "Wrong CIFAR-10 images against epochs (a subset)", "--data cifar10 --data-dir DIR", "task_networks"),
    Entry("kernel_compression", "kernel_compression", "Output error and accuracy against parameters", "--preset full", "compression"),
    Entry("dense_orbits", "dense_orbits_density", "Invariant densities of ten maps", "--preset full", "dense_orbits"),
    Entry("dense_orbits", "dense_orbits_depth", "Depth at which K targets are fitted, against eps", "--preset full", "dense_orbits"),
    Entry("dense_orbits", "dense_orbits_budget", "Error against a budget of depth, and rounding", "--preset full", "dense_orbits"),
)  # fmt: skip
"""Figures in the order of the page."""

CHECKS = {
    "assumption2_lojasiewicz": "modular_lojasiewicz",
    "conservation": "idea_homogeneous",
    "cp_correspondence": "order_choice",
    "decoupling": "kkt_landscape",
    "dense_orbits": "dense_orbits_depth",
    "early_directional_convergence": "kkt_landscape",
    "lemma12_descent": "idea_pursuit",
    "lemma9_balance": "balance_ratios",
    "nuclear_norm": "quadratic_networks",
    "pursuit_descent": "idea_pursuit",
    "rank_one_kkt_points": "idea_ncf",
    "sparsity_kept": "cascade",
    "theorem7_directional_convergence": "saddle_escape",
}
"""Theory checks end in a table and a verdict; the figure of what each is about."""


def page() -> str:
    """The page, from the list and the first lines of docstrings."""
    parts = [
        "# Gallery",
        "",
        "Every figure of `experiments/`, with the command that makes it and the page that has its numbers. This page is",
        "written by `python -m docsite gallery`. A run leaves its figures as PNG and PDF in its folder; those stored here",
        "were made by the commands as given, from run folders that took from seconds to some hours.",
        "",
        "## Experiments",
        "",
    ]
    known = scripts()
    last = ""
    for entry in ENTRIES:
        if entry.script != last:
            parts += [f"### {entry.script}", "", first_line(known[entry.script]), ""]
            last = entry.script
        command = f"python experiments/{entry.script}.py {entry.options}".strip()
        more = f" ([numbers]({entry.page}.md))" if entry.page else ""
        parts += [
            f"    {command}",
            "",
            f"![{entry.shows}](figures/{entry.figure}.png)",
            "",
            f"*{entry.shows}*{more}",
            "",
        ]
    parts += [
        "## Theory checks",
        "",
        "A theory check prints a table with the hypotheses, what was measured and predicted, a verdict and a negative control.",
        "It draws nothing; the figure named beside it is of what it is about.",
        "",
        "| command | statement | figure |",
        "|---|---|---|",
    ]
    for name, statement in statements().items():
        figure = CHECKS[name]
        parts.append(
            f"| `python -m theory_checks {name}` | {_escaped(statement)} "
            f"| [{figure}](figures/{figure}.png) |"
        )
    return "\n".join(parts) + "\n"


def _escaped(text: str) -> str:
    """Bars outside code would end a cell of the table."""
    pieces = text.split("`")
    return "`".join(p if i % 2 else p.replace("|", r"\|") for i, p in enumerate(pieces))


def missing(root: Path = ROOT) -> list[str]:
    """What the list lacks, or has too much, in words."""
    listed = {entry.script for entry in ENTRIES}
    known = set(scripts())
    found = [f"experiment {name} has no entry" for name in sorted(known - listed)]
    found += [f"there is no experiment {name}" for name in sorted(listed - known)]
    found += [f"theory check {n} has no figure" for n in sorted(set(statements()) - set(CHECKS))]
    found += [f"there is no theory check {n}" for n in sorted(set(CHECKS) - set(statements()))]
    stems = [entry.figure for entry in ENTRIES] + list(CHECKS.values())
    folder = root / "docs" / "figures"
    found += [f"no file {s}.png" for s in sorted(set(stems)) if not (folder / f"{s}.png").is_file()]
    stored = {path.stem for path in folder.glob("*.png")}
    own = {stem for stem in stored if stem.startswith("idea_")}
    found += [f"figure {s} is in no entry" for s in sorted(stored - own - set(stems))]
    return found
