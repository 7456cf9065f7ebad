"""Held against published libraries, in an environment that has them: gbstats, confseq and savvi.

    python -m venv oracles && oracles/bin/pip install confseq gbstats savvi
    oracles/bin/python tests/experiments/oracles.py

First what must be equal is compared, then how many outcomes each needs to see a difference.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from math import log
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any

import numpy as np
from confseq import boundaries
from gbstats.frequentist.tests import (
    SequentialConfig,
    SequentialTwoSidedTTest,
)
from gbstats.models.statistics import SampleMeanStatistic
from savvi.linear_regression import log_bf
from savvi.multinomial import Multinomial

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from service.experiments.intervals import difference_evidence
from service.experiments.means import Estimate, log_evidence
from service.experiments.proportions import log_evidence_share
from service.experiments.shares import ALARM, Picks, mismatch_p_value
from service.experiments.sums import Sums
from tests.experiments import formulas
from tests.experiments.formulas import Running, first_beyond, gbstats_evidence
from tests.experiments.simulate import CONTESTS, contend

Sees = Callable[[Sums, Sums], bool]

_MOST_OUTCOMES = 20_000
_ALPHA = 0.05
_ENOUGH = log(1 / _ALPHA)


def main() -> None:
    """Print both parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=100)
    asked = parser.parse_args()
    compare_values()
    compare_power(asked.experiments)
    compare_alarms(asked.experiments)


def compare_values() -> None:
    """Values that are the same by definition."""
    worst = 0.0
    for size in (60, 1_000, 50_000):
        for distance in (0.0, 1.5, 4.0):
            estimate = Estimate(distance, 1.0, size, size - 2)
            theirs = float(log_bf(distance**2, size - 2, 100.0, float(size)))
            worst = max(worst, abs(log_evidence(estimate, 0.0) - theirs))
    print(f"evidence against a mean, savvi's linear regression: at most {worst:.1e} apart")
    worst, best = 0.0, 100 * (2 * log(20) + log(1 + 2 * log(20)))
    for size in (100, 10_000):
        for distance in (0.0, 2.0, 4.0):
            estimate = Estimate(distance, 1.0, size, 1e9)
            theirs = boundaries.normal_log_mixture(distance * size**0.5, size, best, 0.05, False)
            worst = max(worst, abs(log_evidence(estimate, 0.0) - float(theirs)))
    print(f"evidence against a mean, confseq's normal mixture: at most {worst:.1e} apart")
    worst = 0.0
    for successes, count in ((0, 10), (7, 20), (300, 500)):
        test = Multinomial(_ALPHA, np.array([0.5, 0.5]), k=1)
        test.update(np.array([successes, count - successes]))
        worst = max(worst, abs(log_evidence_share(successes, count, 0.5) - float(np.log(test.odds))))
    print(f"evidence against a share, savvi's multinomial: at most {worst:.1e} apart")


def compare_power(experiments: int) -> None:
    """Outcomes until a difference is seen, of the same experiments; the packages say that they see it."""
    for contest in CONTESTS:
        one, two = contend(contest, experiments, _MOST_OUTCOMES, np.random.default_rng(0))
        ours = first_beyond(formulas.difference_evidence(one, two, contest.binary), _ENOUGH)
        theirs = first_beyond(gbstats_evidence(one, two, _ALPHA), _ENOUGH)
        wrong = 0
        for experiment in range(experiments):
            wrong += not _is_first(one, two, experiment, ours[experiment], partial(_we_see, contest.binary))
            wrong += not _is_first(one, two, experiment, theirs[experiment], _gbstats_sees)
        waited = [
            mean(_MOST_OUTCOMES if look is None else look + 1 for look in looks) for looks in (ours, theirs)
        ]
        print(
            f"{contest.name}: ours {waited[0]:,.0f} outcomes, gbstats {waited[1]:,.0f} "
            f"({waited[0] / waited[1]:.2f} times); {wrong} of {2 * experiments} ends are elsewhere",
            flush=True,
        )


def _is_first(one: Running, two: Running, experiment: int, look: int | None, sees: Sees) -> bool:
    """Whether a difference is seen at this look, if any, and not at the one before, or at the last one."""

    def at(seen: int) -> bool:
        return sees(one.sums(experiment, seen)[0], two.sums(experiment, seen)[0])

    if look is None:
        return not at(_MOST_OUTCOMES - 1)
    return at(look) and not (look and at(look - 1))


def _we_see(binary: bool, one: Sums, two: Sums) -> bool:
    return difference_evidence([one], [two], binary) > _ENOUGH


def _gbstats_sees(one: Sums, two: Sums) -> bool:
    if min(one.total, two.total) < 1 or min(one.count, two.count) < 2:
        return False
    stats = [
        SampleMeanStatistic(n=sums.count, sum=sums.total, sum_squares=sums.squares) for sums in (one, two)
    ]
    lower, upper = SequentialTwoSidedTTest(
        *stats, SequentialConfig(difference_type="absolute")
    ).confidence_interval
    return bool(lower > 0 or upper < 0)


def compare_alarms(experiments: int) -> None:
    """Requests until it is seen that B loses some of its share."""
    for lost in (0.05, 0.1, 0.3):
        ours, theirs = [], []
        for seed in range(experiments):
            random = Random(seed)
            counts = _picks(random, lost)
            ours.append(_first(counts, _we_alarm))
            theirs.append(_first(counts, _savvi_alarms))
        print(
            f"B loses {lost:.0%}: ours {mean(ours):,.0f} requests, savvi {mean(theirs):,.0f} "
            f"({mean(ours) / mean(theirs):.2f} times)",
            flush=True,
        )


def _picks(random: Random, lost: float, most: int = 40_000) -> list[tuple[int, int]]:
    counts, seen = [0, 0], []
    for number in range(most):
        side = random.random() < 0.5
        if not side or random.random() >= lost:
            counts[side] += 1
        if number % 20 == 19:
            seen.append((counts[0], counts[1]))
    return seen


def _first(counts: list[tuple[int, int]], alarms: Callable[[tuple[int, int]], bool]) -> int:
    return 20 * (next((number for number, pair in enumerate(counts) if alarms(pair)), len(counts)) + 1)


def _we_alarm(counts: tuple[int, int]) -> bool:
    return mismatch_p_value([Picks({"a": 1, "b": 1}, dict(zip("ab", counts, strict=True)))]) < ALARM


def _savvi_alarms(counts: tuple[int, int]) -> bool:
    test: Any = Multinomial(ALARM, np.array([0.5, 0.5]))
    test.update(np.array(counts))
    return bool(test.odds > 1 / ALARM)


if __name__ == "__main__":
    main()
