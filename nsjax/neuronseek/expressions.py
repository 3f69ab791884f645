"""What an expression looks like when its numbers and the way it is written are left out."""

from __future__ import annotations

import ast
import re
from typing import Any

_NUMBER = re.compile(r"(?<![A-Za-z_\d.])-?\d+(?:\.\d*)?(?:e[+-]?\d+)?")
_CALLS: dict[str, type[ast.operator]] = {
    "add": ast.Add,
    "sub": ast.Sub,
    "mul": ast.Mult,
    "div": ast.Div,
}
_SUM, _PRODUCT = " + ", " "
_Form = tuple[str, tuple[Any, ...]]
_CONSTANT: _Form = ("#", ())


def structure(text: str) -> str:
    """An expression with its numbers left out, and terms and factors in alphabetical order.

    Numbers are signs, factors, divisors and what is added up from them: `2 x - 3 (x + y)` is
    `x + y`. Exponents that are whole numbers stay; any other number that stands alone is `#`.

    Args:
        text: with `+ - * / ^`, brackets and calls, or `add`, `sub`, `mul` and `div` in their place.
            It is parsed, never executed. One too deep to be parsed keeps the way it is written.

    >>> structure("((0.3 * X2) + (1.5 - (2 * (X1 + (X2 ^ 2)))))"), structure("add(X1, mul(X0, 2))")
    ('# + X1 + X2 + X2^2', 'X0 + X1')
    """
    try:
        return _text(_form(ast.parse(text.replace("^", "**"), mode="eval").body))
    except (SyntaxError, RecursionError, MemoryError):
        return _NUMBER.sub("#", text)


def _form(node: ast.expr) -> _Form:
    match node:
        case ast.Constant():
            return _CONSTANT
        case ast.Name(id=name):
            return name, ()
        case ast.UnaryOp(operand=operand):
            return _form(operand)
        case ast.BinOp(left=left, op=op, right=right):
            return _joined(op, left, right)
        case ast.Call(func=ast.Name(id=name), args=[left, right]) if name in _CALLS:
            return _joined(_CALLS[name](), left, right)
        case ast.Call(func=ast.Name(id=name), args=operands):
            found = tuple(map(_form, operands))
            return _CONSTANT if all(each == _CONSTANT for each in found) else (name, found)
    raise SyntaxError(f"expected an expression, got {ast.dump(node)}")


def _joined(op: ast.operator, left: ast.expr, right: ast.expr) -> _Form:
    pair = _form(left), _form(right)
    if pair == (_CONSTANT, _CONSTANT):
        return _CONSTANT
    match op:
        case ast.Add() | ast.Sub():
            terms = tuple(sorted({part for each in pair for part in _parts(_SUM, each)}))
            return terms[0] if len(terms) == 1 else (_SUM, terms)
        case ast.Mult():
            factors = [part for each in pair for part in _parts(_PRODUCT, each)]
            kept = tuple(sorted(factor for factor in factors if factor != _CONSTANT))
            return kept[0] if len(kept) == 1 else (_PRODUCT, kept)
        case ast.Div():
            return pair[0] if pair[1] == _CONSTANT else ("/", pair)
        case ast.Pow():
            sign, power = "", right
            if isinstance(right, ast.UnaryOp) and isinstance(right.op, ast.USub):
                sign, power = "-", right.operand
            if isinstance(power, ast.Constant) and isinstance(power.value, int):
                return f"^{sign}{power.value}", pair[:1]
            return "^", pair
    raise SyntaxError(f"expected + - * / or ^, got {type(op).__name__}")


def _parts(kind: str, form: _Form) -> tuple[_Form, ...]:
    return form[1] if form[0] == kind else (form,)


def _text(form: _Form, within: str = "") -> str:
    kind, parts = form
    if not parts:
        return kind
    texts = [_text(part, kind) for part in parts]
    if kind in (_SUM, _PRODUCT, "/", "^") or kind.startswith("^"):
        found = texts[0] + kind if kind[:1] == "^" and len(texts) == 1 else kind.join(texts)
        return f"({found})" if within in (_PRODUCT, "/") or within[:1] == "^" else found
    return f"{kind}({', '.join(texts)})"
