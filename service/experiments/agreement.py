"""On which rows variants answer differently: other classes, or how far apart numbers are."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from service.experiments.answers import as_number, headline
from service.experiments.proportions import share_interval

ALPHA = 0.05
MOST_EXAMPLES = 10
MOST_PAIRS = 10


def disagreement(answers: Mapping[str, Sequence[Any]], labels: Sequence[str] | None) -> list[dict[str, Any]]:
    """Each other variant against the first: how many rows differ, the share's interval, and a few of them.

    Of classes also who says what where they differ, the most frequent pair first; of numbers how far apart
    they are, on average and at most, and the examples are those that are furthest apart.
    """
    (control, own), *others = [(name, [headline(item) for item in items]) for name, items in answers.items()]
    return [{"control": control, "variant": name} | _differ(own, said, labels) for name, said in others]


def _differ(own: Sequence[str], said: Sequence[str], labels: Sequence[str] | None) -> dict[str, Any]:
    rows = [row for row, (one, two) in enumerate(zip(own, said, strict=True)) if one != two]
    apart = _distances(own, said)
    if apart is not None:
        rows.sort(key=lambda row: -apart[row])
    lower, upper = share_interval(len(rows), len(own), ALPHA)
    examples = [
        {"row": row + 1, "control": own[row], "challenger": said[row]}
        | ({} if labels is None else {"label": labels[row]})
        for row in rows[:MOST_EXAMPLES]
    ]
    return {
        "rows": len(rows),
        "share": len(rows) / len(own),
        "lower": lower,
        "upper": upper,
        "pairs": _pairs(own, said) if apart is None else [],
        "mean_distance": None if apart is None else sum(apart) / len(apart),
        "largest_distance": None if apart is None else max(apart),
        "examples": examples,
    }


def _pairs(own: Sequence[str], said: Sequence[str]) -> list[dict[str, Any]]:
    differing = Counter((one, two) for one, two in zip(own, said, strict=True) if one != two)
    return [
        {"control": one, "challenger": two, "rows": rows}
        for (one, two), rows in differing.most_common(MOST_PAIRS)
    ]


def _distances(own: Sequence[str], said: Sequence[str]) -> list[float] | None:
    """How far apart numbers are; None for classes, also those that are numbered."""
    numbers = [as_number(text) for text in (*own, *said)]
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers) or all(number.is_integer() for number in known):
        return None
    return [abs(one - two) for one, two in zip(known[: len(own)], known[len(own) :], strict=True)]
