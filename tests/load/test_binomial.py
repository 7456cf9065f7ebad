from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.load.binomial import bounds


def _exact_chance(count: int, probability: float, low: int, high: int) -> Fraction:
    """The chance that `low` to `high` of `count` picks succeed."""
    exact = Fraction(probability)
    return sum(
        (
            comb(count, picks) * exact**picks * (1 - exact) ** (count - picks)
            for picks in range(low, high + 1)
        ),
        Fraction(0),
    )


@given(st.integers(1, 60), st.sampled_from([0.001, 0.01, 0.1, 0.25, 0.5, 0.9, 0.999]))
def test_bounds_are_the_quantiles_at_both_ends(count: int, probability: float) -> None:
    lower, upper = bounds(count, probability)

    tail = Fraction(25, 1000)
    assert _exact_chance(count, probability, 0, lower) >= tail
    assert _exact_chance(count, probability, 0, lower - 1) < tail
    assert _exact_chance(count, probability, 0, upper) >= 1 - tail
    assert _exact_chance(count, probability, 0, upper - 1) < 1 - tail


@pytest.mark.parametrize("count", [1_000, 100_000, 50_000_000])
def test_many_picks_have_bounds_near_two_deviations(count: int) -> None:
    lower, upper = bounds(count, 0.9)

    deviation = (count * 0.09) ** 0.5
    assert abs(lower - (0.9 * count - 1.96 * deviation)) < 0.02 * deviation + 1
    assert abs(upper - (0.9 * count + 1.96 * deviation)) < 0.02 * deviation + 1


def test_certain_things_have_no_room() -> None:
    assert bounds(100, 0.0) == (0, 0)
    assert bounds(100, 1.0) == (100, 100)
    assert bounds(0, 0.5) == (0, 0)
