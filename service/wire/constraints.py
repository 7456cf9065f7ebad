"""A shape compiled once into a checker that words its violations as AWS does. No bytes and no JSON in here.

Sources: contract C.7. Seen in public issues besides: length before pattern
(aws-samples/sagemaker-ml-workflow-with-apache-airflow 3), "Map value must satisfy constraint: [...]"
(aws/sagemaker-python-sdk 314) and "Value at 'body'" for what must not be echoed (aws/aws-sdk-js 4203).
Map keys and list items follow the map value's example: a guess.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from types import MappingProxyType
from typing import Any

from service.errors import ValidationFault
from service.wire.pattern import compile_pattern
from service.wire.spec import Member, Shape

Checker = Callable[[Any, str], list[str]]
"""Value and its path ("" at the top) to violations, none if the value is good."""

_Elements = Callable[[Any, Iterable[tuple[str, Any]], str], list[str]]
_Rule = tuple[Callable[[Any], bool], str]

_SIZED = frozenset({"string", "blob", "list", "map"})
_NESTED = frozenset({"structure", "list", "map"})
_NULL = "Member must not be null"

# A value over its own length limit and over this one is not matched too: its violation is already known,
# and no expression should work through megabytes on a stranger's behalf. Likewise a message says how many
# violations there are, but does not repeat megabytes to whom they came from. AWS's own limits are not known.
_MAX_MATCHED_CHARS = 1024
_MAX_ECHOED_CHARS = 4096
_MAX_ECHOED_ELEMENTS = 256
_MAX_VIOLATIONS = 1000
_MAX_MESSAGE_CHARS = 65_536


def compile_checker(shape: Shape, table: dict[Shape, Checker] | None = None) -> Checker:
    """The checker of a shape; `table` keeps the checkers of shapes already met, to share among operations.

    Values are plain ones as `wire.shapes` reads them; a member that is absent or None counts as null.
    """
    table = {} if table is None else table
    known = table.get(shape)
    if known is not None:
        return known

    def forward(value: Any, path: str) -> list[str]:  # what a shape inside itself calls
        return table[shape](value, path)

    table[shape] = forward
    table[shape] = checker = _COMPILERS.get(shape.kind, _scalar)(shape, table)
    return checker


def check(checker: Checker, value: Any, path: str = "") -> None:
    """Raises: ValidationFault that lists every violation of the value."""
    try:
        violations = checker(value, path)
    except RecursionError as error:
        raise ValidationFault("The request is nested too deeply.") from error
    if violations:
        raise fault(violations)


def fault(violations: list[str]) -> ValidationFault:
    """AWS's sentence about one or more violations; of very many it lists those that come first."""
    count = len(violations)
    errors = "1 validation error" if count == 1 else f"{count} validation errors"
    text = f"{errors} detected: {'; '.join(violations[:_MAX_VIOLATIONS])}"
    return ValidationFault(_cut(text, _MAX_MESSAGE_CHARS))


def wire_path(member: str) -> str:
    """How AWS writes a member in a path: `EndpointName` is `endpointName`."""
    return member[:1].lower() + member[1:]


def _violation(subject: str, path: str, rule: str) -> str:
    return f"{subject} at '{path}' failed to satisfy constraint: {rule}"


def _nothing(value: Any, path: str) -> list[str]:
    return []


def _scalar(shape: Shape, table: dict[Shape, Checker]) -> Checker:
    rules = _rules(shape)
    if not rules:
        return _nothing
    holds = _all_hold(rules)
    echo = _echo(shape)

    def check_scalar(value: Any, path: str) -> list[str]:
        if holds(value):
            return []
        subject = echo(value)
        return [_violation(subject, path, text) for rule, text in rules if not rule(value)]

    return check_scalar


def _all_hold(rules: tuple[_Rule, ...]) -> Callable[[Any], bool]:
    """Spelled out for the usual one and two rules: this runs for every header of every request."""
    (first, _), *others = rules
    if not others:
        return first
    second = others[0][0]
    if len(others) == 1:
        return lambda value: first(value) and second(value)
    rest = [rule for rule, _ in others]
    return lambda value: first(value) and all(rule(value) for rule in rest)


def _rules(shape: Shape) -> tuple[_Rule, ...]:
    """The rules of a value itself, in AWS's order: maximum, minimum, pattern, enum."""
    rules = _size_rules(shape) if shape.kind in _SIZED else _range_rules(shape)
    pattern = shape.pattern
    if pattern is not None:
        limit = float("inf") if shape.maximum is None else max(shape.maximum, _MAX_MATCHED_CHARS)
        text = f"Member must satisfy regular expression pattern: {pattern}"
        # Compiled for its first value, and kept: to compile all patterns takes as long as to load the model.
        match = partial(_matches, pattern)
        rules.append((lambda value: len(value) > limit or match(value), text))
    if shape.enum:
        allowed = frozenset(shape.enum)
        text = f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"
        rules.append((lambda value: value in allowed, text))
    return tuple(rules)


def _matches(pattern: str, value: str) -> bool:
    return compile_pattern(pattern).match(value) is not None


def _size_rules(shape: Shape) -> list[_Rule]:
    rules: list[_Rule] = []
    maximum, minimum = shape.maximum, shape.minimum
    if maximum is not None:
        text = f"Member must have length less than or equal to {maximum}"
        rules.append((lambda value: len(value) <= maximum, text))
    if minimum is not None:
        text = f"Member must have length greater than or equal to {minimum}"
        rules.append((lambda value: len(value) >= minimum, text))
    return rules


def _range_rules(shape: Shape) -> list[_Rule]:
    rules: list[_Rule] = []
    maximum, minimum = shape.maximum, shape.minimum
    if maximum is not None:
        text = f"Member must have value less than or equal to {maximum}"
        rules.append((lambda value: value <= maximum, text))
    if minimum is not None:
        text = f"Member must have value greater than or equal to {minimum}"
        rules.append((lambda value: value >= minimum, text))
    return rules


def _elements(holder: Shape, element: Shape, words: str, table: dict[Shape, Checker]) -> _Elements:
    """Checks what a list or map holds: simple values in one sentence, others by their path."""
    child = compile_checker(element, table)
    nested = element.kind in _NESTED
    rules = _rules(element)
    rule = f"{words} must satisfy constraint: [{', '.join(text for _, text in rules)}]"
    echo = _echo(holder)

    def check_elements(value: Any, elements: Iterable[tuple[str, Any]], path: str) -> list[str]:
        found: list[str] = []
        good = True
        for tail, one in elements:
            if len(found) >= _MAX_VIOLATIONS:
                break
            if one is None:
                found.append(_violation("Value null", f"{path}.{tail}", _NULL))
            elif nested:
                found += child(one, f"{path}.{tail}")
            else:
                good = good and not child(one, "")
        if not good:
            found.insert(0, _violation(echo(value), path, rule))
        return found

    return check_elements


def _list(shape: Shape, table: dict[Shape, Checker]) -> Checker:
    own = _scalar(shape, table)
    items = _elements(shape, shape.item.shape, "Member", table)
    most = None if shape.maximum is None else int(shape.maximum)

    def check_list(value: Any, path: str) -> list[str]:
        # Items beyond the list's limit were not even read: the list itself is refused.
        numbered = ((f"{index}.member", one) for index, one in enumerate(islice(value, most), 1))
        return own(value, path) + items(value, numbered, path)

    return check_list


def _map(shape: Shape, table: dict[Shape, Checker]) -> Checker:
    own = _scalar(shape, table)
    keys = _elements(shape, shape.key.shape, "Map keys", table)
    values = _elements(shape, shape.value.shape, "Map value", table)

    def check_map(value: Any, path: str) -> list[str]:
        found = own(value, path) + keys(value, ((key, key) for key in value), path)
        return found + values(value, ((f"{key}.member", one) for key, one in value.items()), path)

    return check_map


def _structure(shape: Shape, table: dict[Shape, Checker]) -> Checker:
    entries = [
        (member.name, wire_path(member.name), member.name in shape.required, checker)
        for member, checker in _member_checkers(shape, table)
        if member.name in shape.required or checker is not _nothing
    ]
    if not entries:
        return _nothing

    def check_structure(value: Any, path: str) -> list[str]:
        found: list[str] = []
        prefix = f"{path}." if path else ""
        for name, tail, required, checker in entries:
            one = value.get(name)
            if one is not None:
                found += checker(one, prefix + tail)
            elif required:
                found.append(_violation("Value null", prefix + tail, _NULL))
        return found

    return check_structure


def _member_checkers(shape: Shape, table: dict[Shape, Checker]) -> Iterator[tuple[Member, Checker]]:
    for member in shape.members.values():
        yield member, compile_checker(member.shape, table)


def _echo(shape: Shape) -> Callable[[Any], str]:
    """How a violation begins; what is sensitive, or holds something sensitive, is not repeated."""
    if _is_secret(shape, set()):
        return lambda value: "Value"
    return lambda value: f"Value '{_cut(_render(value), _MAX_ECHOED_CHARS)}'"


def _is_secret(shape: Shape, seen: set[Shape]) -> bool:
    if shape in seen:
        return False
    seen.add(shape)
    return (
        shape.sensitive
        or shape.kind == "blob"
        or any(_is_secret(member.shape, seen) for member in shape.members.values())
    )


def _render(value: Any) -> str:
    """A value as Java prints it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        entries = islice(value.items(), _MAX_ECHOED_ELEMENTS)
        return "{" + ", ".join(f"{key}={_render(one)}" for key, one in entries) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_render, islice(value, _MAX_ECHOED_ELEMENTS))) + "]"
    return "null" if value is None else str(value)


def _cut(text: str, most_chars: int) -> str:
    return text if len(text) <= most_chars else text[: most_chars - 1] + "…"


_COMPILERS: Mapping[str, Callable[[Shape, dict[Shape, Checker]], Checker]] = MappingProxyType(
    {"structure": _structure, "list": _list, "map": _map}
)
