"""Intervals for a mean, or a difference of means, that hold however often one looks. Many outcomes needed.

The evidence against a value is a likelihood ratio: a mixture of all other values over that one, the mixture a
normal prior in units of the standard deviation. Under the true value it is a martingale that begins at 1, so
that it ever exceeds 1/alpha with probability alpha (Ville); the interval is what it does not exceed that for.
Exact for normal outcomes, for others as the central limit theorem is (asymptotic confidence sequences).

Sources: Lindon, Ham, Tingley, Bojinov, "Anytime-Valid Linear Models and Regression Adjusted Causal Inference
in Randomized Experiments" (2022; the t mixture); Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform
central limit theory and asymptotic confidence sequences" (2024); Robbins (1970) for the mixture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log, log1p, sqrt

from service.experiments.sums import Sums

_PRIOR_SIZE = 100.0
"""The prior is as wide as the error of a mean of so many: a tenth of a standard deviation. Intervals are at
their tightest, compared with those of one look, when the effective size is about eight times that."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is known of a mean or a difference.

    Args:
        value: the estimate.
        error: its standard error, above 0.
        size: of how many outcomes a mean would have that error.
        freedom: degrees of freedom of the error.
    """

    value: float
    error: float
    size: float
    freedom: float

    def grown(self, factor: float) -> "Estimate":
        """The same with `factor` times as many outcomes."""
        return Estimate(self.value, self.error / sqrt(factor), self.size * factor, self.freedom * factor)


def estimate_mean(sums: Sums) -> Estimate | None:
    """The mean of one variant; None if all outcomes are equal, or one."""
    if sums.count < 2 or not sums.deviations:
        return None
    freedom = sums.count - 1
    return Estimate(sums.mean, sqrt(sums.deviations / freedom / sums.count), sums.count, freedom)


def estimate_difference(control: Sequence[Sums], challenger: Sequence[Sums]) -> Estimate | None:
    """How much more the challenger has, from one `Sums` of each per period of unchanged weights.

    Each period is compared within itself: when weights and outcomes change together (more traffic for B at
    night, when nobody buys), means over all of it would differ for that reason alone. Periods count by what
    they know, n1 n2 / (n1 + n2). None if no period has both, or nothing varies.
    """
    both = [(one, two) for one, two in zip(control, challenger, strict=True) if one.count and two.count]
    first, second = _variance(control), _variance(challenger)
    if not both or first is None or second is None or not first + second:
        return None
    parts = [one.count * two.count / (one.count + two.count) for one, two in both]
    whole = sum(parts)
    value = sum(part * (two.mean - one.mean) for part, (one, two) in zip(parts, both, strict=True)) / whole
    squared = sum(
        part * part * (first / one.count + second / two.count)
        for part, (one, two) in zip(parts, both, strict=True)
    ) / (whole * whole)
    freedom = sum(one.count + two.count - 2 for one, two in both)
    return Estimate(value, sqrt(squared), (first + second) / 2 / squared, max(1.0, freedom))


def _variance(periods: Sequence[Sums]) -> float | None:
    """The variance within periods, None if none has two outcomes."""
    freedom = sum(period.count - 1 for period in periods if period.count)
    return sum(period.deviations for period in periods) / freedom if freedom > 0 else None


def log_evidence(estimate: Estimate, truth: float) -> float:
    """The logarithm of the evidence against `truth`."""
    shrunk = _PRIOR_SIZE / (_PRIOR_SIZE + estimate.size)
    ratio = ((estimate.value - truth) / estimate.error) ** 2 / estimate.freedom
    return (log(shrunk) + (estimate.freedom + 1) * (log1p(ratio) - log1p(shrunk * ratio))) / 2


def half_width(estimate: Estimate, alpha: float) -> float:
    """How far the interval reaches from the estimate: where the evidence is 1/alpha."""
    shrunk = _PRIOR_SIZE / (_PRIOR_SIZE + estimate.size)
    bound = (alpha * alpha * shrunk) ** (1 / (estimate.freedom + 1))
    if bound <= shrunk:
        return inf
    return estimate.error * sqrt(estimate.freedom * (1 - bound) / (bound - shrunk))
