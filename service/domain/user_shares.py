"""Which users each variant has: parts of a line on which every user has a place, always the same one.

When weights change, the parts of variants that shrink are given to those that grow, and nothing else moves:
nobody leaves a variant whose share grows or stays. Shares that are computed from weights alone cannot promise
that for more than two variants (Bavarian and others, "The Optimality of Correlated Sampling", 2016), so the
parts of before are kept with the fleet.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from hashlib import blake2b
from itertools import groupby, pairwise

LENGTH = 1 << 32
"""How long the line is, in whole units."""

Parts = tuple[tuple[int, str], ...]
"""Where each part ends, and whose it is: from 0 to LENGTH. () of variants without any weight."""

_Stretch = tuple[int, int, str]
"""From, to, whose."""


def place_of(endpoint: str, user: bytes) -> int:
    """Where a user stands on the line of an endpoint: on those of two endpoints at unrelated places."""
    digest = blake2b(b"%b\0%b" % (endpoint.encode("utf-8", "replace"), user), digest_size=4).digest()
    return int.from_bytes(digest)


def share_out(weights: Sequence[tuple[str, float]], before: Parts = ()) -> Parts:
    """The parts of variants of these weights, as little as possible away from those of `before`."""
    wanted = _lengths(weights)
    if not wanted:
        return ()
    kept, free = _give_up(_stretches(before) or [(0, LENGTH, "")], wanted)
    return _joined([*kept, *_take_up(free, kept, wanted)])


def _lengths(weights: Sequence[tuple[str, float]]) -> dict[str, int]:
    """The whole units of each variant that has weight: LENGTH together, none without any."""
    exact = {name: Fraction(weight) for name, weight in weights if weight > 0}
    whole = sum(exact.values(), Fraction(0))
    ends, lengths = Fraction(0), {}
    for name, weight in exact.items():
        begin = round(ends / whole * LENGTH)
        ends += weight
        lengths[name] = round(ends / whole * LENGTH) - begin
    return {name: length for name, length in lengths.items() if length}


def _stretches(parts: Parts) -> list[_Stretch]:
    return [(begin, end, name) for (begin, _), (end, name) in pairwise([(0, ""), *parts])]


def _give_up(
    stretches: Sequence[_Stretch], wanted: Mapping[str, int]
) -> tuple[list[_Stretch], list[tuple[int, int]]]:
    """What each keeps, and what is free: of what is too much the smallest stretches, so as to have few."""
    kept, free = [], []
    for name in {name: None for _, _, name in stretches}:
        own = sorted((each for each in stretches if each[2] == name), key=lambda each: each[1] - each[0])
        too_much = sum(end - begin for begin, end, _ in own) - wanted.get(name, 0)
        for begin, end, _ in own:
            given = min(max(too_much, 0), end - begin)
            too_much -= given
            if given:
                free.append((end - given, end))
            if given < end - begin:
                kept.append((begin, end - given, name))
    return kept, sorted(free)


def _take_up(
    free: Sequence[tuple[int, int]], kept: Sequence[_Stretch], wanted: Mapping[str, int]
) -> Iterator[_Stretch]:
    """What is free, given to those who have less than they should, in their order."""
    missing = dict(wanted)
    for begin, end, name in kept:
        missing[name] -= end - begin
    takers = iter([(name, length) for name, length in missing.items() if length])
    name, length = next(takers, ("", 0))
    for begin, end in free:
        while begin < end:
            taken = min(length, end - begin)
            yield begin, begin + taken, name
            begin, length = begin + taken, length - taken
            if not length:
                name, length = next(takers, ("", 0))


def _joined(stretches: Sequence[_Stretch]) -> Parts:
    """Neighbours of one owner as one part."""
    owners = groupby(sorted(stretches), key=lambda each: each[2])
    return tuple((max(end for _, end, _ in own), name) for name, own in owners)


class UserShares:
    """The parts of one endpoint's line, laid out when the first user comes."""

    __slots__ = ("_before", "_endpoint", "_ends", "_names", "_weights")

    def __init__(self, endpoint: str, weights: Sequence[tuple[str, float]], parts: Parts = ()) -> None:
        """`parts` are those that are kept with the fleet, () if they are as weights alone have them."""
        self._endpoint = endpoint
        self._weights = tuple(weights)
        self._before = parts
        self._ends: list[int] | None = None
        self._names: list[str] = []

    def pick(self, user: bytes) -> str | None:
        """The variant that has a user; None if no variant has any weight."""
        if self._ends is None:
            parts = self._before or share_out(self._weights)
            self._names = [name for _, name in parts]
            self._ends = [end for end, _ in parts]
        if not self._names:
            return None
        return self._names[bisect_right(self._ends, place_of(self._endpoint, user))]
