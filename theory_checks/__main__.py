"""Lists or runs the theory checks: `python -m theory_checks [list | NAME ... | all]`."""

import ast
import importlib
import shlex
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nsjax import runs
from nsjax.runs import command
from theory_checks.verdict import Verdict, draw, print_verdict, to_json

FOLDER = Path(__file__).resolve().parent
PROG = "python -m theory_checks"


def statements() -> dict[str, str]:
    """First docstring line of each module that defines `check`, by the module's name."""
    found = {}
    for path in sorted(FOLDER.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "check" for node in tree.body):
            found[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def run(name: str, words: Sequence[str], root: Path) -> tuple[Verdict, Path]:
    """Runs one check with its default Config, changed by the words of a command line.

    Returns:
        The verdict, and the run folder that holds it and its tables.
    """
    module = importlib.import_module(f"theory_checks.{name}")
    config = module.Config()
    if words:
        import tyro

        config = tyro.cli(
            module.Config, args=list(words), prog=f"{PROG} {name}", description=module.__doc__
        )
    opened = runs.open_run(
        root,
        "theory_checks",
        config,
        seed=_seed(config),
        command=shlex.join(["python", "-m", "theory_checks", name, *words]),
        label=name,
    )
    with opened as folder:
        verdict = module.check(config)
        print_verdict(verdict)
        folder.save_results({}, asdict(verdict))  # first: a figure that fails loses nothing
        folder.save_figure(draw(verdict), "claims")
    return verdict, folder.path


def _seed(config: Any) -> int:
    """The first seed; checks that count their seeds begin with 0."""
    seeds = getattr(config, "seeds", 0)
    first = seeds[0] if isinstance(seeds, tuple) and seeds else 0
    return int(getattr(config, "seed", first))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    # They stand beside a name and its settings, anywhere on the command line.
    options = command.options(PROG, "verdicts")
    parser = command.parser(
        PROG,
        "Lists the theory checks, or runs one or all of them.",
        "a check, `all` of them, or `list` for a table of them",
        parents=[options],
    )
    said, words = options.parse_known_args(arguments)
    given = parser.parse_args(words)
    name, known = given.name.removesuffix(".py"), statements()
    if name not in ("all", "list", *known):
        parser.error(command.unknown("theory check", name, ["all", *known]))
    if name in ("all", "list") and given.words:
        parser.error(f"`{name}` takes no settings, got {' '.join(given.words)}")
    if name == "list":
        command.print_list("Theory checks", "statement", known)
        return 0

    import jax  # here, so that the list need not wait for it

    runs.setup()
    verdicts: dict[str, Verdict] = {}
    rows: list[tuple[str, ...]] = []
    for each in known if name == "all" else [name]:
        begun = time.perf_counter()
        try:
            verdicts[each], folder = run(each, given.words, said.root)
        except (runs.RunError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            rows.append((each, f"not run: {error}", "", "", "", ""))
        except Exception:  # the other checks are still worth running
            if name != "all":
                raise
            traceback.print_exc()
            rows.append((each, "stopped by an error", "", "", "", ""))
        else:
            rows.append((each, *_summary(verdicts[each], time.perf_counter() - begun, folder)))
        # Programs of one check are of no use to the next, and a process may have 65,000 maps of
        # memory: all checks together would end with LLVM out of memory.
        jax.clear_caches()
    columns = ["name", "verdict", "claims that hold", "controls violated", "wall time", "run"]
    if name == "all" or verdicts:
        runs.print_table("Theory checks", columns, rows)
    if said.json is not None:
        runs.write_json(said.json, {key: to_json(value) for key, value in verdicts.items()})
    return int(len(verdicts) < len(rows) or any(v.verdict != "holds" for v in verdicts.values()))


def _summary(verdict: Verdict, seconds: float, folder: Path) -> tuple[str, ...]:
    hold = sum(row.verdict == "holds" for row in verdict.rows)
    violated = sum(row.verdict == "violated" for row in verdict.control)
    return (
        verdict.verdict,
        f"{hold} of {len(verdict.rows)}",
        f"{violated} of {len(verdict.control)}",
        f"{seconds:.1f} s",
        str(folder),
    )


if __name__ == "__main__":
    sys.exit(main())
