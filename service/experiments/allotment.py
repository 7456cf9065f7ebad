"""How much traffic each variant should have while an experiment runs, by what is known of its outcomes.

Thompson sampling gives each variant as much as it is likely to be the best one; top-two gives half of that to
whoever is most likely to be second, so that it is soon known who is best. Both leave every variant a floor:
one that was unlucky at first is found out, and outcomes that change are seen.

Sources: Thompson, "On the likelihood that one unknown probability exceeds another" (1933); Scott, "A modern
Bayesian look at the multi-armed bandit" (2010), for weights in place of single draws; Russo, "Simple Bayesian
Algorithms for Best-Arm Identification" (2016), for top-two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import exp, log, sqrt
from typing import Literal

from service.experiments.intervals import FEW_NUMBERS
from service.experiments.sums import Sums

Policy = Literal["thompson", "top-two"]

FEW_SHARES = 10
"""Below so many yes-or-no outcomes of a variant nothing is changed."""

_LEADER = 0.5  # what top-two leaves the leader, as is usual
_DEVIATIONS = 8.0
_POINTS = 160  # of each variant, within so many deviations on both sides
_EDGE = 1e-9


@dataclass(frozen=True, slots=True)
class Allotment:
    """Parts of the traffic, which sum up to 1, and how likely each variant is the best one."""

    shares: Mapping[str, float]
    best: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Belief:
    """What a mean may be: a beta distribution of a share, a normal one of another mean."""

    mean: float
    deviation: float
    beta: tuple[float, float] | None = None

    def points(self) -> list[float]:
        """Where it is worth being looked at."""
        step = 2 * _DEVIATIONS * self.deviation / _POINTS
        found = [self.mean + step * (at - _POINTS / 2) for at in range(_POINTS + 1)]
        return found if self.beta is None else [min(max(at, _EDGE), 1 - _EDGE) for at in found]

    def log_density(self, at: float) -> float:
        """Its logarithm, but for a constant."""
        if self.beta is None:
            return -(((at - self.mean) / self.deviation) ** 2) / 2
        successes, failures = self.beta
        return (successes - 1) * log(at) + (failures - 1) * log(1 - at)


def allot(
    policy: Policy,
    outcomes: Mapping[str, Sequence[Sums]],
    *,
    binary: bool,
    more_is_better: bool,
    floor: float,
) -> Allotment | None:
    """What each variant should have, the least `floor`; None while too little is known of one of them.

    `outcomes` are each variant's by period of unchanged weights, as many periods of each.
    """
    beliefs = {name: _belief(name, outcomes, binary) for name in outcomes}
    known = [belief for belief in beliefs.values() if belief is not None]
    if len(known) < max(2, len(beliefs)):
        return None
    best = _best(known, more_is_better)
    shares = best if policy == "thompson" else _top_two(best)
    return Allotment(
        with_floor(dict(zip(beliefs, shares, strict=True)), floor), dict(zip(beliefs, best, strict=True))
    )


def with_floor(shares: Mapping[str, float], floor: float) -> dict[str, float]:
    """Shares of which none is below the floor, in the order and distances that they had."""
    return {name: floor + (1 - len(shares) * floor) * share for name, share in shares.items()}


def _belief(name: str, outcomes: Mapping[str, Sequence[Sums]], binary: bool) -> _Belief | None:
    """What is known of a variant's mean, from periods in which all variants had outcomes.

    Each period counts for all of them alike: else a variant would look better that had much traffic when
    everybody did well. It counts by what it knows of the variant that has the fewest, so to speak.
    """
    periods = [*zip(*outcomes.values(), strict=True)]
    parts = [_knowledge(period) for period in periods]
    mine = outcomes[name]
    found = sum((one for one, part in zip(mine, parts, strict=True) if part), Sums())
    if found.count < (FEW_SHARES if binary else FEW_NUMBERS):
        return None
    both = [(part / sum(parts), one) for part, one in zip(parts, mine, strict=True) if part]
    mean = sum(part * one.mean for part, one in both)
    size = 1 / sum(part * part / one.count for part, one in both)
    if binary:
        successes, failures = 1 + mean * size, 1 + (1 - mean) * size
        whole = successes + failures
        deviation = sqrt(successes * failures / (whole + 1)) / whole
        return _Belief(successes / whole, deviation, (successes, failures))
    freedom = found.count - sum(1 for _ in both)
    variance = sum(one.deviations for _, one in both) / max(1, freedom)
    # Equal numbers would leave no doubt at all, and nothing to divide by.
    return _Belief(mean, sqrt(variance / size) + 1e-9 * (1 + abs(mean)))


def _knowledge(period: Sequence[Sums]) -> float:
    """What a period says of the differences between variants: nothing where one has no outcome."""
    if any(not one.count for one in period):
        return 0.0
    return 1 / sum(1 / one.count for one in period)


def _best(beliefs: Sequence[_Belief], more_is_better: bool) -> list[float]:
    """How likely each is the best one: its density times all others' chances to be worse, summed up."""
    points = sorted({at for belief in beliefs for at in belief.points()}, reverse=not more_is_better)
    widths = [abs(second - first) for first, second in pairwise(points)]
    densities, worse = [], []
    for belief in beliefs:
        logs = [belief.log_density(at) for at in points]
        highest = max(logs)
        density = [exp(each - highest) for each in logs]
        passed = [0.0, *accumulate(_trapezoids(density, widths))]
        densities.append([each / passed[-1] for each in density])
        worse.append([each / passed[-1] for each in passed])
    found = []
    for number, density in enumerate(densities):
        others = [chances for other, chances in enumerate(worse) if other != number]
        wins = [_product(here, at, others) for at, here in enumerate(density)]
        found.append(sum(_trapezoids(wins, widths)))
    return [each / sum(found) for each in found]


def _product(density: float, at: int, others: Sequence[Sequence[float]]) -> float:
    for chances in others:
        density *= chances[at]
    return density


def _trapezoids(heights: Sequence[float], widths: Sequence[float]) -> list[float]:
    return [width * (one + two) / 2 for width, (one, two) in zip(widths, pairwise(heights), strict=True)]


def _top_two(best: Sequence[float]) -> list[float]:
    """Half of the leader's to the leader, half to whoever is best where the leader is not."""
    shares = [_LEADER * each for each in best]
    for leader, chance in enumerate(best):
        rest = sum(each for other, each in enumerate(best) if other != leader)
        for other, each in enumerate(best):
            if other != leader:
                part = each / rest if rest else 1 / (len(best) - 1)
                shares[other] += (1 - _LEADER) * chance * part
    return shares
