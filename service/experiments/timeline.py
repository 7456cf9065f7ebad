"""How an experiment has gone: its intervals over time, by few marks however long it takes."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

MOST_MARKS: Final = 120
"""How many marks tell all of it."""

Mark = Mapping[str, Any]
"""When (`at`, ISO 8601), how many `outcomes` there were, and each comparison's interval then."""

_SPAN: Final = ("challenger", "difference", "lower", "upper")
_DIGITS: Final = 5


def mark_of(verdict: Mapping[str, Any], now_s: float) -> Mark:
    """What the document of a verdict says at a moment."""
    return {
        "at": datetime.fromtimestamp(now_s, UTC).isoformat(timespec="seconds"),
        "outcomes": sum(variant["count"] for variant in verdict["variants"]),
        "comparisons": [
            {name: _rounded(comparison[name]) for name in _SPAN} for comparison in verdict["comparisons"]
        ],
    }


def with_mark(marks: Sequence[Mark], mark: Mark, most: int = MOST_MARKS) -> list[Mark]:
    """The marks and a newer one: the first and the newest always, those between about as far apart."""
    if marks and marks[-1]["outcomes"] == mark["outcomes"]:
        return list(marks)
    kept = [*marks, mark]
    if len(kept) > 2 and _seconds(kept[-3], kept[-2]) < 2 * _seconds(kept[0], mark) / most:
        del kept[-2]
    return kept if len(kept) <= most else [*kept[:-1:2], mark]


def _seconds(one: Mark, two: Mark) -> float:
    began, ended = (datetime.fromisoformat(each["at"]) for each in (one, two))
    return (ended - began).total_seconds()


def _rounded(value: Any) -> Any:
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
