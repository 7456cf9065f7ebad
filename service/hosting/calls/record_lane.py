"""Calls that bring records, or rows with words and gaps, answered together by programs that take such.

Each body is read by itself, by the usual reader, into rows as the program takes them; what it does not take,
and whatever is wrong with a body, goes the usual way. Rows of several calls are one prediction only as the
model says that it changes nobody's answer.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from service.errors import NotAcceptable
from service.hosting.host import Answer, Call, Model, Outcome
from service.hosting.joinable import Joinable
from service.hosting.programs.compiled import Joined, Quick
from service.media.codec import Accept, choose_accept, decode, encode
from service.media.types import CSV

_MOST_ROWS = 256


def record_lane_of(model: Model, joinable: Joinable, call: Call) -> "RecordLane | None":
    """The lane of calls like `call`; None where they bring plain numbers, or no program answers them."""
    if not joinable.coded or (call.content_type == CSV and joinable.takes.numbers):
        return None
    try:
        accept = choose_accept(call.accept, default=model.traits.default_accept)
    except NotAcceptable:  # the usual way says so
        return None
    quick = joinable.quick_for(accept)
    return None if quick is None else RecordLane(model, joinable, call, accept, quick)


class RecordLane:
    """Calls with the same headers. Outdated once its `verdict` is no longer that of `compiling`."""

    __slots__ = (
        "_accept",
        "_call",
        "_joinable",
        "_joined",
        "_model",
        "_quick",
        "_takes",
        "compiling",
        "verdict",
    )

    def __init__(self, model: Model, joinable: Joinable, call: Call, accept: Accept, quick: Quick) -> None:
        """For calls like `call`, which accept `accept`, whatever their bodies; `quick` takes coded rows."""
        self.compiling = model.traits.compiling
        self.verdict = model.traits.compiling.verdict
        self._model = model
        self._joinable = joinable
        self._call = call
        self._accept = accept
        self._quick = quick
        self._takes = joinable.takes
        self._joined = joinable.joined(accept)

    def answer(self, bodies: Sequence[bytes]) -> list[Outcome]:
        """What each call gets."""
        if len(bodies) == 1 or self._joined is None:
            return [self._one(body) for body in bodies]
        outcomes: list[Outcome | None] = [None] * len(bodies)
        groups: dict[int, list[tuple[int, Any]]] = {}
        for place, body in enumerate(bodies):
            rows = self._read(body)
            if rows is not None and len(rows) <= _MOST_ROWS and self._quick.holds(rows):
                each = 0 if self._joined is Joined.ROWS else len(rows)
                groups.setdefault(each, []).append((place, rows))
        for each, group in groups.items():
            if each < 2 or self._joined is Joined.EQUALS:
                self._answer_group(each, group, outcomes)
        return [
            self._one(body) if outcome is None else outcome
            for body, outcome in zip(bodies, outcomes, strict=True)
        ]

    def _answer_group(self, each: int, group: list[tuple[int, Any]], outcomes: list[Outcome | None]) -> None:
        """Fill in the outcomes of calls of `each` rows, or with 0 of any number; None are asked alone."""
        rows = np.concatenate([rows for _, rows in group])
        prediction = self._quick.answer_stack(rows, each) if each else self._quick.answer_plain(rows)
        if type(prediction) is not np.ndarray or len(prediction) != len(rows):
            return
        start = 0
        for place, own in group:
            end = start + len(own)
            outcomes[place] = self._encoded(prediction[start:end])
            start = end

    def _one(self, body: bytes) -> Outcome:
        rows = self._read(body)
        prediction = None if rows is None else self._quick(rows)
        if prediction is not None:
            return self._encoded(prediction)
        try:
            return self._model.answer(self._call.with_body(body))
        except Exception as error:  # the edge of one call
            return error

    def _read(self, body: bytes) -> Any | None:
        """Rows (n, features) as the program takes them; None where they have to go the usual way."""
        try:
            data = decode(body, self._call.content_type, self._takes)
        except Exception:  # the usual way says what is wrong
            return None
        return self._joinable.code(data)

    def _encoded(self, prediction: Any) -> Outcome:
        media_type = self._accept.media_type
        try:
            return Answer(encode(prediction, media_type), media_type)
        except Exception as error:  # the edge of one call
            return error

    def takes_rows(self, calls: int) -> bool:
        """Never: it reads bodies itself."""
        return False

    def answer_rows(self, rows: Any, bodies: Sequence[bytes], *, plain: bool = True) -> None:
        """Each has to be answered alone."""
