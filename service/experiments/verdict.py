"""What an experiment says: intervals per variant, each challenger against the control, and one sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil, sqrt
from typing import Any, Literal

from service.experiments import means
from service.experiments.intervals import (
    FEW_NUMBERS,
    Interval,
    difference_interval,
    mean_interval,
    paired_interval,
)
from service.experiments.sums import Sums
from service.experiments.words import about, as_duration, as_range, as_size

ALPHA = 0.05
"""Of experiments between equals, so many are ever told that one is better."""

_POINT = 0.01
_PART_OF_DEVIATION = 0.1
_MOST_GROWTH = 1e6

Decision = Literal["better", "worse", "same", "open"]


_FEW_TO_PLAN = 10
"""Below so many of a variant what is estimated of it is no ground to say how many more it takes."""

_FEW_MORE = 10
"""Below so many more their number says nothing that holds until it is read."""

_EQUAL = "All outcomes of {} are equal, and all of {}: what is chance cannot be told from them."


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of outcomes.

    Args:
        control: the variant that others are compared with.
        binary: outcomes are 0 or 1; else numbers.
        more_is_better: whether great outcomes are good ones.
        worth: the smallest difference that matters, None for a point or a tenth of a standard deviation.
        per_second: outcomes that come per second; None if nobody knows.
        noun: what outcomes are called.
    """

    control: str
    binary: bool
    more_is_better: bool = True
    worth: float | None = None
    per_second: float | None = None
    noun: str = "outcomes"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A challenger against the control.

    `difference` is how much more the challenger has; `lower`, `upper` hold it at any time, and are None while
    nothing can be said. `more` is how many outcomes are missing until something probably can.
    """

    challenger: str
    difference: float | None
    lower: float | None
    upper: float | None
    p_value: float
    decision: Decision
    more: int
    sentence: str


def judge(question: Question, outcomes: Mapping[str, Sequence[Sums]]) -> dict[str, Any]:
    """The document of an experiment whose requests go to one variant each.

    `outcomes` are each variant's by period of unchanged weights: as many periods of each. With several
    challengers each comparison has its part of `ALPHA`.
    """
    control = outcomes[question.control]
    challengers = [name for name in outcomes if name != question.control]
    worth = _worth(question, sum(control, Sums()))
    comparisons = []
    for name in challengers:
        interval = difference_interval(control, outcomes[name], question.binary, ALPHA / len(challengers))
        found = sum(control, Sums()).count, sum(outcomes[name], Sums()).count
        comparisons.append(_compare(question, name, interval, found, worth))
    totals = {name: sum(periods, Sums()) for name, periods in outcomes.items()}
    return _document(question, totals, comparisons, worth)


def judge_paired(
    question: Question, outcomes: Mapping[str, Sums], differences: Mapping[str, Sums]
) -> dict[str, Any]:
    """The document of variants that were all asked the same rows.

    `differences` has for each challenger the sums of challenger's minus control's outcome of each row.
    """
    worth = _worth(question, outcomes[question.control])
    comparisons = []
    for name, sums in differences.items():
        interval = paired_interval(sums, question.binary, ALPHA / len(differences))
        comparisons.append(_compare(question, name, interval, (sums.count,), worth))
    return _document(question, outcomes, comparisons, worth)


def _document(
    question: Question, totals: Mapping[str, Sums], comparisons: Sequence[Comparison], worth: float
) -> dict[str, Any]:
    return {
        "control": question.control,
        "binary": question.binary,
        "more_is_better": question.more_is_better,
        "alpha": ALPHA,
        "worth": worth,
        "variants": [_variant(name, sums, question.binary) for name, sums in totals.items()],
        "comparisons": [asdict(comparison) for comparison in comparisons],
    }


def _variant(name: str, sums: Sums, binary: bool) -> dict[str, Any]:
    interval = mean_interval(sums, binary, ALPHA)
    lower, upper = interval or (None, None)
    mean = sums.mean if sums.count else None
    return {"name": name, "count": sums.count, "mean": mean, "lower": lower, "upper": upper}


def _worth(question: Question, control: Sums) -> float:
    if question.worth is not None:
        return question.worth
    if question.binary:
        return _POINT
    return _PART_OF_DEVIATION * sqrt(control.deviations / max(1, control.count - 1))


def _compare(
    question: Question, name: str, interval: Interval | None, found: tuple[int, ...], worth: float
) -> Comparison:
    if interval is None:
        missing = max(FEW_NUMBERS - min(found), 1) * len(found)
        are_few = min(found) < FEW_NUMBERS
        sentence = _wait(question, missing) if are_few else _EQUAL.format(question.control, name)
        return Comparison(name, None, None, None, 1.0, "open", missing, sentence)
    decision = _decide(question, interval, worth)
    more = _missing(interval, sum(found), worth) if decision == "open" else 0
    sentence = _sentence(question, name, interval, decision, more, worth)
    if decision == "open" and min(found) < _FEW_TO_PLAN:
        sentence = f"Keep going: there are too few {question.noun} yet to say how many it takes."
    return Comparison(
        name, interval.value, interval.lower, interval.upper, interval.p_value, decision, more, sentence
    )


def _decide(question: Question, interval: Interval, worth: float) -> Decision:
    if interval.lower > 0 or interval.upper < 0:
        return "better" if (interval.lower > 0) == question.more_is_better else "worse"
    return "same" if max(-interval.lower, interval.upper) <= worth else "open"


def _missing(interval: Interval, count: int, worth: float) -> int:
    """How many more it takes until the interval leaves out 0, or all that matters, if estimates stay."""
    estimate = interval.estimate
    if estimate is None:
        return count
    goal = max(abs(interval.value), worth - abs(interval.value))
    low, high = 1.0, 2.0
    while means.half_width(estimate.grown(high), interval.alpha) > goal and high < _MOST_GROWTH:
        low, high = high, high * 2
    while high / low > 1.01:
        middle = sqrt(low * high)
        low, high = (
            (middle, high)
            if means.half_width(estimate.grown(middle), interval.alpha) > goal
            else (low, middle)
        )
    return max(1, ceil((high - 1) * count))


def _sentence(
    question: Question, name: str, interval: Interval, decision: Decision, more: int, worth: float
) -> str:
    if decision in ("better", "worse"):
        near, far = sorted((abs(interval.lower), abs(interval.upper)))
        return f"{name} is {decision} than {question.control} by {as_range(near, far, question.binary)}."
    if decision == "same":
        most = as_size(worth, question.binary)
        return f"No difference larger than {most} between {name} and {question.control}."
    return _wait(question, more)


def _wait(question: Question, more: int) -> str:
    if more < _FEW_MORE:
        return f"Keep going: a few more {question.noun}."
    when = "" if not question.per_second else f", {as_duration(more / question.per_second)} at this rate"
    return f"Keep going: about {about(more)} more {question.noun}{when}."
