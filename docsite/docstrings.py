"""Extension of griffe: examples in docstrings become blocks of code.

The docstrings of this house end in a bare doctest, without a section of its own; Markdown would
take `[1.0, -1.0]` in it for a link.
"""

import re
from typing import Any

import griffe

_DOCTEST = re.compile(r"^>>> .*(?:\n.+)*", flags=re.MULTILINE)


def fenced(text: str) -> str:
    """The docstring with every doctest as a fenced block."""
    return _DOCTEST.sub(lambda found: f"```pycon\n{found[0]}\n```", text)


class Doctests(griffe.Extension):
    """Fences the doctests of every object that griffe has read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called with every module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = fenced(obj.docstring.value)
