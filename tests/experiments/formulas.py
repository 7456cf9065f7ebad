"""The evidence of `service.experiments` once more, in numpy: of many experiments at all their looks at once.

It says at which looks something may be decided; what is decided there, the code itself is asked.
test_simulate.py holds these formulas to the code at looks by chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from scipy.special import gammaln, xlog1py, xlogy

from service.experiments.intervals import FEW_BOTH, FEW_NUMBERS, FEW_PART
from service.experiments.shares import LOG_PRIOR, TILTS
from service.experiments.sums import Sums

Array = np.ndarray[Any, Any]

_PRIOR_SIZE = 100.0
_MOST_LOG = 600.0  # e to this is a float still, and evidence enough


@dataclass(frozen=True, slots=True)
class Running:
    """Sums of one variant at each look: arrays (experiments, periods, looks), or (looks of any, periods)."""

    count: Array
    total: Array
    squares: Array

    def whole(self) -> "Running":
        """Those of all periods together."""
        return Running(*(part.sum(axis=1, keepdims=True) for part in (self.count, self.total, self.squares)))

    def at(self, looks: Array) -> "Running":
        """Those of chosen looks alone: `looks` is true or false (experiments, looks)."""
        parts = (self.count, self.total, self.squares)
        return Running(*(part.transpose(0, 2, 1)[looks] for part in parts))

    def sums(self, experiment: int, look: int) -> list[Sums]:
        """What the code is given at one look: the sums of each period."""
        parts = (part[experiment, :, look].tolist() for part in (self.count, self.total, self.squares))
        return [Sums(int(count), total, squares) for count, total, squares in zip(*parts, strict=True)]

    @property
    def mean(self) -> Array:
        return np.divide(self.total, self.count, out=np.zeros_like(self.total), where=self.count > 0)

    @property
    def is_few(self) -> Array:
        """Whether successes or failures are few, at each look (experiments, looks)."""
        whole = self.whole()
        return np.asarray(np.minimum(whole.total, whole.count - whole.total)[:, 0] < FEW_BOTH)

    @property
    def variance(self) -> Array:
        """Within periods, nan where there is none (experiments, looks)."""
        spread = np.maximum(0.0, self.squares - self.total * self.mean).sum(axis=1)
        freedom = (self.count - (self.count > 0)).sum(axis=1)
        return np.asarray(np.divide(spread, freedom, out=np.full_like(spread, np.nan), where=freedom > 0))


def run_up(values: Array, chosen: Array, inside: Array, binary: bool) -> Running:
    """The sums of those outcomes that were `chosen` (experiments, looks), by `inside` (periods, looks)."""
    mine = chosen[:, None, :] & inside[None, :, :]
    count, total = (np.cumsum(part, axis=2, dtype=float) for part in (mine, mine * values[:, None, :]))
    squares = total if binary else np.cumsum(mine * values[:, None, :] ** 2, axis=2)
    return Running(count, total, squares)


def difference_evidence(one: Running, two: Running, binary: bool) -> Array:
    """The logarithm of the evidence against no difference at each look (experiments, looks)."""
    if not binary:
        few = np.minimum(one.count.sum(axis=1), two.count.sum(axis=1)) < FEW_NUMBERS
        return np.where(few, 0.0, _approximate_difference(one, two))
    few = one.is_few | two.is_few
    evidence = np.empty(few.shape)
    evidence[few] = log(FEW_PART) + _exact_difference(one.at(few), two.at(few))
    evidence[~few] = log(1 - FEW_PART) + _approximate_difference(one.at(~few), two.at(~few))
    return evidence


@np.errstate(divide="ignore", invalid="ignore")
def _approximate_difference(one: Running, two: Running) -> Array:
    both = (one.count > 0) & (two.count > 0)
    parts = np.where(both, one.count * two.count / (one.count + two.count), 0.0)
    whole = parts.sum(axis=1)
    first, second = one.variance[:, None], two.variance[:, None]
    value = (parts * (two.mean - one.mean)).sum(axis=1) / whole
    spread = np.where(both, parts**2 * (first / one.count + second / two.count), 0.0).sum(axis=1) / whole**2
    freedom = np.maximum(1.0, np.where(both, one.count + two.count - 2, 0).sum(axis=1))
    size = (first + second)[:, 0] / 2 / spread
    return np.nan_to_num(_log_evidence(value**2 / spread, size, freedom), nan=0.0)


def _log_evidence(squared: Array, size: Array, freedom: Array) -> Array:
    """By the squared distance in standard errors."""
    shrunk = _PRIOR_SIZE / (_PRIOR_SIZE + size)
    ratio = squared / freedom
    return np.asarray((np.log(shrunk) + (freedom + 1) * (np.log1p(ratio) - np.log1p(shrunk * ratio))) / 2)


def _exact_difference(one: Running, two: Running) -> Array:
    both = (one.count > 0) & (two.count > 0)
    count, total = one.count + two.count, one.total + two.total
    pooled = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    likely = xlogy(total, pooled) + xlog1py(count - total, -pooled)
    return np.asarray(np.where(both, _log_mixture(one) + _log_mixture(two) - likely, 0.0).sum(axis=1))


def _log_mixture(sums: Running) -> Array:
    """The logarithm of a ratio of beta functions, from tables: counts are whole."""
    count, total = sums.count.astype(int), sums.total.astype(int)
    whole = np.arange(count.max(initial=0) + 1)
    halves, ones = gammaln(whole + 0.5), gammaln(whole + 1.0)
    return np.asarray(halves[total] + halves[count - total] - ones[count] - 2 * gammaln(0.5))


def mean_evidence(sums: Running, truth: float, binary: bool) -> Array:
    """The logarithm of the evidence against the true mean at each look (experiments, looks)."""
    whole = sums.whole()
    if not binary:
        few = whole.count[:, 0] < FEW_NUMBERS
        return np.where(few, 0.0, _approximate_mean(whole, truth))
    few = sums.is_few
    evidence = np.empty(few.shape)
    early = whole.at(few)
    count, total = early.count[:, 0], early.total[:, 0]
    likely = total * log(truth) + (count - total) * log(1 - truth)
    evidence[few] = log(FEW_PART) + _log_mixture(early)[:, 0] - likely
    evidence[~few] = log(1 - FEW_PART) + _approximate_mean(whole.at(~few), truth)
    return evidence


@np.errstate(divide="ignore", invalid="ignore")
def _approximate_mean(whole: Running, truth: float) -> Array:
    count, total = whole.count[:, 0], whole.total[:, 0]
    found = _log_evidence((total / count - truth) ** 2 * count / whole.variance, count, count - 1)
    return np.nan_to_num(found, nan=0.0)


def mismatch_evidence(chosen: Array, shares: Array) -> Array:
    """The logarithm of the evidence against the weights after each request (experiments, picks).

    `chosen` is the variant of each request (experiments, picks), -1 if it was lost; `shares` are those of
    the moment (variants, picks).
    """
    whole, there = np.zeros(chosen.shape), chosen >= 0
    all_there = bool(there.all())
    for variant, share in enumerate(shares):
        open_ = (share > 0) & (share < 1)
        mine = np.cumsum((chosen == variant) & open_, axis=1, dtype=float)
        for tilt, prior in zip(TILTS, LOG_PRIOR, strict=True):
            scale = np.where(open_, -np.log1p(share * (np.exp(tilt) - 1)), 0.0)
            found = mine * tilt
            found += prior + np.cumsum(scale if all_there else there * scale, axis=-1)
            whole += np.exp(np.minimum(found, _MOST_LOG, out=found), out=found)
    return np.log(whole) - log(len(shares))


TUNED_FOR = 5_000.0
"""Of how many outcomes gbstats' intervals are at their tightest, unless told otherwise."""


@np.errstate(divide="ignore", invalid="ignore")
def gbstats_evidence(one: Running, two: Running, alpha: float) -> Array:
    """How the sequential test of GrowthBook's gbstats sees one period: beyond 1/alpha it decides.

    Source: gbstats.frequentist.tests, SequentialTwoSidedTTest; Waudby-Smith and others (2024). oracles.py
    holds this to the package. Nothing before both variants have two outcomes, and one that is not 0.
    """
    count = (one.count + two.count)[:, 0]
    spread = one.variance / one.count[:, 0] + two.variance / two.count[:, 0]
    tuned = (2 * log(1 / alpha) + log(2 * log(1 / alpha) + 1)) / TUNED_FOR * count
    squared = (two.mean - one.mean)[:, 0] ** 2 / spread
    ready = (np.minimum(one.count, two.count) >= 2) & (np.minimum(one.total, two.total) >= 1)
    found = (squared * tuned / (tuned + 1) - np.log1p(tuned)) / 2
    return np.where(ready[:, 0] & np.isfinite(found), found, -np.inf)


def first_beyond(evidence: Array, bound: float) -> Sequence[int | None]:
    """At which look of each experiment the evidence first is beyond; None if it never is."""
    beyond = evidence > bound
    return [int(row.argmax()) if row.any() else None for row in beyond]
