"""What a theory check finds: rows of measured against predicted, a control, and one word."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Literal

from nsjax.runs import print_table
from nsjax.runs import to_json as plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Word = Literal["holds", "violated", "inconclusive"]
_WORDS = ("holds", "violated", "inconclusive")


@dataclass(frozen=True)
class Row:
    """One claim put to the test.

    Attributes:
        claim: what is said to be so.
        hypothesis: what was checked before, in words, with its numbers.
        measured: the number found, or words.
        predicted: the number or bound that the statement gives, or words.
        tolerance: how far the two may lie apart; None where that has no meaning.
        verdict: `holds`, `violated` or `inconclusive`.
        used: the share of what the statement allows that was used, above 1 where it is violated;
            None where that has no meaning.
    """

    claim: str
    hypothesis: str
    measured: float | str
    predicted: float | str
    tolerance: float | None
    verdict: Word
    used: float | None = None

    def __post_init__(self) -> None:
        if self.verdict not in _WORDS:
            raise ValueError(f"verdict: wanted one of {', '.join(_WORDS)}, got {self.verdict!r}")

    @classmethod
    def equal(
        cls,
        claim: str,
        hypothesis: str,
        measured: Any,
        predicted: Any,
        tolerance: float,
        *,
        relative: bool = False,
        met: bool = True,
    ) -> "Row":
        """A row that holds if measured and predicted differ by at most the tolerance.

        Args:
            claim: what is said to be so.
            hypothesis: what was checked before.
            measured: number found.
            predicted: number that the statement gives.
            tolerance: largest difference allowed, non-negative.
            relative: take the tolerance as a share of `|predicted|`.
            met: whether the hypothesis was met; if not, or if a number is not finite, the row is
                inconclusive.

        >>> Row.equal("slope", "q = 3", -1.002, -1.0, 0.01).verdict
        'holds'
        """
        found, wanted = float(measured), float(predicted)
        allowed = tolerance * abs(wanted) if relative else tolerance
        decided = met and math.isfinite(found) and math.isfinite(wanted)
        off = abs(found - wanted)
        verdict = _word(decided, off <= allowed)
        used = _used(off, allowed) if decided else None
        return cls(claim, hypothesis, found, wanted, float(tolerance), verdict, used)

    @classmethod
    def at_most(
        cls, claim: str, hypothesis: str, measured: Any, bound: Any, *, met: bool = True
    ) -> "Row":
        """A row that holds if the number found is at most the bound; see `equal` for `met`."""
        found, limit = float(measured), float(bound)
        decided = met and not (math.isnan(found) or math.isnan(limit))
        used = _used(found, limit) if decided else None
        word = _word(decided, found <= limit)
        return cls(claim, hypothesis, found, f"<= {limit:.4g}", None, word, used)

    @classmethod
    def at_least(
        cls, claim: str, hypothesis: str, measured: Any, bound: Any, *, met: bool = True
    ) -> "Row":
        """A row that holds if the number found is at least the bound; see `equal` for `met`."""
        found, limit = float(measured), float(bound)
        decided = met and not (math.isnan(found) or math.isnan(limit))
        used = _used(-found, -limit) if decided else None
        word = _word(decided, found >= limit)
        return cls(claim, hypothesis, found, f">= {limit:.4g}", None, word, used)


def _word(decided: bool, true: bool) -> Word:
    if not decided:
        return "inconclusive"
    return "holds" if true else "violated"


def _used(value: float, limit: float) -> float:
    """The share of an upper limit that is used: at most 1 if and only if `value <= limit`."""
    if math.isinf(limit):  # a share of it has no meaning
        return 0.0 if value <= limit else math.inf
    if limit > 0:
        return max(value, 0.0) / limit
    if value < 0:  # both negative: the further from zero, the more is left
        return limit / value
    return 0.0 if value <= limit else math.inf


@dataclass(frozen=True)
class Verdict:
    """The outcome of a theory check.

    Attributes:
        statement: the statement checked.
        hypotheses: what it assumes, and how each was checked.
        rows: the claims.
        control: claims that must come out violated, because a hypothesis is broken on purpose.
        verdict: `holds`, `violated` or `inconclusive`; `Verdict.of` works it out.
    """

    statement: str
    hypotheses: tuple[str, ...]
    rows: tuple[Row, ...]
    control: tuple[Row, ...]
    verdict: Word

    @classmethod
    def of(
        cls,
        statement: str,
        hypotheses: Iterable[str],
        rows: Iterable[Row],
        control: Iterable[Row],
    ) -> "Verdict":
        """The verdict that follows from the rows.

        `violated` if any row is; `holds` if there are rows and all hold, and there are controls
        and all of them come out violated; otherwise `inconclusive`. A check whose control is not
        violated could not have failed, so it shows nothing.
        """
        rows, control = tuple(rows), tuple(control)
        word: Word = "inconclusive"
        if any(row.verdict == "violated" for row in rows):
            word = "violated"
        elif (
            rows
            and control
            and all(row.verdict == "holds" for row in rows)
            and all(row.verdict == "violated" for row in control)
        ):
            word = "holds"
        return cls(statement, tuple(hypotheses), rows, control, word)


def print_verdict(verdict: Verdict, *, file: IO[str] | None = None) -> None:
    """Prints a verdict as a table, to stdout by default."""
    print(verdict.statement, file=file)
    for hypothesis in verdict.hypotheses:
        print(f"  hypothesis: {hypothesis}", file=file)
    columns = ["claim", "hypothesis", "measured", "predicted", "tolerance", "verdict"]
    for title, rows in (("Claims", verdict.rows), ("Control, to be violated", verdict.control)):
        if rows:
            cells = [
                (r.claim, r.hypothesis, r.measured, r.predicted, r.tolerance, r.verdict)
                for r in rows
            ]
            print_table(title, columns, cells, file=file)
    print(f"verdict: {verdict.verdict}\n", file=file)


def draw(verdict: Verdict) -> "Figure":
    """Every row as the share of what the statement allows; rows of the same claim on one line.

    What a claim says of settings and seeds stands before its last `: `.
    """
    from nsjax import plots

    def shares(rows: tuple[Row, ...]) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        for row in rows:
            if row.used is not None:
                found.setdefault(row.claim.rpartition(": ")[2], []).append(row.used)
        return found

    return plots.plot_claims(shares(verdict.rows), shares(verdict.control))


def to_json(verdict: Verdict) -> dict[str, Any]:
    """A verdict as plain JSON data."""
    return plain(verdict, where="verdict")
