"""Pages of the API: what `__all__` of a package names, read without importing it."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def exported(package: str, root: Path = ROOT) -> dict[str, str]:
    """Full paths of the names in `__all__` of a package, by name, in its order.

    Where a function has the name of its module (`nsjax.kkt.search`) this is the function.
    """
    tree = ast.parse((root.joinpath(*package.split(".")) / "__init__.py").read_text("utf-8"))
    names: list[str] = []
    homes: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for each in node.names:
                homes[each.asname or each.name] = f"{node.module}.{each.name}"
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names = ast.literal_eval(node.value)
    if not names:
        raise ValueError(f"{package} has no __all__")
    return {name: homes.get(name, f"{package}.{name}") for name in names}


def summary(path: str, root: Path = ROOT) -> str:
    """First line of the docstring of a module, class, function or constant, "" without one."""
    parts = path.split(".")
    for at in range(len(parts), 0, -1):
        file = root.joinpath(*parts[:at])
        for source in (file.with_suffix(".py"), file / "__init__.py"):
            if source.is_file() and (found := _first_line(source, parts[at:])) is not None:
                return found
    return ""


def _first_line(source: Path, names: list[str]) -> str | None:
    """None if there is no such name in the file, or it comes from another one."""
    body: ast.Module | ast.ClassDef | ast.FunctionDef = ast.parse(source.read_text("utf-8"))
    for name in names:
        for node, following in zip(body.body, [*body.body[1:], None], strict=True):
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
                body = node
                break
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if [ast.unparse(each) for each in targets] == [name]:
                    value = getattr(following, "value", None)
                    text = value.value if isinstance(value, ast.Constant) else ""
                    return str(text).partition("\n")[0]
        else:
            return _of_import(source, name)
    return (ast.get_docstring(body) or "").partition("\n")[0]


def _of_import(source: Path, name: str) -> str | None:
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("nsjax"):
            for each in node.names:
                if (each.asname or each.name) == name and source.stem != "__init__":
                    return summary(f"{node.module}.{each.name}") or None
    return None


def page(package: str, level: int = 2) -> str:
    """Markdown of a package: a table of its names, then one directive of mkdocstrings for each."""
    names = dict(sorted(exported(package).items(), key=lambda pair: pair[0].lower()))
    rows = [f"| [`{name}`](#{path}) | {summary(path)} |" for name, path in names.items()]
    directives = [
        f"::: {path}\n    options:\n      heading_level: {level}\n" for path in names.values()
    ]
    return "\n".join(["| name | what |", "|---|---|", *rows, "", *directives])
