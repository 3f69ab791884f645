"""Hooks of MkDocs: formulas become MathML when the site is built, so that no page loads a script.

`pymdownx.arithmatex` wraps `$...$` in `<span class="arithmatex">\\(...\\)</span>` and `$$...$$` in a
`div` with `\\[...\\]`; what is between is escaped LaTeX.
"""

import html
import re
from typing import Any

from latex2mathml.converter import convert

_FORMULA = re.compile(
    r'<(span|div) class="arithmatex">\s*\\[(\[](.*?)\\[)\]]\s*</\1>', flags=re.DOTALL
)


def formulas(page: str) -> str:
    """The HTML of a page with MathML in place of marked LaTeX."""
    return _FORMULA.sub(_mathml, page)


def _mathml(found: re.Match[str]) -> str:
    tag, latex = found[1], html.unescape(found[2]).strip()
    display = "block" if tag == "div" else "inline"
    return f'<{tag} class="formula">{convert(latex, display=display)}</{tag}>'


def on_page_content(content: str, **_: Any) -> str:
    """Called by MkDocs with the HTML of every page."""
    return formulas(content)
