"""Exact intervals for the shares of few yes-or-no outcomes, and for their difference, at any time.

The evidence against a share is that of means.py, with the beta distribution as the mixture: exact from the
first outcome on. A difference is excluded when it is for every pair of shares that has it.

Sources: Robbins (1970); Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic
confidence sequences" (2021); Lindon, Malek, "Anytime-Valid Inference for Multinomial Count Data" (2022).
"""

from collections.abc import Callable, Sequence
from math import inf, lgamma, log

from service.experiments.sums import Sums

_PRIOR = 0.5  # Jeffreys': at home near 0 and 1 too
_STEPS = 50


def log_evidence_share(successes: float, count: float, share: float) -> float:
    """The logarithm of the evidence against a share, of `successes` among `count`."""
    return _log_mixture(successes, count) - _log_likelihood(successes, count - successes, share)


def share_interval(successes: float, count: float, alpha: float) -> tuple[float, float]:
    """The shares that are not excluded; (0, 1) if nothing is known."""

    def excess(share: float) -> float:
        return log_evidence_share(successes, count, share) + log(alpha)

    middle = successes / count if count else 0.5
    return _edge(excess, middle, 0.0), _edge(excess, middle, 1.0)


def log_evidence_difference(control: Sequence[Sums], challenger: Sequence[Sums], difference: float) -> float:
    """The logarithm of the evidence against a difference of shares that is the same in every period."""
    return sum(
        _log_mixture(one.total, one.count)
        + _log_mixture(two.total, two.count)
        - _most_likely(one, two, difference)
        for one, two in zip(control, challenger, strict=True)
        if one.count and two.count
    )


def difference_interval(
    control: Sequence[Sums], challenger: Sequence[Sums], middle: float, alpha: float
) -> tuple[float, float]:
    """The differences that are not excluded; `middle` is the estimate.

    The likelihood is a concave function of the difference: what is not excluded is an interval. (-1, 1) where
    periods contradict each other.
    """

    def excess(difference: float) -> float:
        return log_evidence_difference(control, challenger, difference) + log(alpha)

    if excess(middle) > 0:
        return -1.0, 1.0
    return _edge(excess, middle, -1.0), _edge(excess, middle, 1.0)


def _log_mixture(successes: float, count: float) -> float:
    return _log_beta(_PRIOR + successes, _PRIOR + count - successes) - _log_beta(_PRIOR, _PRIOR)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def _log_likelihood(successes: float, failures: float, share: float) -> float:
    return _times_log(successes, share) + _times_log(failures, 1 - share)


def _times_log(count: float, share: float) -> float:
    if not count:
        return 0.0
    return count * log(share) if share > 0 else -inf


def _most_likely(one: Sums, two: Sums, difference: float) -> float:
    """The greatest log likelihood of two shares that differ by so much: a concave function, bisected."""
    lowest, highest = max(0.0, -difference), min(1.0, 1.0 - difference)
    if difference == 0.0:
        share = (one.total + two.total) / (one.count + two.count)
    else:
        share = _root(lambda share: _slope(one, share) + _slope(two, share + difference), lowest, highest)
    return _log_likelihood(one.total, one.count - one.total, share) + _log_likelihood(
        two.total, two.count - two.total, share + difference
    )


def _slope(sums: Sums, share: float) -> float:
    """The derivative of the log likelihood."""
    rises = sums.total / share if share > 0 else (inf if sums.total else 0.0)
    falls = (
        (sums.count - sums.total) / (1 - share) if share < 1 else (inf if sums.count > sums.total else 0.0)
    )
    return rises - falls


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if falling(middle) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _edge(excess: Callable[[float], float], inside: float, outside: float) -> float:
    """Where `excess` becomes positive on the way; `outside` if it does not."""
    if excess(outside) <= 0:
        return outside
    for _ in range(_STEPS):
        middle = (inside + outside) / 2
        if excess(middle) > 0:
            outside = middle
        else:
            inside = middle
    return outside
