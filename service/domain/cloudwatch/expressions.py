"""Metric math: arithmetic over metrics by their ids, and a few functions. All else is refused.

A value is a number, or a series: numbers by when their periods begin. Two series meet where both have a
number; what is divided by zero has none.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from service.errors import ValidationFault

MathSeries = Mapping[int, float]
MathValue = float | MathSeries | list[MathSeries]

_TOKEN: Final = re.compile(
    r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|([A-Za-z]\w*)|([-+*/^(),\[\]]))", re.ASCII
)
_MOST_LEVELS: Final = 32


@dataclass(frozen=True, slots=True)
class MathSetting:
    """What an expression may name: the series by their ids, and the periods of theirs that there are."""

    series: Mapping[str, MathSeries]
    begins: Sequence[int]


def evaluate(expression: str, setting: MathSetting) -> MathSeries:
    """The series that an expression is. Raises ValidationFault."""
    value = _Reading(expression, setting).whole()
    if isinstance(value, list):
        raise ValidationFault("it is a list of series, not one")
    if isinstance(value, Mapping):
        return value
    return dict.fromkeys(setting.begins, value) if math.isfinite(value) else {}


def names_in(expression: str) -> list[str]:
    """The ids and the functions that an expression names. Raises ValidationFault."""
    return [text for kind, text in _tokens(expression) if kind == "name"]


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    at, text = 0, expression.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValidationFault(f"{text[at:].strip()[:20]!r} is nothing that is known here")
        at = found.end()
        number, name, sign = found.groups()
        yield ("number", number) if number else ("name", name) if name else ("sign", sign)


class _Reading:
    def __init__(self, expression: str, setting: MathSetting) -> None:
        self._tokens = list(_tokens(expression))
        self._at = 0
        self._setting = setting
        self._levels = 0

    def whole(self) -> MathValue:
        value = self._sum()
        if self._at < len(self._tokens):
            raise ValidationFault(f"{self._tokens[self._at][1]!r} is one too many")
        return value

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise ValidationFault("it ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, sign: str) -> None:
        if self._next()[1] != sign:
            raise ValidationFault(f"a {sign} is missing")

    def _sum(self) -> MathValue:
        value = self._product()
        while self._peek() in ("+", "-"):
            value = _joined(self._next()[1], value, self._product())
        return value

    def _product(self) -> MathValue:
        value = self._signed()
        while self._peek() in ("*", "/"):
            value = _joined(self._next()[1], value, self._signed())
        return value

    def _signed(self) -> MathValue:
        if self._peek() in ("+", "-"):
            sign = self._next()[1]
            value = self._within(self._signed)
            return value if sign == "+" else _joined("*", -1.0, value)
        base = self._one()
        if self._peek() == "^":
            self._next()
            return _joined("^", base, self._within(self._signed))
        return base

    def _within(self, read: Callable[[], MathValue]) -> MathValue:
        self._levels += 1
        if self._levels > _MOST_LEVELS:
            raise ValidationFault("it is nested too deeply")
        value = read()
        self._levels -= 1
        return value

    def _one(self) -> MathValue:
        kind, text = self._next()
        if kind == "number":
            return float(text)
        if kind == "name":
            return self._named(text)
        if text == "(":
            value = self._within(self._sum)
            self._expect(")")
            return value
        if text == "[":
            return self._within(self._list)
        raise ValidationFault(f"{text!r} stands where a value should")

    def _list(self) -> list[MathSeries]:
        found: list[MathSeries] = []
        while True:
            value = self._sum()
            if not isinstance(value, Mapping):
                raise ValidationFault("lists are of series here")
            found.append(value)
            if self._next()[1] == "]":
                return found

    def _named(self, name: str) -> MathValue:
        if self._peek() != "(":
            if name not in self._setting.series:
                raise ValidationFault(f"there is no {name}")
            return self._setting.series[name]
        self._next()
        arguments: list[MathValue] = []
        while self._peek() != ")":
            arguments.append(self._within(self._sum))
            if self._peek() == ",":
                self._next()
        self._expect(")")
        return _call(name, arguments, self._setting)


def _joined(sign: str, left: MathValue, right: MathValue) -> MathValue:
    if isinstance(left, list) or isinstance(right, list):
        raise ValidationFault(f"{sign} is not served for lists of series")
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        pairs = {at: (left[at], right[at]) for at in left if at in right}
    elif isinstance(left, Mapping):
        pairs = {at: (one, right) for at, one in left.items()}  # type: ignore[misc]  # it is a number
    elif isinstance(right, Mapping):
        pairs = {at: (left, one) for at, one in right.items()}
    else:
        found = _calculated(sign, left, right)
        return math.nan if found is None else found
    found_of = ((at, _calculated(sign, *pair)) for at, pair in pairs.items())
    return {at: value for at, value in found_of if value is not None}


def _calculated(sign: str, left: float, right: float) -> float | None:
    try:
        value = _SIGNS[sign](left, right)
    except (ZeroDivisionError, OverflowError):
        return None
    return value if isinstance(value, float) and math.isfinite(value) else None


_SIGNS: Final = MappingProxyType[str, Callable[[float, float], float]](
    {
        "+": lambda left, right: left + right,
        "-": lambda left, right: left - right,
        "*": lambda left, right: left * right,
        "/": lambda left, right: left / right,
        "^": lambda left, right: left**right,
    }
)


# Functions


def _call(name: str, arguments: list[MathValue], setting: MathSetting) -> MathValue:
    if name == "METRICS" and not arguments:
        return list(setting.series.values())
    if name == "FILL" and len(arguments) == 2:
        return _filled(arguments[0], arguments[1], setting)
    if name in _OF_ONE and len(arguments) == 1:
        return _each(_OF_ONE[name], arguments[0])
    if name in _OVER and len(arguments) == 1:
        return _over(_OVER[name], arguments[0])
    raise ValidationFault(f"the function {name} with {len(arguments)} arguments is not served here")


def _each(function: Callable[[float], float], value: MathValue) -> MathValue:
    if isinstance(value, list):
        raise ValidationFault("lists of series are not served there")
    return {at: function(one) for at, one in value.items()} if isinstance(value, Mapping) else function(value)


def _over(function: Callable[[Sequence[float]], float], value: MathValue) -> MathValue:
    """Of one series a number, of several a series."""
    if isinstance(value, list):
        begins = sorted({at for series in value for at in series})
        return {at: function([series[at] for series in value if at in series]) for at in begins}
    if isinstance(value, Mapping):
        return function(list(value.values())) if value else math.nan
    return value


def _filled(value: MathValue, with_what: MathValue, setting: MathSetting) -> MathValue:
    if not isinstance(value, Mapping) or isinstance(with_what, Mapping | list):
        raise ValidationFault("FILL is served for a series and a number")
    return {at: value.get(at, with_what) for at in setting.begins}


_OF_ONE: Final = MappingProxyType[str, Callable[[float], float]](
    {
        "ABS": abs,
        "CEIL": lambda value: float(math.ceil(value)),
        "FLOOR": lambda value: float(math.floor(value)),
    }
)
_OVER: Final = MappingProxyType[str, Callable[[Sequence[float]], float]](
    {
        "SUM": math.fsum,
        "AVG": lambda values: math.fsum(values) / len(values),
        "MIN": min,
        "MAX": max,
    }
)

FUNCTIONS: Final = frozenset({"METRICS", "FILL", *_OF_ONE, *_OVER})
"""What expressions may call."""
