"""The interval of a variant's mean, and of its difference to the control: exact while outcomes are few.

All hold at any time: of a hundred experiments that are looked at after every outcome, at most 100 alpha have
an interval that ever leaves out the truth. Shares have two kinds of intervals in their life, and so each kind
has its part of alpha.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

from service.experiments import means, proportions
from service.experiments.means import Estimate
from service.experiments.sums import Sums

FEW_BOTH = 20
"""Below so many successes or failures of a variant its share is few: the normal approximation is not used."""

FEW_NUMBERS = 50
"""Below so many numbers of a variant nothing is said about their mean."""

FEW_PART = 0.2
"""Of alpha, what shares have while they are few; the rest is for the time after that."""


@dataclass(frozen=True, slots=True)
class Interval:
    """What is not excluded, and the evidence against 0 as a p-value that may be looked at any time.

    Differences of shares are between -1 and 1. `estimate` and its `alpha` are what plans of how many more are
    made from.
    """

    value: float
    lower: float
    upper: float
    p_value: float
    estimate: Estimate | None
    alpha: float


def mean_interval(sums: Sums, binary: bool, alpha: float) -> tuple[float, float] | None:
    """The interval of a mean; None if nothing can be said yet."""
    if binary and _is_few(sums):
        return proportions.share_interval(sums.total, sums.count, alpha * FEW_PART)
    estimate = None if not binary and sums.count < FEW_NUMBERS else means.estimate_mean(sums)
    if estimate is None:
        return None
    reach = means.half_width(estimate, alpha * _late_part(binary))
    lower, upper = estimate.value - reach, estimate.value + reach
    return (max(0.0, lower), min(1.0, upper)) if binary else (lower, upper)


def difference_interval(
    control: Sequence[Sums], challenger: Sequence[Sums], binary: bool, alpha: float
) -> Interval | None:
    """How much more the challenger has than the control, by period; None if nothing can be said yet."""
    if _is_exact(control, challenger, binary):
        return _exact_difference(control, challenger, alpha)
    estimate = _approximate(control, challenger, binary)
    return None if estimate is None else _around(estimate, alpha, binary)


def difference_evidence(
    control: Sequence[Sums], challenger: Sequence[Sums], binary: bool, truth: float = 0.0
) -> float:
    """The logarithm of the evidence against a difference: beyond 1/alpha, it is not in the interval."""
    if _is_exact(control, challenger, binary):
        return log(FEW_PART) + proportions.log_evidence_difference(control, challenger, truth)
    estimate = _approximate(control, challenger, binary)
    return 0.0 if estimate is None else log(_late_part(binary)) + means.log_evidence(estimate, truth)


def _late_part(binary: bool) -> float:
    return 1 - FEW_PART if binary else 1.0


def _is_exact(control: Sequence[Sums], challenger: Sequence[Sums], binary: bool) -> bool:
    return binary and (_is_few(sum(control, Sums())) or _is_few(sum(challenger, Sums())))


def _approximate(control: Sequence[Sums], challenger: Sequence[Sums], binary: bool) -> Estimate | None:
    if (
        not binary
        and min(sum(one.count for one in periods) for periods in (control, challenger)) < FEW_NUMBERS
    ):
        return None
    return means.estimate_difference(control, challenger)


def paired_interval(differences: Sums, binary: bool, alpha: float) -> Interval | None:
    """How much more the challenger has on the same rows, from the sums of the rows' differences.

    Those of binary outcomes are -1, 0 or 1.
    """
    if binary and differences.squares < 2 * FEW_BOTH:
        return _exact_paired(differences, alpha * FEW_PART, alpha)
    if not binary and differences.count < FEW_NUMBERS:
        return None
    estimate = means.estimate_mean(differences)
    return None if estimate is None else _around(estimate, alpha, binary)


def _is_few(sums: Sums) -> bool:
    return min(sums.total, sums.count - sums.total) < FEW_BOTH


def _around(estimate: Estimate, alpha: float, binary: bool) -> Interval:
    part = _late_part(binary)
    reach = means.half_width(estimate, alpha * part)
    p_value = _p_value(log(part) + means.log_evidence(estimate, 0.0))
    lower, upper = estimate.value - reach, estimate.value + reach
    if binary:  # the normal approximation knows no bounds, which shares have
        lower, upper = max(-1.0, lower), min(1.0, upper)
    return Interval(estimate.value, lower, upper, p_value, estimate, alpha * part)


def _p_value(evidence: float) -> float:
    return exp(-max(0.0, evidence))


def _exact_difference(control: Sequence[Sums], challenger: Sequence[Sums], alpha: float) -> Interval | None:
    both = [(one, two) for one, two in zip(control, challenger, strict=True) if one.count and two.count]
    if not both:
        return None
    first, second = [one for one, _ in both], [two for _, two in both]
    # What is added keeps the error above 0 where all outcomes are equal; plans alone see it.
    estimate = means.estimate_difference(
        [_smoothed(one) for one in first], [_smoothed(two) for two in second]
    )
    value = _weighted_difference(both)
    lower, upper = proportions.difference_interval(first, second, value, alpha * FEW_PART)
    p_value = _p_value(difference_evidence(first, second, True))
    return Interval(value, lower, upper, p_value, estimate, alpha * _late_part(True))


def _weighted_difference(both: Sequence[tuple[Sums, Sums]]) -> float:
    parts = [one.count * two.count / (one.count + two.count) for one, two in both]
    differences = (two.mean - one.mean for one, two in both)
    return sum(part * each for part, each in zip(parts, differences, strict=True)) / sum(parts)


def _smoothed(sums: Sums) -> Sums:
    return sums + Sums(2, 1.0, 1.0)


def _exact_paired(differences: Sums, early: float, alpha: float) -> Interval | None:
    """From how many rows differ, and which share of those the challenger won: each with half of `early`."""
    if not differences.count:
        return None
    unequal = differences.squares
    won = (unequal + differences.total) / 2
    rows = proportions.share_interval(unequal, differences.count, early / 2)
    wins = proportions.share_interval(won, unequal, early / 2)
    edges = [share * (2 * win - 1) for share in rows for win in wins]
    evidence = proportions.log_evidence_share(won, unequal, 0.5) if unequal else 0.0
    estimate = means.estimate_mean(differences + Sums(2, 0.0, 2.0))
    p_value = _p_value(log(FEW_PART / 2) + evidence)
    return Interval(differences.mean, min(edges), max(edges), p_value, estimate, alpha * _late_part(True))
