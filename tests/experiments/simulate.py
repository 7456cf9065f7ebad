"""Many simulated experiments, looked at after every outcome: what the verdicts and alarms promise, counted.

`python tests/experiments/simulate.py` prints it for 2,000 experiments of each kind, in about two minutes of
one processor; `--experiments`, `--outcomes` and `--seed` change that. So many looks are only possible as
arrays: formulas.py finds the look at which each experiment is nearest to a decision, and whether anything is
decided there is what the code itself says of the sums of that look.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":  # as a program it has only its own folder on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from service.experiments.shares import ALARM, Picks, mismatch_p_value
from service.experiments.verdict import ALPHA, Question, judge
from tests.experiments.formulas import (
    Array,
    Running,
    difference_evidence,
    first_beyond,
    gbstats_evidence,
    mean_evidence,
    mismatch_evidence,
    run_up,
)

Random = np.random.Generator
Draw = Callable[[Random, tuple[int, int]], Array]
"""Outcomes of so many experiments (rows), one after the other (columns)."""

_PART = 50  # experiments at a time: their arrays stay in the processor's cache for the better part
_NEAR = 0.05  # of evidence: what is no nearer to a decision cannot be one by a rounding


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


def simulate(case: Case, experiments: int, outcomes: int, random: Random) -> tuple[Running, Running]:
    """Control and challenger of so many experiments, at all looks."""
    shape = (experiments, outcomes)
    period = np.arange(outcomes) * len(case.shares) // outcomes
    chosen = random.random(shape) < np.array(case.shares)[period]
    values = case.draw(random, shape)
    inside = period[None, :] == np.arange(len(case.shares))[:, None]  # (periods, looks)
    return run_up(values, ~chosen, inside, case.binary), run_up(values, chosen, inside, case.binary)


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
        evidence = difference_evidence(one, two, case.binary)
        alarms += sum(_says_winner(case, one, two, *at) for at in _nearest(evidence, ALPHA))
        if case.mean is not None:
            evidence = mean_evidence(two, case.mean, case.binary)
            missed += sum(_leaves_out(case, one, two, *at) for at in _nearest(evidence, ALPHA))
    return Promise(experiments, alarms, missed)


def _nearest(evidence: Array, alpha: float) -> Iterator[tuple[int, int]]:
    """Experiment and look where each is nearest to a decision, if that may be one."""
    for experiment, look in enumerate(evidence.argmax(axis=1).tolist()):
        if evidence[experiment, look] > log(1 / alpha) - _NEAR:
            yield experiment, look


def _verdict(case: Case, one: Running, two: Running, experiment: int, look: int) -> dict[str, Any]:
    outcomes = {"A": one.sums(experiment, look), "B": two.sums(experiment, look)}
    return judge(Question("A", case.binary), outcomes)


def _says_winner(case: Case, one: Running, two: Running, experiment: int, look: int) -> bool:
    verdict = _verdict(case, one, two, experiment, look)
    return verdict["comparisons"][0]["decision"] in ("better", "worse")


def _leaves_out(case: Case, one: Running, two: Running, experiment: int, look: int) -> bool:
    challenger = _verdict(case, one, two, experiment, look)["variants"][1]
    return challenger["lower"] is not None and not challenger["lower"] <= case.mean <= challenger["upper"]


@dataclass(frozen=True, slots=True)
class Contest:
    """Outcomes of both, of which the challenger's are better."""

    name: str
    control: Draw
    challenger: Draw
    binary: bool


CONTESTS = (
    Contest("shares of 50 and 55 %", share(0.50), share(0.55), True),
    Contest("shares of 80 and 84 %", share(0.80), share(0.84), True),
    Contest("shares of 5 and 7 %", share(0.05), share(0.07), True),
    Contest("normal, a tenth of a deviation apart", normal(5.0, 2.0), normal(5.2, 2.0), False),
    Contest("lognormal, 8 % apart", lognormal(0.75), lambda *how: 1.08 * lognormal(0.75)(*how), False),
)


@dataclass(frozen=True, slots=True)
class Power:
    """How many experiments were decided in time, and after how many outcomes (all of them if never), mean."""

    decided: int
    outcomes: float


def count_power(contest: Contest, experiments: int, outcomes: int, seed: int) -> tuple[Power, Power]:
    """Ours and gbstats', of the same experiments that end with so many outcomes."""
    ours: list[int | None] = []
    theirs: list[int | None] = []
    for part in _parts(experiments, seed):
        one, two = contend(contest, part.experiments, outcomes, part.random)
        evidence = difference_evidence(one, two, contest.binary)
        case = Case(contest.name, contest.control, contest.binary, None)
        for experiment, look in enumerate(first_beyond(evidence, log(1 / ALPHA))):
            won = look is not None and _says_winner(case, one, two, experiment, look)
            ours.append(look if won else None)
        theirs.extend(first_beyond(gbstats_evidence(one, two, ALPHA), log(1 / ALPHA)))
    return _power(ours, outcomes), _power(theirs, outcomes)


def contend(contest: Contest, experiments: int, outcomes: int, random: Random) -> tuple[Running, Running]:
    """Control and challenger of so many experiments, at all looks; each gets every second outcome."""
    shape = (experiments, outcomes)
    chosen = random.random(shape) < 0.5
    values = np.where(chosen, contest.challenger(random, shape), contest.control(random, shape))
    inside = np.ones((1, outcomes), dtype=bool)
    return (
        run_up(values, ~chosen, inside, contest.binary),
        run_up(values, chosen, inside, contest.binary),
    )


def _power(looks: Sequence[int | None], outcomes: int) -> Power:
    decided = [look + 1 for look in looks if look is not None]
    waited = sum(decided) + outcomes * (len(looks) - len(decided))
    return Power(len(decided), waited / len(looks))


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


def picks_at(sharing: Sharing, chosen: Array, picks: int) -> list[Picks]:
    """What was picked in each period that has begun, by the variants of all requests until now."""
    periods = []
    length = picks // len(sharing.periods)
    for number, weights in enumerate(sharing.periods):
        mine = chosen[number * length : (number + 1) * length]
        counts = {name: int((mine == variant).sum()) for variant, name in enumerate(weights)}
        periods.append(Picks(weights, counts))
    return periods


def count_sharing(sharing: Sharing, experiments: int, picks: int, seed: int) -> int:
    """In how many experiments it was ever told that weights are not kept."""
    alarms = 0
    picks -= picks % len(sharing.periods)
    for part in _parts(experiments, seed):
        chosen, shares = simulate_picks(sharing, part.experiments, picks, part.random)
        for experiment, look in _nearest(mismatch_evidence(chosen, shares), ALARM):
            seen = picks_at(sharing, chosen[experiment, : look + 1], picks)
            alarms += mismatch_p_value(seen) < ALARM
    return alarms


def main() -> None:
    """Print what came of all kinds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=2_000)
    parser.add_argument("--outcomes", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    sizes = (asked.experiments, asked.outcomes, asked.seed)
    print(f"{sizes[0]:,} experiments between equals, a look after each of {sizes[1]:,} outcomes")
    for case in CASES:
        found = count_case(case, *sizes)
        missed = "" if case.mean is None else f", coverage {1 - found.missed / found.experiments:.2%}"
        print(f"  {case.name}: false winners {found.alarms / found.experiments:.2%}{missed}", flush=True)
    print("Shares held against weights, a look after every request")
    for sharing in SHARINGS:
        alarms = count_sharing(sharing, *sizes)
        print(f"  {sharing.name}: alarms {alarms / asked.experiments:.2%}", flush=True)
    print("B is better, a look after every outcome: decided in time, and after how many outcomes")
    for contest in CONTESTS:
        ours, theirs = count_power(contest, *sizes)
        print(
            f"  {contest.name}: {ours.decided / sizes[0]:.1%} after {ours.outcomes:,.0f}; gbstats "
            f"{theirs.decided / sizes[0]:.1%} after {theirs.outcomes:,.0f} (ours: "
            f"{ours.decided / max(1, theirs.decided):.2f} times the power, "
            f"{ours.outcomes / theirs.outcomes:.2f} times the outcomes)",
            flush=True,
        )


if __name__ == "__main__":
    main()
