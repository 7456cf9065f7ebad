"""Many simulated experiments, looked at after every outcome: what the intervals and alarms promise, counted.

`python tests/experiments/simulate.py` prints it for 2,000 experiments of each kind, in a few minutes of one
processor; `--experiments`, `--outcomes` and `--seed` change that. So many looks are only possible as arrays:
the formulas are here once more, in numpy, and test_simulate.py holds them to the code at looks by chance.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import betaln, xlog1py, xlogy

if __name__ == "__main__":  # as a program it has only its own folder on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from service.experiments.intervals import FEW_BOTH, FEW_NUMBERS, FEW_PART
from service.experiments.shares import ALARM, LOG_PRIOR, TILTS
from service.experiments.verdict import ALPHA

Array = np.ndarray[Any, Any]
Random = np.random.Generator
Draw = Callable[[Random, tuple[int, int]], Array]
"""Outcomes of so many experiments (rows), one after the other (columns)."""

_PART = 100  # experiments at a time
_PRIOR_SIZE = 100.0


def share(first: float, last: float | None = None) -> Draw:
    """1 with this probability, else 0; it may move while the experiment runs."""
    end = first if last is None else last
    return lambda random, shape: (random.random(shape) < np.linspace(first, end, shape[1])).astype(float)


def normal(mean: float, deviation: float) -> Draw:
    """Numbers around a mean."""
    return lambda random, shape: random.normal(mean, deviation, shape)


def lognormal(deviation: float) -> Draw:
    """Skewed numbers of mean 1, as sums of money are."""
    return lambda random, shape: random.lognormal(-deviation * deviation / 2, deviation, shape)


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of experiment between equals.

    `shares` are those of the challenger, one per period of equal length; `mean` is the true one, None where
    it moves.
    """

    name: str
    draw: Draw
    binary: bool
    mean: float | None
    shares: Sequence[float] = (0.5,)


CASES = (
    Case("share of 50 %", share(0.5), True, 0.5),
    Case("share of 10 %", share(0.1), True, 0.1),
    Case("share of 2 %, 90:10", share(0.02), True, 0.02, (0.1,)),
    Case("share of 95 %, 90:10", share(0.95), True, 0.95, (0.1,)),
    Case("share from 60 to 20 %, ramp 5, 25, 50 %", share(0.6, 0.2), True, None, (0.05, 0.25, 0.5)),
    Case("normal", normal(5.0, 2.0), False, 5.0),
    Case("normal, 90:10", normal(5.0, 2.0), False, 5.0, (0.1,)),
    Case("lognormal, 90:10", lognormal(0.75), False, 1.0, (0.1,)),
)


@dataclass(frozen=True, slots=True)
class Running:
    """Sums of one variant at each look: arrays (experiments, periods, looks)."""

    count: Array
    total: Array
    squares: Array

    def whole(self) -> "Running":
        """Those of all periods together."""
        return Running(*(part.sum(axis=1, keepdims=True) for part in (self.count, self.total, self.squares)))

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


def simulate(case: Case, experiments: int, outcomes: int, random: Random) -> tuple[Running, Running]:
    """Control and challenger of so many experiments, at all looks."""
    shape = (experiments, outcomes)
    period = np.arange(outcomes) * len(case.shares) // outcomes
    chosen = random.random(shape) < np.array(case.shares)[period]
    values = case.draw(random, shape)
    inside = period[None, :] == np.arange(len(case.shares))[:, None]  # (periods, looks)
    return _running(values, ~chosen, inside), _running(values, chosen, inside)


def _running(values: Array, chosen: Array, inside: Array) -> Running:
    mine = chosen[:, None, :] & inside[None, :, :]
    parts = (mine.astype(float), mine * values[:, None, :], mine * values[:, None, :] ** 2)
    return Running(*(np.cumsum(part, axis=2) for part in parts))


def difference_evidence(one: Running, two: Running, binary: bool) -> Array:
    """The logarithm of the evidence against no difference at each look (experiments, looks)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = _approximate_difference(one, two)
    if binary:
        few = log(FEW_PART) + _exact_difference(one, two)
        return np.where(one.is_few | two.is_few, few, log(1 - FEW_PART) + found)
    few = np.minimum(one.count.sum(axis=1), two.count.sum(axis=1)) < FEW_NUMBERS
    return np.where(few, 0.0, found)


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
    return np.asarray(betaln(0.5 + sums.total, 0.5 + sums.count - sums.total) - betaln(0.5, 0.5))


def mean_evidence(sums: Running, truth: float, binary: bool) -> Array:
    """The logarithm of the evidence against the true mean at each look (experiments, looks)."""
    whole = sums.whole()
    count, total = whole.count[:, 0], whole.total[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = Running(whole.count, whole.total, whole.squares).variance
        found = _log_evidence((total / count - truth) ** 2 * count / variance, count, count - 1)
    found = np.nan_to_num(found, nan=0.0)
    if binary:
        exact = _log_mixture(whole)[:, 0] - total * log(truth) - (count - total) * log(1 - truth)
        return np.where(sums.is_few, log(FEW_PART) + exact, log(1 - FEW_PART) + found)
    return np.where(count < FEW_NUMBERS, 0.0, found)


@dataclass(frozen=True, slots=True)
class Promise:
    """Of so many experiments: ever a false winner, ever an interval of the challenger without the truth."""

    experiments: int
    alarms: int
    missed: int


def count_case(case: Case, experiments: int, outcomes: int, seed: int) -> Promise:
    """What came of so many experiments of a kind."""
    alarms = missed = 0
    for part in _parts(experiments, seed):
        one, two = simulate(case, part.experiments, outcomes, part.random)
        alarms += int((difference_evidence(one, two, case.binary) > log(1 / ALPHA)).any(axis=1).sum())
        if case.mean is not None:
            missed += int((mean_evidence(two, case.mean, case.binary) > log(1 / ALPHA)).any(axis=1).sum())
    return Promise(experiments, alarms, missed)


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the experiments, with random numbers of their own."""

    experiments: int
    random: Random


def _parts(experiments: int, seed: int) -> Iterator[Part]:
    for first in range(0, experiments, _PART):
        yield Part(min(_PART, experiments - first), np.random.default_rng((seed, first)))


@dataclass(frozen=True, slots=True)
class Sharing:
    """Weights of one period after the other, and the share that the last variant loses of its requests."""

    name: str
    periods: Sequence[Mapping[str, float]]
    lost: float = 0.0


SHARINGS = (
    Sharing("50:50", [{"a": 1, "b": 1}]),
    Sharing("99:1", [{"a": 99, "b": 1}]),
    Sharing(
        "ramp 5, 25, 50, 100 %", [{"a": 95, "b": 5}, {"a": 3, "b": 1}, {"a": 1, "b": 1}, {"a": 0, "b": 1}]
    ),
    Sharing(
        "three, changed twice", [{"a": 8, "b": 1, "c": 1}, {"a": 2, "b": 1, "c": 1}, {"a": 0, "b": 3, "c": 1}]
    ),
    Sharing("50:50, B loses 10 %", [{"a": 1, "b": 1}], 0.1),
    Sharing("ramp, B loses 10 %", [{"a": 95, "b": 5}, {"a": 3, "b": 1}, {"a": 1, "b": 1}], 0.1),
)


def simulate_picks(sharing: Sharing, experiments: int, picks: int, random: Random) -> tuple[Array, Array]:
    """Which variant each request went to (-1: lost), and each variant's share then (variants, picks)."""
    period = np.arange(picks) * len(sharing.periods) // picks
    weights = np.array([[*weights.values()] for weights in sharing.periods], dtype=float)
    shares = (weights / weights.sum(axis=1, keepdims=True))[period].T
    ends = np.cumsum(shares, axis=0)
    chosen = (random.random((experiments, 1, picks)) >= ends[None]).sum(axis=1)
    lost = (chosen == len(shares) - 1) & (random.random((experiments, picks)) < sharing.lost)
    return np.where(lost, -1, chosen), shares


def mismatch_evidence(chosen: Array, shares: Array) -> Array:
    """The logarithm of the evidence against the weights after each request (experiments, picks)."""
    whole = np.full(chosen.shape, -np.inf)
    for variant, share_of in enumerate(shares):
        for tilt, prior in zip(TILTS, LOG_PRIOR, strict=True):
            scale = -np.log1p(share_of * (np.exp(tilt) - 1))
            steps = np.where(chosen < 0, 0.0, (chosen == variant) * tilt + scale)
            steps[:, (share_of <= 0) | (share_of >= 1)] = 0.0
            whole = np.logaddexp(whole, prior + np.cumsum(steps, axis=1))
    return whole - log(len(shares))


def count_sharing(sharing: Sharing, experiments: int, picks: int, seed: int) -> int:
    """In how many experiments it was ever told that weights are not kept."""
    alarms = 0
    for part in _parts(experiments, seed):
        chosen, shares = simulate_picks(sharing, part.experiments, picks, part.random)
        alarms += int((mismatch_evidence(chosen, shares) > log(1 / ALARM)).any(axis=1).sum())
    return alarms


def main() -> None:
    """Print what came of all kinds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=2_000)
    parser.add_argument("--outcomes", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    sizes = (asked.experiments, asked.outcomes, asked.seed)
    print(
        f"{asked.experiments:,} experiments between equals, a look after each of {asked.outcomes:,} outcomes"
    )
    for case in CASES:
        found = count_case(case, *sizes)
        missed = "" if case.mean is None else f", coverage {1 - found.missed / found.experiments:.2%}"
        print(f"  {case.name}: false winners {found.alarms / found.experiments:.2%}{missed}", flush=True)
    print("Shares held against weights, a look after every request")
    for sharing in SHARINGS:
        print(
            f"  {sharing.name}: alarms {count_sharing(sharing, *sizes) / asked.experiments:.2%}", flush=True
        )


if __name__ == "__main__":
    main()
