"""`report.html`: one file to look at, with everything that a run has to show."""

import base64
import struct
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from nsjax.runs import summary
from nsjax.runs.reading import read_manifest
from nsjax.runs.storage import write_atomic
from nsjax.runs.terminal import format_cell

WORDS = ("holds", "violated", "inconclusive")
"""Verdicts, which have colours of their own."""
MOST_VALUES = 400
"""Values of the results that are listed; all of them are in `results.json`."""
MOST_LETTERS = 300
"""Letters of one value."""
MOST_TEXT = 20_000
"""Letters of one text, and of the end of the log."""

# No script, and nothing is loaded: a report is safe to open wherever it comes from.
_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>$title</title>
<style>
$style</style>
</head>
<body>
<a class="skip" href="#main">Skip to the results</a>
<header>
<h1>$heading</h1>
<p class="soft">$folder</p>
$facts
</header>
<nav aria-label="Parts of this report">
<ul>
$links
</ul>
</nav>
<main id="main">
$parts
</main>
</body>
</html>
""")


def write_report(folder: Path) -> Path:
    """Writes `report.html` into a run folder, from what else is there.

    The file needs no other: figures are within, and nothing is fetched. It holds the verdict of a
    theory check, tables, figures, the commands that compute the run again and go on with it,
    settings, seed, versions, machine, commit, times, values of the results, texts and the log.

    Returns:
        The path of the file.

    Raises:
        RunError: if the folder is no run folder, or what is there is damaged.
        OSError: if the file cannot be written.
    """
    path = Path(folder) / "report.html"
    page = render(Path(folder))
    write_atomic(path, lambda file: file.write(page.encode()))
    return path


def render(folder: Path) -> str:
    """The report of a run folder as HTML; see `write_report`."""
    manifest = read_manifest(folder)
    values = summary.read_values(folder)
    parts = {
        "Verdict": _verdict(values),
        "Tables": "\n".join(_table(*table) for table in summary.read_tables(folder)),
        "Figures": "\n".join(
            _figure(path, manifest["experiment"]) for path in summary.figures(folder)
        ),
        "Command": _commands(folder, manifest),
        "Settings": _pairs("Settings", _settings(manifest)),
        "Provenance": _provenance(manifest),
        "Values": _values(values),
        "Texts": "\n".join(_text(path) for path in sorted(folder.glob("texts/[!.]*"))),
        "Log": _log(folder / "log.txt"),
    }
    parts = {name: part for name, part in parts.items() if part}
    state = summary.state(folder, manifest)
    cells = len(list(folder.glob("cells/[!.]*.json")))  # their sums are not taken again
    facts = {
        "State": _word(state),
        "Begun": escape(summary.moment(manifest["created"])),
        "Wall time": escape(summary.wall_time(manifest)),
        **({"Cells": str(cells)} if cells else {}),
        "Seed": escape(str(manifest["seed"])),
    }
    error = manifest.get("error")
    return _PAGE.substitute(
        title=escape(f"{manifest['experiment']}, {folder.name}: {state}"),
        style=resources.files(__package__).joinpath("report.css").read_text(encoding="utf-8"),
        heading=escape(f"{manifest['experiment']}, {manifest['label']}"),
        folder=escape(folder.name),
        facts=_list((f"{name}: <b>{fact}</b>" for name, fact in facts.items()), "facts")
        + (f'\n<p class="error failed"><span>{escape(error)}</span></p>' if error else ""),
        links="\n".join(f'<li><a href="#{name.lower()}">{name}</a></li>' for name in parts),
        parts="\n".join(
            f'<section aria-labelledby="{name.lower()}">\n'
            f'<h2 id="{name.lower()}">{name}</h2>\n{part}\n</section>'
            for name, part in parts.items()
        ),
    )


def _verdict(values: Mapping[str, Any]) -> str:
    """The verdict of a theory check, as its results hold it."""
    word = values.get("verdict")
    if word not in WORDS:
        return ""
    hypotheses = values.get("hypotheses") or []
    return (
        f'<div class="verdict {word}">\n<p>{escape(str(values.get("statement", "")))}</p>\n'
        + (_list(f"Hypothesis: {escape(str(each))}" for each in hypotheses) if hypotheses else "")
        + f'\n<p class="word">Verdict: {word}</p>\n</div>'
    )


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as the terminal shows it, numbers to the right."""
    rows = [[format_cell(cell) for cell in row] for row in rows]
    right = [
        any(row[place] != "-" for row in rows) and all(_numeric(row[place]) for row in rows)
        for place in range(len(columns))
    ]

    def cell(tag: str, text: str, place: int) -> str:
        kind = ' class="number"' if right[place] else ' class="short"' if len(text) < 16 else ""
        inner = _word(text) if text in WORDS else escape(text)
        return f"<{tag}{kind}>{inner}</{tag.partition(' ')[0]}>"

    head = "".join(cell('th scope="col"', text, i) for i, text in enumerate(columns))
    body = "\n".join(
        "<tr>" + "".join(cell("td", text, i) for i, text in enumerate(row)) + "</tr>"
        for row in rows
    )
    caption = f"<caption>{escape(title)}</caption>\n" if title else ""
    return _scroll(
        title or "Table",
        f"<table>\n{caption}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>",
    )


def _numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text in ("-", "")
    return True


def _pairs(title: str, facts: Mapping[str, Any]) -> str:
    """A table of names and values."""
    if not facts:
        return ""
    body = "\n".join(
        f'<tr><th scope="row">{escape(str(name))}</th><td>{escape(_short(value))}</td></tr>'
        for name, value in facts.items()
    )
    return _scroll(title, f'<table class="pairs">\n<tbody>\n{body}\n</tbody>\n</table>')


def _scroll(label: str, inner: str) -> str:
    # Wider than a small window: the keyboard can scroll it only if it takes the focus.
    return (
        f'<div class="scroll" role="region" aria-label="{escape(label)}" tabindex="0">\n'
        f"{inner}\n</div>"
    )


def _figure(path: Path, experiment: str) -> str:
    content = path.read_bytes()
    name = escape(path.stem)
    if not content.startswith(b"\x89PNG\r\n\x1a\n") or len(content) < 24:
        return f"<p>{escape(path.name)} is no PNG file.</p>"
    width, height = struct.unpack(">II", content[16:24])
    files = [each for each in (path, path.with_suffix(".pdf")) if each.exists()]
    where = ", ".join(f"<code>figures/{escape(each.name)}</code>" for each in files)
    return (
        f'<figure>\n<img alt="{name}: figure of {escape(experiment)}" width="{width}" '
        f'height="{height}" src="data:image/png;base64,{base64.b64encode(content).decode()}">\n'
        f"<figcaption>{name} ({where})</figcaption>\n</figure>"
    )


def _commands(folder: Path, manifest: Mapping[str, Any]) -> str:
    lines = {"Compute it again": summary.command(manifest)}
    resumption = summary.resumption(folder, manifest)
    if resumption is not None:
        lines["Go on with it, or draw it again from its finished cells"] = resumption
    return "\n".join(
        f"<h3>{escape(name)}</h3>\n<pre><code>{escape(line)}</code></pre>"
        for name, line in lines.items()
    )


def _settings(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {**summary.flatten(manifest["config"]), "(seed of the run)": manifest["seed"]}


def _provenance(manifest: Mapping[str, Any]) -> str:
    """Versions, machine, commit, data and every sitting."""
    names = ("machine", "device", "default_dtype", "x64", "git", "processes", "data", "config_hash")
    facts = {name: manifest[name] for name in names if name in manifest}
    sittings = [
        (
            summary.moment(each["started"]),
            summary.moment(each["ended"]),
            each["status"],
            each["error"],
        )
        for each in manifest["history"]
    ]
    return "\n".join(
        (
            _pairs("Machine, precision, commit and data", summary.flatten(facts)),
            _details("Versions", _pairs("Versions", manifest["versions"])),
            _table("Sittings", ("started", "ended", "status", "error"), sittings),
        )
    )


def _values(values: Mapping[str, Any]) -> str:
    flat = summary.flatten(values)
    if not flat:
        return ""
    first = dict(list(flat.items())[:MOST_VALUES])
    title = (
        f"{len(flat)} values"
        if len(first) == len(flat)
        else (f"The first {len(first)} of {len(flat)} values; all are in results.json")
    )
    return _details(title, _pairs("Values of the results", first))


def _text(path: Path) -> str:
    text = path.read_text(encoding="utf-8", errors="replace")
    cut = "" if len(text) <= MOST_TEXT else f"\n... {len(text) - MOST_TEXT} letters more"
    return _details(path.name, _pre(text[:MOST_TEXT] + cut))


def _log(path: Path) -> str:
    if not path.exists():
        return ""
    lines = path.read_text(encoding="utf-8", errors="replace")[-MOST_TEXT:].splitlines()
    return _details(f"The last {len(lines)} lines", _pre("\n".join(lines)))


def _pre(text: str) -> str:
    return f'<pre tabindex="0">{escape(text)}</pre>'


def _details(title: str, inner: str) -> str:
    return f"<details>\n<summary>{escape(title)}</summary>\n{inner}\n</details>"


def _list(items: Iterable[str], kind: str = "") -> str:
    head = f'<ul class="{kind}">' if kind else "<ul>"
    return "\n".join((head, *(f"<li>{item}</li>" for item in items), "</ul>"))


def _word(text: str) -> str:
    return f'<span class="word {escape(text)}">{escape(text)}</span>'


def _short(value: Any) -> str:
    text = format_cell(value)
    if len(text) <= MOST_LETTERS:
        return text
    many = f" ({len(value)} in all)" if isinstance(value, list) else ""
    return f"{text[:MOST_LETTERS]} ...{many}"
