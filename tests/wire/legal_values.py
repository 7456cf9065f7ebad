"""Values that a model allows, made up from a seed: what a well-behaved client might send or be answered."""

import random
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from service.wire.pattern import compile_pattern
from service.wire.spec import Shape
from tests.wire.matching_text import matching_texts

_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
_MAX_DEPTH = 6
_CANDIDATES = ("a", "a-1", "Some text: é", "/opt/ml/x", "s3://bucket/key", "arn:aws:iam::123456789012:role/r")


class LegalValues:
    """Draws values; `lean` leaves out what is not required."""

    def __init__(self, seed: int, *, lean: bool = False) -> None:
        self._random = random.Random(seed)
        self._lean = lean

    def value(self, shape: Shape, depth: int = 0) -> Any:
        """A value of a shape, as `wire.shapes` reads it."""
        match shape.kind:
            case "structure":
                return self._structure(shape, depth)
            case "list":
                return [self.value(shape.item.shape, depth + 1) for _ in range(self._count(shape, depth))]
            case "map":
                keys = {self._text(shape.key.shape) for _ in range(self._count(shape, depth))}
                return {key: self.value(shape.value.shape, depth + 1) for key in sorted(keys)}
            case "string":
                return self._text(shape)
            case "boolean":
                return self._random.random() < 0.5
            case "blob":
                return self._random.randbytes(8)
            case "timestamp":
                return _EPOCH + timedelta(seconds=self._random.randrange(10**8))
            case _:
                return self._number(shape)

    def _structure(self, shape: Shape, depth: int) -> dict[str, Any]:
        names = list(shape.members)
        if shape.union:
            names = [name for name in names if not _holds(shape.members[name].shape, shape)] or names
            names = [self._random.choice(names)]
        elif self._lean or depth > _MAX_DEPTH:
            names = list(shape.required)
        return {name: self.value(shape.members[name].shape, depth + 1) for name in names}

    def _count(self, shape: Shape, depth: int) -> int:
        fewest = int(shape.minimum or 0)
        most = fewest + 3 if shape.maximum is None else int(shape.maximum)
        if self._lean or depth > _MAX_DEPTH:
            return fewest
        wanted = self._random.choice((1, 1, 2)) if depth < 4 else 1
        return max(fewest, min(wanted, most))

    def _number(self, shape: Shape) -> float:
        low = 0 if shape.minimum is None else shape.minimum
        high = low + 1000 if shape.maximum is None else shape.maximum
        if shape.kind in {"float", "double"}:
            return round(self._random.uniform(low, high), 2)
        return self._random.randint(int(low), int(high))

    def _text(self, shape: Shape) -> str:
        if shape.enum:
            return self._random.choice(shape.enum)
        return self._random.choice(_texts(shape.pattern, shape.minimum or 0, shape.maximum))


def _holds(shape: Shape, wanted: Shape, seen: frozenset[Shape] = frozenset()) -> bool:
    if shape is wanted:
        return True
    return shape not in seen and any(
        _holds(member.shape, wanted, seen | {shape}) for member in shape.members.values()
    )


@cache
def _texts(pattern: str | None, shortest: float, longest: float | None) -> tuple[str, ...]:
    most = float("inf") if longest is None else longest

    def allowed(text: str) -> bool:
        matches = pattern is None or compile_pattern(pattern).match(text) is not None
        return shortest <= len(text) <= most and matches

    found = set(filter(allowed, (*_CANDIDATES, "a" * int(shortest))))
    if pattern is not None and len(found) < 3:
        found |= matching_texts(compile_pattern(pattern), shortest, most)
    assert found, f"no example of {pattern} of {shortest} to {longest} characters"
    return tuple(sorted(found))
