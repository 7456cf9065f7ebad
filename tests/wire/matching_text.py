"""Text that a regular expression matches, made up from a seed; the parser of `re` reads the expression."""

import importlib
import random
import re
from collections.abc import Iterable
from typing import Any

# No public way leads to a parsed expression; hypothesis goes this one too.
_PARSER: Any = importlib.import_module("re._parser")
# Letters first: what a client would rather write than punctuation.
_ALPHABET = [chr(point) for point in (*range(97, 123), *range(48, 58), *range(65, 91), *range(32, 127), 233)]
_TRIES = 300


def matching_texts(pattern: re.Pattern[str], shortest: float, longest: float) -> set[str]:
    """A few texts that `pattern` matches, within the lengths; empty if none was found.

    Anchors and what looks around are not read; what they would forbid is thrown away afterwards.
    """
    parsed = _PARSER.parse(pattern.pattern, re.ASCII)
    found: set[str] = set()
    for seed in range(_TRIES):
        text = _Writer(random.Random(seed), seed).write(parsed)
        if shortest <= len(text) <= longest and pattern.match(text) is not None:
            found.add(text)
        if len(found) == 3 or (found and seed > 10):
            break
    return found


class _Writer:
    def __init__(self, chance: random.Random, patience: int) -> None:
        self._random = chance
        self._more = patience  # later tries repeat more, for texts that were too short

    def write(self, parsed: Iterable[tuple[Any, Any]]) -> str:
        return "".join(self._write_one(str(kind), what) for kind, what in parsed)

    def _write_one(self, kind: str, what: Any) -> str:
        match kind:
            case "LITERAL":
                return chr(what)
            case "NOT_LITERAL":
                return "a" if what != ord("a") else "b"
            case "IN":
                return self._random.choice(_members(tuple(what)))
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                fewest, most, inside = what
                times = min(int(most), int(fewest) + self._random.randint(0, 2 + self._more // 4))
                return "".join(self.write(inside) for _ in range(times))
            case "SUBPATTERN":
                return self.write(what[3])
            case "ATOMIC_GROUP":
                return self.write(what)
            case "BRANCH":
                return self.write(self._random.choice(what[1]))
            case _:
                return ""


def _members(items: tuple[tuple[Any, Any], ...]) -> str:
    kinds = [(str(kind), what) for kind, what in items]
    negated = kinds[0][0] == "NEGATE"
    ranges = [(what, what) if kind == "LITERAL" else what for kind, what in kinds if kind != "NEGATE"]
    held = [one for one in _ALPHABET if negated != any(low <= ord(one) <= high for low, high in ranges)]
    return "".join(held) or chr(ranges[0][0])
