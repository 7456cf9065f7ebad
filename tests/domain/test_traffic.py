import math
import random
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.domain.traffic import Traffic

LARGEST_BELOW_ONE = math.nextafter(1.0, 0.0)
SUBNORMAL = 5e-324
HUGE = 1.7e308

Weights = list[tuple[str, float]]

weight = st.one_of(
    st.just(0.0),
    st.sampled_from([-0.0, SUBNORMAL, HUGE, 1.0, 0.1]),
    st.floats(min_value=0.0, allow_nan=False, allow_infinity=False),
)
weights = st.lists(weight, max_size=10).map(lambda given: [(f"v{i}", w) for i, w in enumerate(given)])
number = st.one_of(
    st.sampled_from([0.0, SUBNORMAL, 0.5, LARGEST_BELOW_ONE]),
    st.floats(min_value=0.0, max_value=1.0, exclude_max=True),
)


def edges_of(traffic: Traffic[str]) -> dict[str, float]:
    """The measure of the numbers that each variant owns, found by bisection on pick alone."""
    owned: dict[str, float] = {}
    start = 0.0
    while start < 1.0:
        owner = traffic.pick(start)
        assert owner is not None
        low, high = start, 1.0
        while (middle := (low + high) / 2) not in (low, high):
            low, high = (middle, high) if traffic.pick(middle) == owner else (low, middle)
        assert owner not in owned, "a variant owns one stretch of numbers, not two"
        owned[owner] = high - start
        start = high
    return owned


@given(weights, number)
@example([("a", SUBNORMAL), ("b", HUGE)], 0.0)
@example([("a", 0.0), ("b", 1.0), ("c", 0.0)], LARGEST_BELOW_ONE)
@example([("a", HUGE), ("b", HUGE), ("c", 0.0)], LARGEST_BELOW_ONE)
@example([("a", SUBNORMAL), ("b", 0.0)], LARGEST_BELOW_ONE)
def test_weight_zero_gets_no_traffic_for_any_number(given_weights: Weights, n: float) -> None:
    picked = Traffic(given_weights).pick(n)

    assert picked is None or dict(given_weights)[picked] > 0


@given(weights, number)
def test_a_pick_is_none_only_if_no_variant_has_weight(given_weights: Weights, n: float) -> None:
    picked = Traffic(given_weights).pick(n)

    assert (picked is None) == all(w == 0 for _, w in given_weights)


@given(weights, number)
def test_the_same_number_always_picks_the_same_variant(given_weights: Weights, n: float) -> None:
    assert Traffic(given_weights).pick(n) == Traffic(list(given_weights)).pick(n)


@given(weights.filter(lambda given: any(w for _, w in given)))
def test_each_variant_owns_its_share_of_the_numbers(given_weights: Weights) -> None:
    traffic = Traffic(given_weights)
    total = sum(Fraction(w) for _, w in given_weights)

    owned = edges_of(traffic)

    for name, w in given_weights:
        # Both ends of a stretch are rounded once, each by at most half a unit in the last place below 1.
        assert abs(Fraction(owned.get(name, 0.0)) - Fraction(w) / total) <= Fraction(2**-52)


@given(weights)
def test_shares_are_weights_over_their_sum(given_weights: Weights) -> None:
    shares = Traffic(given_weights).shares()
    total = sum(Fraction(w) for _, w in given_weights)

    assert list(shares) == [name for name, _ in given_weights]
    assert dict(shares) == {name: float(Fraction(w) / total) if total else 0.0 for name, w in given_weights}
    assert math.fsum(shares.values()) == pytest.approx(1.0 if total else 0.0)


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (0.0, "a"),
        (math.nextafter(0.25, 0.0), "a"),
        (0.25, "b"),
        (math.nextafter(0.75, 0.0), "b"),
        (0.75, "c"),
        (LARGEST_BELOW_ONE, "c"),
    ],
)
def test_a_share_starts_where_the_one_before_it_ends(n: float, expected: str) -> None:
    assert Traffic([("a", 1), ("b", 2), ("c", 1)]).pick(n) == expected


def test_huge_weights_share_without_overflow() -> None:
    traffic = Traffic([("a", HUGE), ("b", HUGE), ("c", HUGE), ("d", HUGE)])

    assert set(traffic.shares().values()) == {0.25}
    assert [traffic.pick(n) for n in (0.0, 0.25, 0.5, 0.75)] == ["a", "b", "c", "d"]


def test_subnormal_weights_share_without_underflow() -> None:
    traffic = Traffic([("a", SUBNORMAL), ("b", 3 * SUBNORMAL)])

    assert dict(traffic.shares()) == {"a": 0.25, "b": 0.75}


@pytest.mark.parametrize("given_weights", [[], [("a", 0.0)], [("a", 0.0), ("b", -0.0)]])
def test_without_any_weight_nothing_is_picked_and_nothing_shared(given_weights: Weights) -> None:
    traffic = Traffic(given_weights)

    assert [traffic.pick(n) for n in (0.0, 0.5, LARGEST_BELOW_ONE)] == [None, None, None]
    assert set(traffic.shares().values()) <= {0.0}


@pytest.mark.parametrize("bad", [-1.0, -SUBNORMAL, math.nan, math.inf, -math.inf])
def test_a_weight_that_is_no_finite_number_of_at_least_zero_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="weight of variant b"):
        Traffic([("a", 1.0), ("b", bad)])


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="variant a appears twice"):
        Traffic([("a", 1.0), ("a", 1.0)])


def test_shares_can_not_be_changed() -> None:
    shares = Traffic([("a", 1.0)]).shares()

    with pytest.raises(TypeError):
        shares["a"] = 0.0  # type: ignore[index]  # the point of the test


def test_random_numbers_fall_on_variants_as_a_binomial_draw_would() -> None:
    traffic = Traffic([("a", 9.0), ("off", 0.0), ("b", 1.0)])
    draw = random.Random(20260102)
    draws = 100_000

    picked = [traffic.pick(draw.random()) for _ in range(draws)]

    deviation = math.sqrt(draws * 0.1 * 0.9)
    assert abs(picked.count("b") - 0.1 * draws) < 4 * deviation
    assert picked.count("off") == 0
    assert picked.count("a") + picked.count("b") == draws
