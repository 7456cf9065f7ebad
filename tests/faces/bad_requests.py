"""Control-plane requests that nobody may accept, made up from a seed; the bench sends them too.

Most are legal requests of a random operation with one thing made wrong.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from service.wire.shapes import compile_writer
from service.wire.spec import Operation, Service, Shape
from tests.wire.legal_values import LegalValues

_INVALID, _UNREADABLE = "ValidationException", "SerializationException"
_UNKNOWN, _TOO_LARGE = "UnknownOperationException", "RequestEntityTooLargeException"
_OTHER_TYPE = {"structure": 7, "list": "x", "map": [], "string": {}, "boolean": "yes", "timestamp": [True]}


@dataclass(frozen=True)
class BadRequest:
    """What is sent to POST /, what is wrong with it, and the code that it must earn."""

    fault: str
    target: str | None
    body: bytes
    code: str


def bad_requests(service: Service, count: int, seed: int) -> Iterator[BadRequest]:
    """`count` requests, the same for the same seed."""
    maker = _Maker(service, random.Random(seed))
    for _ in range(count):
        yield maker.make()


class _Maker:
    def __init__(self, service: Service, chance: random.Random) -> None:
        self._random = chance
        self._prefix = service.target_prefix
        self._operations = [operation for operation in service.operations.values() if _members(operation)]
        self._faults: list[Callable[[Operation], BadRequest | None]] = [
            self._no_target,
            self._unknown_target,
            self._cut_off,
            self._not_text,
            self._not_an_object,
            self._nested,
            self._twice,
            self._half_a_character,
            self._too_large,
            self._without_required,
            self._of_other_type,
            self._huge_number,
            self._too_long,
            self._out_of_range,
            self._not_listed,
            self._of_wrong_pattern,
        ]

    def make(self) -> BadRequest:
        made = None
        while made is None:  # not every operation has what a fault needs
            made = self._random.choice(self._faults)(self._random.choice(self._operations))
        return made

    def _legal(self, operation: Operation) -> dict[str, Any]:
        values = LegalValues(self._random.randrange(10**6), lean=self._random.random() < 0.7)
        shape = _input(operation)
        legal: dict[str, Any] = compile_writer(shape)(values.value(shape))
        return legal

    def _request(
        self, fault: str, operation: Operation, body: bytes | dict[str, Any], code: str
    ) -> BadRequest:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        return BadRequest(fault, f"{self._prefix}.{operation.name}", sent, code)

    def _with_member(
        self, fault: str, operation: Operation, code: str, wrong: Callable[[Shape], Any]
    ) -> BadRequest | None:
        """A member of the request is replaced; `wrong` returns None where it has nothing to say."""
        members = [(name, wrong(member.shape)) for name, member in _input(operation).members.items()]
        candidates = [(name, value) for name, value in members if value is not None]
        if not candidates:
            return None
        name, value = self._random.choice(candidates)
        return self._request(fault, operation, self._legal(operation) | {name: value}, code)

    # Faults of the envelope

    def _no_target(self, operation: Operation) -> BadRequest:
        return BadRequest("no target", None, json.dumps(self._legal(operation)).encode(), _UNKNOWN)

    def _unknown_target(self, operation: Operation) -> BadRequest:
        name = operation.name
        targets = (
            f"{self._prefix}.{name}s",
            f"AmazonSSM.{name}",
            name,
            f"{self._prefix}.",
            f".{name}",
            "x" * 9000,
        )
        return BadRequest("unknown target", self._random.choice(targets), b"{}", _UNKNOWN)

    def _too_large(self, operation: Operation) -> BadRequest:
        return self._request("too large", operation, {"x": "y" * 3_000_000}, _TOO_LARGE)

    # Faults of the text

    def _cut_off(self, operation: Operation) -> BadRequest:
        body = json.dumps(self._legal(operation)).encode()
        return self._request("cut off", operation, body[: self._random.randrange(1, len(body))], _UNREADABLE)

    def _not_text(self, operation: Operation) -> BadRequest:
        return self._request("not text", operation, b"\xff" + self._random.randbytes(300), _UNREADABLE)

    def _not_an_object(self, operation: Operation) -> BadRequest:
        body = self._random.choice(
            (b"[]", b"null", b"7", b'"text"', b"NaN", b"'{}'", b"{}{}", b"\xef\xbb\xbf{}")
        )
        return self._request("not an object", operation, body, _UNREADABLE)

    def _nested(self, operation: Operation) -> BadRequest:
        opening = self._random.choice((b"[", b'{"a":'))
        body = b'{"x":' + opening * self._random.randrange(5000, 50_000)
        return self._request("nested too deeply", operation, body, _UNREADABLE)

    def _twice(self, operation: Operation) -> BadRequest:
        body = json.dumps(self._legal(operation) | {"x": 1})[:-1] + ', "x": 2}'
        return self._request("a name twice", operation, body.encode(), _UNREADABLE)

    def _half_a_character(self, operation: Operation) -> BadRequest:
        body = self._legal(operation) | {"x": "\ud800"}
        return self._request("half a character", operation, body, _UNREADABLE)

    # Faults of members

    def _without_required(self, operation: Operation) -> BadRequest | None:
        required = _input(operation).required
        if not required:
            return None
        body = self._legal(operation)
        del body[self._random.choice(required)]
        return self._request("a required member is missing", operation, body, _INVALID)

    def _of_other_type(self, operation: Operation) -> BadRequest | None:
        return self._with_member(
            "a wrong type", operation, _UNREADABLE, lambda shape: _OTHER_TYPE.get(shape.kind, "seven")
        )

    def _huge_number(self, operation: Operation) -> BadRequest | None:
        numbers = {"integer", "long", "float", "double", "timestamp"}
        request = self._with_member(
            "a huge number", operation, _UNREADABLE, lambda shape: "HUGE" if shape.kind in numbers else None
        )
        if request is None:
            return None
        huge = self._random.choice((b"1e999", b"9" * 4000, b"-" + b"9" * 100_000))
        return BadRequest(request.fault, request.target, request.body.replace(b'"HUGE"', huge), request.code)

    def _too_long(self, operation: Operation) -> BadRequest | None:
        extra = self._random.choice((1, 2, 1000, 30_000, 300_000))
        letter = self._random.choice("a0-/ .é\u2028")
        return self._with_member(
            "too long a text",
            operation,
            _INVALID,
            lambda shape: (
                letter * (int(shape.maximum) + extra)
                if shape.kind == "string" and shape.maximum is not None and shape.maximum < 10_000
                else None
            ),
        )

    def _out_of_range(self, operation: Operation) -> BadRequest | None:
        return self._with_member(
            "a number out of its range",
            operation,
            _INVALID,
            lambda shape: (
                shape.maximum + 1
                if shape.kind == "integer" and shape.maximum is not None and shape.maximum < 2**31 - 1
                else None
            ),
        )

    def _not_listed(self, operation: Operation) -> BadRequest | None:
        return self._with_member(
            "no value of the list", operation, _INVALID, lambda shape: "no such" if shape.enum else None
        )

    def _of_wrong_pattern(self, operation: Operation) -> BadRequest | None:
        return self._with_member(
            "a wrong pattern",
            operation,
            _INVALID,
            # Not every pattern forbids this; those that ask for a letter first do.
            lambda shape: "-\x00" if (shape.pattern or "").startswith("[a-zA-Z0-9]") else None,
        )


def _input(operation: Operation) -> Shape:
    assert operation.input is not None
    return operation.input


def _members(operation: Operation) -> bool:
    return operation.input is not None and bool(operation.input.members)
