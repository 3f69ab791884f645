"""The public surface: every name is typed and documented."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator

import pytest

PACKAGES = (
    "data",
    "networks",
    "networks.cp",
    "networks.tucker",
    "objectives",
    "kkt",
    "diagnostics",
    "dynamics",
    "pursuit",
    "pursuit.baselines",
    "pursuit.diagonal",
    "neuronseek",
    "neuronseek.orbits",
    "neuronseek.recovery",
    "neuronseek.stability",
    "plots",
    "runs",
)
REFERENCE = re.compile(r"(see|as in|as for) `[\w.]+`")
"""A docstring that leaves its arguments to another one, such as that of a protocol."""


def public(package: str) -> Iterator[tuple[str, object]]:
    """Classes and functions of a package that are its own, by name."""
    module = importlib.import_module(f"nsjax.{package}")
    for name in getattr(module, "__all__", vars(module)):
        value = getattr(module, name)
        own = getattr(value, "__module__", "").startswith(f"nsjax.{package}")
        if (
            not name.startswith("_")
            and own
            and (inspect.isclass(value) or inspect.isroutine(value))
        ):
            yield name, value


def functions(package: str) -> Iterator[tuple[str, object, str]]:
    """Public functions and methods with the docstring of the class that they belong to."""
    for name, value in public(package):
        if not inspect.isclass(value):
            yield name, value, ""
            continue
        for inner, member in vars(value).items():
            member = getattr(member, "__func__", getattr(member, "fget", member))
            own = inspect.isfunction(member) and member.__qualname__ == f"{name}.{inner}"
            if own and (not inner.startswith("_") or inner == "__call__"):
                yield f"{name}.{inner}", inspect.unwrap(member), value.__doc__ or ""


def named(word: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None


@pytest.mark.parametrize("package", PACKAGES)
def test_every_argument_is_typed_and_named_in_the_docstring(package):
    faults = []
    for name, function, outer in functions(package):
        text = inspect.getdoc(function) or ""
        if not text:
            faults.append(f"{name} has no docstring")
        signature = inspect.signature(function)
        if signature.return_annotation is inspect.Signature.empty:
            faults.append(f"{name} does not say what it returns")
        for argument, parameter in signature.parameters.items():
            if argument in ("self", "cls"):
                continue
            if parameter.annotation is inspect.Parameter.empty:
                faults.append(f"{name}: {argument} has no type")
            if not named(argument, text + outer) and not REFERENCE.search(text):
                faults.append(f"{name}: {argument} is not in the docstring")
    assert faults == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_field_is_documented(package):
    """In the docstring of its class, or by a string below it."""
    faults = []
    for name, value in public(package):
        if not inspect.isclass(value):
            continue
        (node,) = ast.parse(inspect.getsource(value)).body
        for field, after in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign) and not field.target.id.startswith("_"):
                below = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                if not below and not named(field.target.id, value.__doc__ or ""):
                    faults.append(f"{name}.{field.target.id}")
    assert faults == []


@pytest.mark.parametrize("package", PACKAGES)
def test_what_checks_its_input_says_what_it_raises(package):
    faults = []
    for name, function, outer in functions(package):
        source = inspect.getsource(function)
        checks = re.search(r"(?<!\w)_check\.|raise (Value|Type)Error", source)
        if checks and not re.search(
            r"Raises:|refuses|Errors|errors", inspect.getdoc(function) + outer
        ):
            faults.append(name)
    assert faults == []


def test_a_missing_word_is_seen():
    """The rule can fail."""
    assert not named("x", "Outputs for inputs max_x, `(n, d)`.")
    assert named("x", "Outputs at x, a row per sample.")
