r"""Hooks of MkDocs: formulas become MathML, and pages of the API their entries.

No page loads a script for its formulas: `pymdownx.arithmatex` wraps `$...$` in
`<span class="arithmatex">\(...\)</span>` and `$$...$$` in a `div` with `\[...\]`, and what is
between, escaped LaTeX, is converted here.
"""

import html
import re
from typing import Any

from latex2mathml.converter import convert

from docsite import api

_FORMULA = re.compile(
    r'<(span|div) class="arithmatex">\s*\\[(\[](.*?)\\[)\]]\s*</\1>', flags=re.DOTALL
)
_ROW_CODE = re.compile(r"(?<=[| (])`[^`\n]+`")
_API = re.compile(r"^<!-- api (\S+) (\d) -->$", flags=re.MULTILINE)


def formulas(page: str) -> str:
    """The HTML of a page with MathML in place of marked LaTeX."""
    return _FORMULA.sub(_mathml, page)


def _mathml(found: re.Match[str]) -> str:
    tag, latex = found[1], html.unescape(found[2]).strip()
    display = "block" if tag == "div" else "inline"
    return f'<{tag} class="formula">{convert(latex, display=display)}</{tag}>'


def plain_bars(markdown: str) -> str:
    r"""Tables with `|` for the `\|` in their code, which GitHub needs and Python-Markdown shows."""
    lines = markdown.split("\n")
    for at, line in enumerate(lines):
        if line.startswith("|"):
            lines[at] = _ROW_CODE.sub(lambda found: found[0].replace(r"\|", "|"), line)
    return "\n".join(lines)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs with every page: `<!-- api PACKAGE LEVEL -->` becomes its entries."""
    return _API.sub(lambda found: api.page(found[1], int(found[2])), plain_bars(markdown))


def on_page_content(content: str, **_: Any) -> str:
    """Called by MkDocs with the HTML of every page."""
    return formulas(content)
