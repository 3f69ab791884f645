"""Imports go one way, and no code runs from strings or pickles: read off the sources."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ORDER = (
    "data",
    "networks",
    "objectives",
    "kkt",
    "diagnostics",
    "dynamics",
    "pursuit",
    "neuronseek",
    "plots",
)
OUTSIDE = ("experiments", "theory_checks", "benchmarks", "tests")
FORBIDDEN_MODULES = ("pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib")
FORBIDDEN_CALLS = ("eval", "exec")


def imported(tree, package):
    """Dotted names that a module imports, wherever in it; `package` is the one it lies in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                parents = parents[: len(parents) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            target = node.args[0]
            if name in ("import_module", "__import__") and isinstance(target, ast.Constant):
                yield str(target.value)


def import_faults(path, source):
    """What is wrong with the imports of one file of nsjax, in words."""
    parts = path.with_suffix("").parts
    assert parts[0] == "nsjax"
    package = ".".join(path.parent.parts)
    place = parts[1]
    for name in imported(ast.parse(source), package):
        top, *rest = name.split(".")
        if top in OUTSIDE:
            yield f"{path} imports {name}: the library knows nothing of {top}/"
        if top != "nsjax" or place == "__init__":
            continue
        target = rest[0] if rest else ""
        if target == place:
            continue
        if place == "runs" or target == "runs":
            yield f"{path} imports {name}: runs/ stands apart"
        elif target.startswith("_") and not target.startswith("__"):
            continue  # shared private modules stand left of all
        elif place.startswith("_"):
            yield f"{path} imports {name}: a shared private module knows none of the folders"
        elif target not in ORDER:
            yield f"{path} imports {name}: import it from the folder that defines it"
        elif place not in ORDER:
            yield f"{path} has no place in the order {' > '.join(ORDER)}"
        elif ORDER.index(target) > ORDER.index(place):
            yield f"{path} imports {name}: {target} stands right of {place}"


def danger_faults(path, source):
    """Uses of eval, exec and pickle in one file, in words."""
    tree = ast.parse(source)
    for name in imported(tree, "x"):
        if name.split(".")[0] in FORBIDDEN_MODULES:
            yield f"{path} imports {name}"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        keywords = {k.arg: k.value for k in node.keywords}
        pickled = keywords.get("allow_pickle")
        refused = isinstance(pickled, ast.Constant) and pickled.value is False
        if isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
            yield f"{path}:{node.lineno} calls {node.func.id}"
        if pickled is not None and not refused:
            yield f"{path}:{node.lineno} allows pickles"
        if ast.unparse(node.func) in ("np.load", "numpy.load", "jnp.load") and not refused:
            yield f"{path}:{node.lineno} calls load without allow_pickle=False"


def sources(*folders):
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT), path.read_text(encoding="utf-8")


def test_imports_go_one_way():
    faults = [fault for path, text in sources("nsjax") for fault in import_faults(path, text)]
    assert faults == []


def test_no_code_from_strings_or_pickles():
    files = list(sources("nsjax", "experiments", "theory_checks", "benchmarks"))
    assert len(files) > 10
    assert [fault for path, text in files for fault in danger_faults(path, text)] == []


def test_scripts_hold_the_only_uses_of_runs():
    users = {path.parts[0] for path, text in sources("nsjax") if "nsjax.runs" in text}
    assert users <= {"nsjax"}
    inside = {path.parts[1] for path, text in sources("nsjax") if "from nsjax.runs" in text}
    assert inside == {"runs"}


@pytest.mark.parametrize(
    ("path", "line", "said"),
    [
        ("nsjax/kkt/search.py", "from nsjax.dynamics import flow", "dynamics stands right of kkt"),
        ("nsjax/kkt/search.py", "from nsjax import dynamics", "dynamics stands right of kkt"),
        ("nsjax/kkt/search.py", "import nsjax.plots as p", "plots stands right of kkt"),
        ("nsjax/kkt/search.py", "from ..dynamics.flow import x", "dynamics stands right of kkt"),
        ("nsjax/kkt/search.py", "from .. import pursuit", "pursuit stands right of kkt"),
        ("nsjax/kkt/search.py", "def f():\n    from nsjax import plots", "plots stands right"),
        ("nsjax/objectives.py", "from nsjax import kkt", "kkt stands right of objectives"),
        ("nsjax/objectives.py", "from .kkt import x", "kkt stands right of objectives"),
        ("nsjax/objectives.py", "import_module('nsjax.kkt')", "kkt stands right of objectives"),
        ("nsjax/data/a.py", "from nsjax import PolyLeakyReLU", "folder that defines it"),
        ("nsjax/data/a.py", "import nsjax", "folder that defines it"),
        ("nsjax/data/a.py", "from nsjax import __version__", "folder that defines it"),
        ("nsjax/other/a.py", "from nsjax import data", "has no place in the order"),
        ("nsjax/_check.py", "from nsjax import data", "knows none of the folders"),
        ("nsjax/plots/a.py", "from nsjax.runs import Run", "runs/ stands apart"),
        ("nsjax/runs/a.py", "from nsjax.networks import init", "runs/ stands apart"),
        ("nsjax/runs/a.py", "from nsjax import _check", "runs/ stands apart"),
        ("nsjax/runs/a.py", "from .. import __version__", "runs/ stands apart"),
        ("nsjax/plots/a.py", "import theory_checks.verdict", "knows nothing of theory_checks"),
        ("nsjax/__init__.py", "from experiments import x", "knows nothing of experiments"),
    ],
)
def test_a_planted_import_is_caught(path, line, said):
    (fault,) = import_faults(Path(path), line)
    assert said in fault


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("nsjax/dynamics/flow.py", "from nsjax.kkt import search\nfrom nsjax import objectives"),
        ("nsjax/dynamics/flow.py", "from nsjax.dynamics.events import x\nfrom .events import y"),
        ("nsjax/dynamics/flow.py", "from nsjax import _check\nfrom nsjax._check import z"),
        ("nsjax/_flat.py", "from nsjax._check import z"),
        ("nsjax/runs/a.py", "from nsjax.runs.cells import Cell\nimport jax"),
        ("nsjax/__init__.py", "from nsjax import plots, runs\nfrom nsjax.networks import a"),
    ],
)
def test_good_imports_pass(path, line):
    assert list(import_faults(Path(path), line)) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("import pickle", "imports pickle"),
        ("from joblib import load", "imports joblib.load"),
        ("x = eval('1')", "calls eval"),
        ("exec('1')", "calls exec"),
        ("read(f, allow_pickle=True)", "allows pickles"),
        ("read(f, allow_pickle=flag)", "allows pickles"),
        ("np.load(f)", "without allow_pickle=False"),
    ],
)
def test_planted_danger_is_caught(line, said):
    (fault,) = danger_faults(Path("nsjax/a.py"), line)
    assert said in fault


def test_harmless_lines_pass():
    source = "np.load(f, allow_pickle=False)\nmodel.eval()\njson.load(f)"
    assert list(danger_faults(Path("nsjax/a.py"), source)) == []


HEAVY = (
    "jax",
    "optax",
    "diffrax",
    "equinox",
    "optimistix",
    "lineax",
    "flax",
    "chex",
    "matfree",
    "numpy",
    "scipy",
    "matplotlib",
    "rich",
    "tyro",
    "tqdm",
    "sklearn",
    "orbax",
    "sympy",
    "mpmath",
)
"""What `import nsjax` must not load: every dependency, and what the extras bring."""
SELDOM = ("scipy", "flax", "matplotlib", "rich", "tyro", "tqdm", "sklearn", "orbax", "sympy")
"""What no subpackage but the plots loads before it is needed."""


def test_importing_the_library_is_light_and_changes_no_setting():
    code = f"""
import sys
import nsjax
early = [name for name in {HEAVY} if name in sys.modules]
assert not early, f"import nsjax loads {{early}}"
assert set(nsjax.__all__) == set(dir(nsjax))
import jax
before = dict(jax.config.values)
from nsjax import data, diagnostics, dynamics, kkt, networks, neuronseek, objectives, pursuit, runs
assert dict(jax.config.values) == before, "a setting of JAX was changed"
early = [name for name in {SELDOM} if name in sys.modules]
assert not early, f"the subpackages load {{early}}"
from jax._src import xla_bridge
assert not xla_bridge.backends_are_initialized(), "an import computes"
assert neuronseek.TaskDense is neuronseek.layers.TaskDense and "flax" in sys.modules
assert nsjax.PolyLeakyReLU is networks.PolyLeakyReLU
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def test_lazy_names_are_those_that_are_typed():
    """Names under TYPE_CHECKING are in `__all__`, and can be had."""
    for package in ("nsjax", "nsjax.neuronseek"):
        module = importlib.import_module(package)
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        (block,) = (
            node
            for node in tree.body
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        )
        typed = {alias.name for node in block.body for alias in node.names}
        assert typed <= set(module.__all__)
        assert all(getattr(module, name) is not None for name in typed)
        with pytest.raises(AttributeError, match="no attribute 'misspelt'"):
            module.misspelt  # noqa: B018
