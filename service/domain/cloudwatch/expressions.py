"""Metric math: arithmetic over metrics by their ids, and a few functions. All else is refused.

A value is a number, or a series: numbers by when their periods begin. Two series meet where both have a
number; what is divided by zero, or comes to no number that is finite, has none.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from service.errors import ValidationFault

MathSeries = Mapping[int, float]
MathValue = float | MathSeries | list[MathSeries]

_TOKEN: Final = re.compile(
    r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|([A-Za-z]\w*)|([-+*/^(),\[\]]))", re.ASCII
)
_MOST_LEVELS: Final = 32
_MOST_STEPS: Final = 2_000_000  # twenty for each datapoint of the largest question


class MathBudget:
    """How many numbers may still be calculated for one question, whatever its expressions are."""

    def __init__(self, most: int = _MOST_STEPS) -> None:
        self._most = most
        self._left = most

    def spend(self, steps: int) -> None:
        """Say so before that much is done. Raises ValidationFault: it is too much."""
        if steps > self._left:
            raise ValidationFault(f"it takes more than {self._most:,} steps: datapoints times operations")
        self._left -= steps


@dataclass(frozen=True, slots=True)
class MathSetting:
    """What an expression may name, the series by their ids; the periods that there are; what it may cost."""

    series: Mapping[str, MathSeries]
    begins: Sequence[int]
    budget: MathBudget = field(default_factory=MathBudget)


def evaluate(expression: str, setting: MathSetting) -> MathSeries:
    """The series that an expression is. Raises ValidationFault."""
    value = _Reading(expression, setting).whole()
    if isinstance(value, list):
        raise ValidationFault("it is a list of series, not one")
    if isinstance(value, Mapping):
        return value
    setting.budget.spend(len(setting.begins))
    return dict.fromkeys(setting.begins, value) if math.isfinite(value) else {}


def names_in(expression: str) -> list[str]:
    """The ids and the functions that an expression names. Raises ValidationFault."""
    return [text for kind, text in _tokens(expression) if kind == "name"]


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    at, text = 0, expression.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            unknown = text[at:].strip()
            if unknown[0] in "'\"":
                raise ValidationFault("what takes text in quotes, such as SEARCH, is not served")
            raise ValidationFault(f"{unknown[:20]!r} is nothing that is known here")
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
            value = self._joined(self._next()[1], value, self._product())
        return value

    def _product(self) -> MathValue:
        value = self._signed()
        while self._peek() in ("*", "/"):
            value = self._joined(self._next()[1], value, self._signed())
        return value

    def _signed(self) -> MathValue:
        if self._peek() in ("+", "-"):
            sign = self._next()[1]
            value = self._within(self._signed)
            return value if sign == "+" else self._joined("*", -1.0, value)
        base = self._one()
        if self._peek() == "^":
            self._next()
            return self._joined("^", base, self._within(self._signed))
        return base

    def _joined(self, sign: str, left: MathValue, right: MathValue) -> MathValue:
        self._setting.budget.spend(_size(left) + _size(right))
        return _joined(sign, left, right)

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
            return _number(float, text)
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
        fills = len(self._setting.begins) if name == "FILL" else 0
        self._setting.budget.spend(sum(map(_size, arguments)) + fills)
        return _call(name, arguments, self._setting)


def _size(value: MathValue) -> int:
    """How many numbers it is made of; a list is work even where its series are empty."""
    if isinstance(value, list):
        return sum(len(series) + 1 for series in value)
    return len(value) if isinstance(value, Mapping) else 1


def _joined(sign: str, left: MathValue, right: MathValue) -> MathValue:
    if isinstance(left, list) or isinstance(right, list):
        raise ValidationFault(f"{sign} is not served for lists of series")
    function = _SIGNS[sign]
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        pairs = {at: (left[at], right[at]) for at in left if at in right}
    elif isinstance(left, Mapping):
        pairs = {at: (one, right) for at, one in left.items()}  # type: ignore[misc]  # it is a number
    elif isinstance(right, Mapping):
        pairs = {at: (left, one) for at, one in right.items()}
    else:
        return _number(function, left, right)
    return _finite((at, _number(function, *pair)) for at, pair in pairs.items())


def _number(function: Callable[..., float], *arguments: object) -> float:
    """What a function comes to; NaN where that is no number, is endless, or cannot be said."""
    try:
        value = function(*arguments)
    except (ArithmeticError, ValueError):
        return math.nan
    return value if isinstance(value, float) and math.isfinite(value) else math.nan


def _finite(values: Iterable[tuple[int, float]]) -> MathSeries:
    """The datapoints that are numbers: no series has others."""
    return {at: value for at, value in values if math.isfinite(value)}


_SIGNS: Final = MappingProxyType[str, Callable[[float, float], float]](
    {
        "+": lambda left, right: left + right,
        "-": lambda left, right: left - right,
        "*": lambda left, right: left * right,
        "/": lambda left, right: left / right,
        "^": lambda left, right: math.nan if math.isnan(left + right) else left**right,  # 1 to any power is 1
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
    if isinstance(value, Mapping):
        return _finite((at, _number(function, one)) for at, one in value.items())
    return _number(function, value)


def _over(function: Callable[[Sequence[float]], float], value: MathValue) -> MathValue:
    """Of one series a number, of several a series."""
    if isinstance(value, list):
        found: dict[int, list[float]] = {}
        for series in value:
            for at, one in series.items():
                found.setdefault(at, []).append(one)
        return _finite((at, _number(function, found[at])) for at in sorted(found))
    if isinstance(value, Mapping):
        return _number(function, list(value.values())) if value else math.nan
    return value


def _filled(value: MathValue, with_what: MathValue, setting: MathSetting) -> MathValue:
    if not isinstance(value, Mapping) or isinstance(with_what, Mapping | list):
        raise ValidationFault("FILL is served for a series and a number")
    return _finite((at, value.get(at, with_what)) for at in setting.begins)


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
