"""A few of the simulated experiments of simulate.py, which prints 2,000 of each kind; and its formulas."""

from math import exp

import numpy as np
import pytest

from service.experiments import intervals
from service.experiments.shares import mismatch_p_value
from service.experiments.sums import Sums
from tests.experiments.formulas import difference_evidence, mean_evidence, mismatch_evidence
from tests.experiments.simulate import (
    CASES,
    CONTESTS,
    SHARINGS,
    Case,
    Contest,
    Sharing,
    count_case,
    count_power,
    count_sharing,
    picks_at,
    simulate,
    simulate_picks,
)

_EXPERIMENTS = 100
_LOOKS = 400


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_of_equals_looked_at_after_every_outcome_hardly_one_wins(case: Case) -> None:
    found = count_case(case, _EXPERIMENTS, _LOOKS, seed=1)

    assert found.alarms <= 10  # of 100 with a chance of 5 %
    assert found.missed <= 10


@pytest.mark.parametrize("sharing", SHARINGS, ids=lambda sharing: sharing.name)
def test_kept_weights_are_hardly_ever_an_alarm(sharing: Sharing) -> None:
    alarms = count_sharing(sharing, _EXPERIMENTS, 8 * _LOOKS if sharing.lost else _LOOKS, seed=1)

    assert alarms >= 10 if sharing.lost else alarms <= 4


@pytest.mark.parametrize("contest", CONTESTS, ids=lambda contest: contest.name)
def test_what_is_better_is_found_nearly_as_often_as_gbstats_finds_it(contest: Contest) -> None:
    ours, theirs = count_power(contest, _EXPERIMENTS, 3_000, seed=1)

    assert ours.decided >= 0.8 * theirs.decided


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_formulas_of_the_simulation_are_those_of_the_code(case: Case) -> None:
    one, two = simulate(case, 3, 1_500, np.random.default_rng(2))
    evidence = difference_evidence(one, two, case.binary)
    for look in (5, 40, 300, 1_100, 1_499):
        for experiment in range(3):
            control, challenger = one.sums(experiment, look), two.sums(experiment, look)
            ours = intervals.difference_evidence(control, challenger, case.binary)
            assert evidence[experiment, look] == pytest.approx(ours, abs=1e-8)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.mean is not None], ids=lambda case: case.name
)
def test_an_interval_leaves_out_the_mean_that_the_simulation_has_evidence_against(case: Case) -> None:
    assert case.mean is not None
    _, two = simulate(case, 3, 1_500, np.random.default_rng(3))
    evidence = mean_evidence(two, case.mean, case.binary)
    for look in (40, 300, 1_499):
        for experiment in range(3):
            whole = sum(two.sums(experiment, look), Sums())
            alpha = exp(-evidence[experiment, look] - 1e-6)
            if alpha < 1 and (found := intervals.mean_interval(whole, case.binary, alpha)):
                assert found[0] <= case.mean <= found[1]
            alpha = exp(-evidence[experiment, look] + 1e-3)
            if alpha < 1 and (found := intervals.mean_interval(whole, case.binary, alpha)):
                assert not found[0] <= case.mean <= found[1]


@pytest.mark.parametrize("sharing", SHARINGS, ids=lambda sharing: sharing.name)
def test_the_alarm_of_the_simulation_is_that_of_the_code(sharing: Sharing) -> None:
    chosen, shares = simulate_picks(sharing, 2, 900, np.random.default_rng(4))
    evidence = mismatch_evidence(chosen, shares)
    for look in (0, 100, 500, 899):
        for experiment in range(2):
            ours = mismatch_p_value(picks_at(sharing, chosen[experiment, : look + 1], 900))
            assert min(1.0, exp(-evidence[experiment, look])) == pytest.approx(ours, rel=1e-6)
