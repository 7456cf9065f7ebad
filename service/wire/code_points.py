"""Sets of code points, and the names that AWS (Java) patterns give them. Used by pattern.py only.

A set is a sorted tuple of inclusive, disjoint, non-adjacent ranges.
"""

import unicodedata
from collections.abc import Iterable
from functools import cache

CodePoints = tuple[tuple[int, int], ...]

LAST = 0x10FFFF

# Planes that hold assigned characters. The rest is private use (planes 15 and 16, for good) or unassigned
# (4 to 13, says Unicode's roadmap); to look at it all would take four times as long.
_SCANNED = (range(0x40000), range(0xE0000, 0xE1000))
_UNSCANNED = {
    "Cn": ((0x40000, 0xDFFFF), (0xE1000, 0xEFFFF), (0xFFFFE, 0xFFFFF), (0x10FFFE, 0x10FFFF)),
    "Co": ((0xF0000, 0xFFFFD), (0x100000, 0x10FFFD)),
}

_DIGIT = ((0x30, 0x39),)
_UPPER = ((0x41, 0x5A),)
_LOWER = ((0x61, 0x7A),)
_PUNCT = ((0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E))

# Source: java.util.regex.Pattern, "POSIX character classes (US-ASCII only)"; L1 and all are in its code only.
_NAMED: dict[str, CodePoints] = {
    "Lower": _LOWER,
    "Upper": _UPPER,
    "Alpha": _UPPER + _LOWER,
    "Digit": _DIGIT,
    "Alnum": _DIGIT + _UPPER + _LOWER,
    "Punct": _PUNCT,
    "Graph": ((0x21, 0x7E),),
    "Print": ((0x20, 0x7E),),
    "Blank": ((0x09, 0x09), (0x20, 0x20)),
    "Cntrl": ((0x00, 0x1F), (0x7F, 0x7F)),
    "XDigit": ((0x30, 0x39), (0x41, 0x46), (0x61, 0x66)),
    "Space": ((0x09, 0x0D), (0x20, 0x20)),
    "ASCII": ((0x00, 0x7F),),
    "L1": ((0x00, 0xFF),),
    "all": ((0x00, LAST),),
}

# Source: java.util.regex.Pattern, "Predefined character classes"; of ASCII unless a flag says otherwise.
PREDEFINED: dict[str, CodePoints] = {
    "d": _DIGIT,
    "w": ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)),
    "s": _NAMED["Space"],
    "h": (
        *((0x09, 0x09), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x180E, 0x180E)),
        *((0x2000, 0x200A), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000)),
    ),
    "v": ((0x0A, 0x0D), (0x85, 0x85), (0x2028, 0x2029)),
}

LINE_ENDS: CodePoints = ((0x0A, 0x0A), (0x0D, 0x0D), (0x85, 0x85), (0x2028, 0x2029))


def union(*sets: CodePoints) -> CodePoints:
    """Everything that is in any of the sets."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(pair for ranges in sets for pair in ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def complement(ranges: CodePoints) -> CodePoints:
    """Everything that is not in the set."""
    missing: list[tuple[int, int]] = []
    start = 0
    for low, high in ranges:
        if start < low:
            missing.append((start, low - 1))
        start = high + 1
    if start <= LAST:
        missing.append((start, LAST))
    return tuple(missing)


def intersection(*sets: CodePoints) -> CodePoints:
    """Everything that is in all of the sets."""
    return complement(union(*map(complement, sets)))


def named(name: str) -> CodePoints:
    r"""The set that `\p{name}` stands for: a POSIX class, `L1`, `all` or a category (also after `Is`).

    Raises: ValueError for scripts, blocks and binary properties: the standard library does not know them.
    """
    known = _NAMED.get(name)
    if known is not None:
        return known
    category = name.removeprefix("Is")
    groups = {"LC": ("Lu", "Ll", "Lt"), "LD": ("L", "Nd")}.get(category, (category,))
    found = union(
        *(ranges for key, ranges in _categories().items() for group in groups if key.startswith(group))
    )
    if not category or not found:
        raise ValueError(f"unknown character class {name!r}")
    return found


@cache
def _categories() -> dict[str, CodePoints]:
    """Every general category as a set; some 40 ms, spent when the first pattern names one."""
    found: dict[str, list[tuple[int, int]]] = {key: list(ranges) for key, ranges in _UNSCANNED.items()}
    for scanned in _SCANNED:
        start, current = scanned.start, unicodedata.category(chr(scanned.start))
        for point in scanned:
            category = unicodedata.category(chr(point))
            if category != current:
                found.setdefault(current, []).append((start, point - 1))
                start, current = point, category
        found.setdefault(current, []).append((start, scanned.stop - 1))
    return {key: union(tuple(ranges)) for key, ranges in found.items()}


def write_class(ranges: Iterable[tuple[int, int]]) -> str:
    """The set as a bracket expression of Python's `re`; one that never matches if the set is empty."""
    inside = "".join(
        _escaped(low) if low == high else f"{_escaped(low)}-{_escaped(high)}" for low, high in ranges
    )
    return f"[{inside}]" if inside else "(?!)"


def _escaped(point: int) -> str:
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"
