"""Intervals against what they are made of, and where traffic and outcomes drift. Libraries: oracles.py."""

from math import inf, log

import pytest

from service.experiments import means, proportions
from service.experiments.intervals import (
    FEW_BOTH,
    FEW_NUMBERS,
    FEW_PART,
    difference_evidence,
    difference_interval,
    mean_interval,
    paired_interval,
)
from service.experiments.sums import Sums, count_up, sum_up

_ALPHA = 0.05


def many(count: int, mean: float, variance: float = 1.0) -> Sums:
    """So many numbers of this mean and (sample) variance."""
    return Sums(count, count * mean, variance * (count - 1) + count * mean * mean)


# ---- sums


def test_sums_of_parts_are_the_sums_of_the_whole() -> None:
    values = [0.5, 2.0, -1.0, 4.0]

    assert sum_up(values[:1]) + sum_up(values[1:]) == sum_up(values) == Sums(4, 5.5, 21.25)
    assert sum_up(values).deviations == pytest.approx(sum((value - 1.375) ** 2 for value in values))
    assert count_up(3, 10) == sum_up([1.0] * 3 + [0.0] * 7)


# ---- means


@pytest.mark.parametrize("count", [50, 1_000, 100_000])
def test_the_evidence_at_the_ends_of_an_interval_is_one_over_alpha(count: int) -> None:
    estimate = means.estimate_mean(many(count, 3.0, 2.0))
    assert estimate is not None
    reach = means.half_width(estimate, _ALPHA)

    assert means.log_evidence(estimate, 3.0 + reach) == pytest.approx(log(1 / _ALPHA))
    assert means.log_evidence(estimate, 3.0 - reach) == pytest.approx(log(1 / _ALPHA))
    assert means.log_evidence(estimate, 3.0) < 0


def test_intervals_of_very_little_reach_everywhere() -> None:
    estimate = means.estimate_mean(many(2, 0.0))
    assert estimate is not None

    assert means.half_width(estimate, 1e-4) == inf


def test_a_difference_reaches_further_than_at_one_look_and_shrinks() -> None:
    reaches = []
    for count in (200, 2_000, 20_000):
        interval = difference_interval([many(count, 1.0)], [many(count, 1.0)], False, _ALPHA)
        assert interval is not None
        reaches.append((interval.upper - interval.lower) / 2)
        at_one_look = 1.96 * (2 / count) ** 0.5
        assert 1.3 < reaches[-1] / at_one_look < 2.5
    assert reaches == sorted(reaches, reverse=True)


def test_more_traffic_for_b_when_nobody_buys_makes_b_no_worse() -> None:
    """Simpson: each period is a draw, and means over all of it differ by 24 points."""
    control = [count_up(540, 900), count_up(20, 100)]
    challenger = [count_up(60, 100), count_up(180, 900)]

    interval = difference_interval(control, challenger, True, _ALPHA)

    assert interval is not None
    assert interval.value == pytest.approx(0.0, abs=1e-12)
    assert interval.lower < 0 < interval.upper
    pooled = difference_interval([sum(control, Sums())], [sum(challenger, Sums())], True, _ALPHA)
    assert pooled is not None
    assert pooled.upper < 0


def test_periods_with_one_variant_alone_say_nothing_of_the_difference() -> None:
    alone = difference_interval([many(500, 9.0), many(300, 1.0)], [Sums(), many(300, 2.0)], False, _ALPHA)
    without = difference_interval([many(300, 1.0)], [many(300, 2.0)], False, _ALPHA)

    assert alone is not None
    assert without is not None
    assert alone.value == without.value == pytest.approx(1.0)


# ---- few


@pytest.mark.parametrize(("successes", "count"), [(0, 0), (0, 10), (3, 10), (10, 10), (19, 5_000)])
def test_an_exact_interval_ends_where_the_evidence_is_enough(successes: int, count: int) -> None:
    lower, upper = proportions.share_interval(successes, count, _ALPHA)

    assert 0 <= lower <= (successes / count if count else 0.5) <= upper <= 1
    for edge in (lower, upper):
        if 0 < edge < 1:
            evidence = proportions.log_evidence_share(successes, count, edge)
            assert evidence == pytest.approx(log(1 / _ALPHA), abs=1e-6)


def test_nothing_known_excludes_nothing() -> None:
    assert mean_interval(Sums(), True, _ALPHA) == (0.0, 1.0)
    assert mean_interval(Sums(), False, _ALPHA) is None
    assert mean_interval(many(FEW_NUMBERS - 1, 1.0), False, _ALPHA) is None
    assert mean_interval(many(FEW_NUMBERS, 1.0, 0.0), False, _ALPHA) is None
    assert difference_interval([Sums()], [count_up(1, 9)], True, _ALPHA) is None
    assert difference_interval([many(9, 0.0)], [many(900, 0.0)], False, _ALPHA) is None
    assert difference_evidence([many(9, 0.0)], [many(900, 5.0)], False) == 0.0
    assert paired_interval(Sums(), True, _ALPHA) is None
    assert paired_interval(many(9, 0.0), False, _ALPHA) is None


def test_few_that_differ_wholly_are_a_difference() -> None:
    interval = difference_interval([count_up(0, 30)], [count_up(30, 30)], True, _ALPHA)

    assert interval is not None
    assert (interval.value, interval.upper) == (1.0, 1.0)
    assert interval.lower > 0.5
    assert interval.p_value < 1e-6


def test_few_are_judged_by_any_pair_of_shares_that_differs_so() -> None:
    """What is excluded is excluded for each pair on a grid of shares, and at the edge one is not."""
    control, challenger = [count_up(4, 25)], [count_up(9, 20)]
    interval = difference_interval(control, challenger, True, _ALPHA)
    assert interval is not None

    def least(difference: float) -> float:
        pairs = ((share / 2_000, share / 2_000 + difference) for share in range(1, 2_000))
        return min(
            proportions.log_evidence_share(4, 25, one) + proportions.log_evidence_share(9, 20, two)
            for one, two in pairs
            if 0 < two < 1
        )

    enough = log(1 / (_ALPHA * FEW_PART))
    assert least(interval.upper) == pytest.approx(enough, abs=1e-3)
    assert least(interval.lower) == pytest.approx(enough, abs=1e-3)
    evidence = difference_evidence(control, challenger, True)
    assert least(0.0) == pytest.approx(evidence - log(FEW_PART), abs=1e-3)


def test_periods_that_contradict_each_other_leave_everything_open() -> None:
    none, all_of_them = count_up(0, 19), count_up(19, 19)

    interval = difference_interval([none, all_of_them], [all_of_them, none], True, _ALPHA)

    assert interval is not None
    assert (interval.lower, interval.upper) == (-1.0, 1.0)


def test_the_normal_approximation_takes_over_when_there_are_enough_of_both() -> None:
    few = mean_interval(count_up(FEW_BOTH - 1, 1_000), True, _ALPHA)
    enough = mean_interval(count_up(FEW_BOTH, 1_000), True, _ALPHA)

    assert few == proportions.share_interval(FEW_BOTH - 1, 1_000, _ALPHA * FEW_PART)
    assert enough is not None
    assert sum(enough) / 2 == pytest.approx(FEW_BOTH / 1_000)


# ---- pairs


def test_few_pairs_are_judged_by_how_many_differ_and_who_won_those() -> None:
    interval = paired_interval(Sums(200, 14.0, 14.0), True, _ALPHA)
    undecided = paired_interval(Sums(200, 0.0, 14.0), True, _ALPHA)

    assert interval is not None
    assert undecided is not None
    assert 0 < interval.lower < 0.07 < interval.upper
    assert undecided.lower < 0 < undecided.upper
    assert undecided.p_value == 1.0


def test_pairs_that_never_differ_have_a_small_difference_at_most() -> None:
    interval = paired_interval(Sums(5_000, 0.0, 0.0), True, _ALPHA)

    assert interval is not None
    assert (interval.value, interval.p_value) == (0.0, 1.0)
    assert -0.01 < interval.lower < 0 < interval.upper < 0.01


def test_the_same_rows_say_more_than_as_many_others() -> None:
    one, two = count_up(4_000, 5_000), count_up(4_150, 5_000)
    paired = paired_interval(Sums(5_000, 150.0, 250.0), True, _ALPHA)
    apart = difference_interval([one], [two], True, _ALPHA)

    assert paired is not None
    assert apart is not None
    assert paired.value == pytest.approx(apart.value)
    assert paired.upper - paired.lower < (apart.upper - apart.lower) / 2


def test_intervals_of_shares_stay_within_what_shares_can_be() -> None:
    rare, usual = count_up(20, 60), count_up(40, 60)
    alpha = 1e-9
    apart = difference_interval([rare], [usual], True, alpha)
    rows = paired_interval(Sums(60, 5.0, 45.0), True, alpha)
    numbers = difference_interval([rare], [usual], False, alpha)
    share, unbounded = mean_interval(rare, True, alpha), mean_interval(rare, False, alpha)

    assert apart is not None
    assert rows is not None
    assert numbers is not None
    assert share is not None
    assert unbounded is not None
    assert (apart.upper, rows.lower, rows.upper) == (1.0, -1.0, 1.0)
    assert (share[0], unbounded[0] < 0) == (0.0, True)
    assert numbers.upper > 1.0
