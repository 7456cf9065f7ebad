import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.user_shares import LENGTH, Parts, UserShares, place_of, share_out

IDS = 100_000
weight = st.one_of(st.just(0.0), st.sampled_from([1.0, 9.0, 1e-9, 1e300]), st.floats(0, 1000))
weights = st.lists(weight, min_size=1, max_size=6).map(
    lambda given: [(f"v{i}", w) for i, w in enumerate(given)]
)


def lengths(parts: Parts) -> dict[str, int]:
    found: dict[str, int] = {}
    begin = 0
    for end, name in parts:
        found[name] = found.get(name, 0) + end - begin
        begin = end
    return found


def owner(parts: Parts, place: int) -> str:
    return next(name for end, name in parts if place < end)


@given(st.lists(weights, min_size=1, max_size=5))
def test_whoever_grows_or_stays_keeps_every_user_through_all_changes(
    changes: list[list[tuple[str, float]]],
) -> None:
    parts: Parts = ()
    for wanted in changes:
        before, parts = parts, share_out(wanted, parts)
        had, has = lengths(before), lengths(parts)
        ends = sorted({0, *(end for end, _ in before), *(end for end, _ in parts)} - {LENGTH})
        for place in ends if before and parts else ():  # owners change nowhere else
            name = owner(before, place)
            if has.get(name, 0) >= had[name]:
                assert owner(parts, place) == name


@given(weights, weights)
def test_shares_are_those_of_the_weights_whatever_was_before(
    first: list[tuple[str, float]], second: list[tuple[str, float]]
) -> None:
    parts = share_out(second, share_out(first))

    whole = sum(Fraction(w) for _, w in second)
    if not whole:
        assert parts == ()
        return
    assert parts[-1][0] == LENGTH
    assert all(one[0] < two[0] and one[1] != two[1] for one, two in pairwise(parts))
    for name, wanted in second:
        assert abs(lengths(parts).get(name, 0) / LENGTH - Fraction(wanted) / whole) <= 1e-9


def test_the_parts_of_a_variant_stay_few_through_many_changes() -> None:
    parts: Parts = ()
    for step in range(500):
        parts = share_out(
            [(name, 1 + math.sin(step * (at + 1)) ** 2) for at, name in enumerate("abcde")], parts
        )

    assert len(parts) < 40


def test_users_are_spread_as_chance_would_spread_them() -> None:
    shares = UserShares("iris", [("a", 90.0), ("b", 9.0), ("c", 1.0)])

    picked = [shares.pick(b"user-%d" % number) for number in range(IDS)]

    for name, share in (("a", 0.9), ("b", 0.09), ("c", 0.01)):
        assert abs(picked.count(name) - IDS * share) < 4 * math.sqrt(IDS * share * (1 - share))


def test_a_user_stands_elsewhere_on_the_line_of_another_endpoint() -> None:
    apart = [
        place_of("iris", b"%d" % each) / LENGTH - place_of("shop", b"%d" % each) / LENGTH
        for each in range(999)
    ]

    assert abs(sum(apart) / len(apart)) < 0.06
    assert sum(abs(one) < 0.01 for one in apart) < 60
    assert place_of("iris", b"anna") == 3_016_183_591  # also in the next release: users stay where they are


@pytest.mark.parametrize("weights", [[], [("a", 0.0)], [("a", 0.0), ("b", 0.0)]])
def test_without_weight_nobody_has_users(weights: list[tuple[str, float]]) -> None:
    assert UserShares("iris", weights).pick(b"anna") is None
