"""Lists or runs the theory checks: `python -m theory_checks [list|NAME|all] [--json FILE] ...`.

After NAME, every field of the check's Config is an option. The exit code is 0 if every verdict
is `holds`, 1 if not, 2 for a bad command line.
"""

import ast
import importlib
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from nsjax import runs
from theory_checks.verdict import Verdict, print_verdict, to_json

FOLDER = Path(__file__).resolve().parent


def statements() -> dict[str, str]:
    """First docstring line of each module that defines `check`, by the module's name."""
    found = {}
    for path in sorted(FOLDER.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "check" for node in tree.body):
            found[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def run(name: str, words: Sequence[str] = ()) -> Verdict:
    """Runs one check with its default Config, changed by the words of a command line."""
    module = importlib.import_module(f"theory_checks.{name}")
    config = module.Config()
    if words:
        import tyro

        config = tyro.cli(module.Config, args=list(words), prog=f"python -m theory_checks {name}")
    return module.check(config)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    target = None
    if "--json" in words:
        place = words.index("--json")
        if place + 1 == len(words):
            print("error: --json wants a file name", file=sys.stderr)
            return 2
        target = words[place + 1]
        del words[place : place + 2]
    known = statements()
    if words[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    if not words or words[0] == "list":
        runs.print_table("Theory checks", ["name", "statement"], known.items())
        return 0
    name = words[0].removesuffix(".py")
    if name != "all" and name not in known:
        choices = ", ".join(["all", *known])
        print(f"error: no theory check {name!r}; there is: {choices}", file=sys.stderr)
        return 2
    if name == "all" and len(words) > 1:
        print(f"error: `all` takes no settings, got {' '.join(words[1:])}", file=sys.stderr)
        return 2

    import jax  # here, so that the list need not wait for it

    runs.setup()
    verdicts, broken = {}, []
    for each in known if name == "all" else [name]:
        try:
            verdicts[each] = run(each, words[1:])
        except Exception:  # the other checks are still worth running
            if name != "all":
                raise
            traceback.print_exc()
            broken.append(each)
        else:
            print_verdict(verdicts[each])
        # Programs of one check are of no use to the next, and a process may have 65,000 maps of
        # memory: all checks together would end with LLVM out of memory.
        jax.clear_caches()
    if name == "all":
        rows: list[tuple[str, str]] = [(key, value.verdict) for key, value in verdicts.items()]
        rows += [(key, "stopped by an error") for key in broken]
        runs.print_table("Theory checks", ["name", "verdict"], rows)
    if target is not None:
        runs.write_json(target, {key: to_json(value) for key, value in verdicts.items()})
    return int(bool(broken) or any(v.verdict != "holds" for v in verdicts.values()))


if __name__ == "__main__":
    sys.exit(main())
