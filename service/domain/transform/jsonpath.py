"""The JSONPath subset of batch transform (contract D.5), compiled once into a function.

What is read: `$`, `.name`, `.*`, `[*]`, `['a','b']`, `[1]`, `[1,3,-1]`, `[2:5]`, `[0,5:]`; a dot may precede
a bracket. Two slices in a bracket are read, and refused at the first record, as by AWS (contract Z.40).
No filters, no recursion, no paths inside a bracket.
What comes back is as the library that AWS names (JsonPath for Java) answers: one value for a path that can
only meet one; an object for several names at the end of such a path; else the list of all that was met.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from service.errors import PathError

_NAME: Final = re.compile(r"[^\s.\[\]'\"*$,:()?@]+")
_QUOTED: Final = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
_INTEGER: Final = re.compile(r"-?[0-9]{1,9}")
_SLICE: Final = re.compile(r"(-?[0-9]{1,9})?\s*:\s*(-?[0-9]{1,9})?")
_ESCAPE: Final = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class _Names:
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Indexes:
    indexes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Slice:
    part: slice


@dataclass(frozen=True, slots=True)
class _Wildcard:
    pass


@dataclass(frozen=True, slots=True)
class _Mixed:
    """Numbers and one slice; unlike a slice alone, this one must begin within the list."""

    parts: tuple[int | slice, ...]


@dataclass(frozen=True, slots=True)
class _Unsupported:
    """What may be asked for, and fails."""

    reason: str


_Step = _Names | _Indexes | _Slice | _Wildcard | _Mixed | _Unsupported


@dataclass(frozen=True, slots=True)
class Path:
    """A path that is read once and then applied to each record."""

    text: str
    _steps: tuple[_Step, ...]

    @property
    def is_whole(self) -> bool:
        """Whether it is `$`, which changes nothing."""
        return not self._steps

    @property
    def fits_rows(self) -> bool:
        """Whether it makes sense for a row of CSV: nothing, or one bracket of columns."""
        return self.is_whole or (len(self._steps) == 1 and not isinstance(self._steps[0], _Names))

    def find(self, document: Any) -> Any:
        """The part of a parsed JSON document. Raises PathError where an explicit name or index is missing."""
        values, single = [document], True
        for position, step in enumerate(self._steps):
            if isinstance(step, _Names) and len(step.names) > 1 and position == len(self._steps) - 1:
                merged = [dict(zip(step.names, _met(step, value), strict=True)) for value in values]
                return merged[0] if single else merged
            single = single and _meets_one(step)
            values = [met for value in values for met in _met(step, value)]
        return values[0] if single else values

    def columns(self, width: int) -> list[int]:
        """The columns of a row of `width` that a path for rows picks, in its order, from 0.

        Raises PathError where a column is out of range.
        """
        columns = list(range(width))
        return columns if self.is_whole else _met(self._steps[0], columns)


def compile_path(text: str, *, inclusive_slices: bool = False) -> Path:
    """Compile a path. Raises PathError.

    `inclusive_slices`: AWS's page says that the end of a slice belongs to it, the library that the page names
    leaves it out. Nobody has shown which of them batch transform does; left out is the default.
    """
    if not text.startswith("$"):
        raise PathError("a path begins with $")
    steps, at = [], 1
    while at < len(text):
        dotted = text[at] == "."
        at += dotted
        if text[at : at + 1] == "[":
            step, at = _read_bracket(text, at + 1, inclusive_slices)
        elif dotted:
            step, at = _read_child(text, at)
        else:
            raise PathError(f"{text[at:]!r} cannot follow {text[:at]!r}")
        steps.append(step)
    return Path(text, tuple(steps))


def slice_bounds(start: int | None, end: int | None, inclusive: bool) -> slice:
    """The slice `[start:end]` of a path, its end as `compile_path` explains."""
    if not inclusive or end is None:
        return slice(start, end)
    return slice(start, end + 1 if end != -1 else None)


def _meets_one(step: _Step) -> bool:
    if isinstance(step, _Names):
        return len(step.names) == 1
    return isinstance(step, _Indexes) and len(step.indexes) == 1


def _met(step: _Step, value: Any) -> list[Any]:
    match step:
        case _Names(names):
            if not isinstance(value, dict):
                raise PathError(f"{names[0]!r} is asked of what is no object")
            missing = next((name for name in names if name not in value), None)
            if missing is not None:
                raise PathError(f"there is no {missing!r}")
            return [value[name] for name in names]
        case _Wildcard():
            if isinstance(value, dict):
                return list(value.values())
            return list(_elements(value))
        case _Slice(part):
            return list(_elements(value)[part])
        case _Indexes(indexes):
            return [_element(_elements(value), index) for index in indexes]
        case _Mixed(parts):
            return [element for part in parts for element in _part(_elements(value), part)]
        case _Unsupported(reason):
            raise PathError(reason)


def _part(elements: list[Any], part: int | slice) -> list[Any]:
    if isinstance(part, int):
        return [_element(elements, part)]
    if part.start is not None:
        _element(elements, part.start)
    return elements[part]


def _element(elements: list[Any], index: int) -> Any:
    if not -len(elements) <= index < len(elements):
        raise PathError(f"there is no element {index}: there are {len(elements)}, counted from 0")
    return elements[index]


def _elements(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise PathError("an element is asked of what is no list")
    return value


def _read_child(text: str, at: int) -> tuple[_Step, int]:
    if text[at : at + 1] == "*":
        return _Wildcard(), at + 1
    name = _NAME.match(text, at)
    if name is None:
        raise PathError(f"a name, * or a bracket must follow {text[:at]!r}")
    return _Names((name[0],)), name.end()


def _read_bracket(text: str, at: int, inclusive: bool) -> tuple[_Step, int]:
    close = _closing(text, at)
    inner = text[at:close].strip()
    if inner == "*":
        return _Wildcard(), close + 1
    parts = list(_parts(inner))
    numbers = [_numbers(part, inclusive) for part in parts]
    if parts and None not in numbers:
        return _positions(text, inner, [number for number in numbers if number is not None]), close + 1
    quoted = [_QUOTED.fullmatch(part) for part in parts]
    if not parts or None in quoted:
        raise PathError(f"[{inner}] is neither names in quotes, nor numbers, nor a slice, nor *")
    return _Names(tuple(_ESCAPE.sub(r"\1", part[1:-1]) for part in parts)), close + 1


def _numbers(part: str, inclusive: bool) -> int | slice | None:
    if _INTEGER.fullmatch(part):
        return int(part)
    bounds = _SLICE.fullmatch(part)
    if bounds is None:
        return None
    start, end = (None if bound is None else int(bound) for bound in bounds.groups())
    return slice_bounds(start, end, inclusive)


def _positions(text: str, inner: str, numbers: list[int | slice]) -> _Step:
    slices = [number for number in numbers if isinstance(number, slice)]
    if not slices:
        return _Indexes(tuple(number for number in numbers if isinstance(number, int)))
    if len(numbers) == 1:
        return _Slice(slices[0])
    if len(slices) == 1:
        return _Mixed(tuple(numbers))
    return _Unsupported(
        f"Invalid JsonPath: {text}: only single range filters of format (eg: [1:5]) are supported. "
        f"Format [{inner}] is not supported"
    )


def _closing(text: str, at: int) -> int:
    """Where the bracket that was opened before `at` closes; quotes may hold brackets."""
    while at < len(text) and text[at] != "]":
        quoted = _QUOTED.match(text, at)
        at = quoted.end() if quoted else at + 1
    if at >= len(text):
        raise PathError("a bracket is not closed")
    return at


def _parts(inner: str) -> Iterator[str]:
    """What stands between the commas of a bracket; quotes may hold commas."""
    start = at = 0
    while at < len(inner):
        quoted = _QUOTED.match(inner, at)
        if quoted:
            at = quoted.end()
        elif inner[at] == ",":
            yield inner[start:at].strip()
            start = at = at + 1
        else:
            at += 1
    yield inner[start:].strip()
