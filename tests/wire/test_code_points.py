import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.wire import code_points as points

_RANGES = st.lists(
    st.tuples(st.integers(0, 300), st.integers(0, 40)).map(lambda pair: (pair[0], pair[0] + pair[1]))
).map(lambda ranges: points.union(tuple(ranges)))


def _members(ranges: points.CodePoints) -> set[int]:
    return {point for low, high in ranges for point in range(low, min(high, 400) + 1)}


@settings(deadline=None, derandomize=True)
@given(_RANGES, _RANGES)
def test_sets_behave_as_sets(left: points.CodePoints, right: points.CodePoints) -> None:
    everything = set(range(401))
    assert _members(points.union(left, right)) == _members(left) | _members(right)
    assert _members(points.intersection(left, right)) == _members(left) & _members(right)
    assert _members(points.complement(left)) == everything - _members(left)
    assert points.complement(points.complement(left)) == left


def test_the_scan_misses_no_category() -> None:
    by_category: dict[str, list[int]] = {}
    for point in range(0, points.LAST + 1, 7):
        by_category.setdefault(unicodedata.category(chr(point)), []).append(point)
    for category, expected in by_category.items():
        ranges = points.named(category)
        members = re.compile(points.write_class(ranges))
        assert all(members.match(chr(point)) for point in expected), category
    sizes = sum(high - low + 1 for group in "LMNPSZC" for low, high in points.named(group))
    assert sizes == points.LAST + 1


def test_an_empty_set_matches_nothing() -> None:
    empty = points.complement(points.named("all"))
    assert empty == ()
    assert re.compile(points.write_class(empty)).match("x") is None


@pytest.mark.parametrize("name", ["IsLatin", "InGreek", "", "Is", "javaLowerCase"])
def test_what_the_standard_library_does_not_know_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="unknown character class"):
        points.named(name)
