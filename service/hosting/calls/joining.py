"""Several calls answered by one prediction; each gets what it would get alone.

Calls are joined that bring as many columns and ask the model for the same, in the way of which the model says
that it changes nobody's answer. What cannot be joined (records, rows with nan or infinity), or fails joined,
is answered call by call, so that a bad row is the matter of its own call only. Who may be joined, and when,
is the batcher's business.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.errors import ModelFault, NotAcceptable
from service.hosting.calls.record_lane import record_lane_of
from service.hosting.calls.text_lane import text_lane_of
from service.hosting.host import Answer, Call, Model, Outcome, ShortWay
from service.hosting.joinable import Joinable
from service.hosting.programs.compiled import Joined, Quick
from service.hosting.programs.domain import is_plain
from service.media.codec import OUTPUTS, Accept, choose_accept, decode, encode
from service.media.csv_numbers import read_csv_quickly
from service.media.csv_quick import count_newlines
from service.media.digits import write_digits
from service.media.types import CSV, JSON

MOST_ROWS = 2048
"""Rows that are joined; a call that brings more by itself is answered by itself."""

# Of bodies that are read as one, about: more of them stay in no cache, and large ones have another reader.
_MOST_BYTES = 20_000
_MOST_LABELS = 256
_LARGE_BYTES = 4000  # from here on newlines are counted in another way


@dataclass(frozen=True, slots=True)
class _Part:
    """One call among others: its place, its rows (n, features) and what it accepts."""

    place: int
    rows: Any
    accept: Accept


def answer_together(model: Joinable, calls: Sequence[Call], default_accept: str) -> list[Outcome]:
    """What each call gets; a fault of one is none of the others'. Blocking."""
    outcomes: list[Outcome | None] = [None] * len(calls)
    parts: list[_Part] = []
    for place, call in enumerate(calls):
        try:
            accept = choose_accept(call.accept, default=default_accept)
            parts.append(_Part(place, decode(call.body, call.content_type, model.takes), accept))
        except Exception as error:  # the edge of one call
            outcomes[place] = _told(error)
    for group in _groups(model, parts):
        for part, outcome in zip(group, _answer_group(model, group), strict=True):
            outcomes[part.place] = outcome
    return [outcome for outcome in outcomes if outcome is not None]


class _LabelAnswers(dict[int, Answer]):
    """The answers to one row that are whole numbers, as JSON. Labels are few, so they are written once."""

    def __missing__(self, label: int) -> Answer:
        answer = Answer(b"[%d]" % label, JSON)
        if len(self) < _MOST_LABELS:
            self[label] = answer
        return answer


class Lane:
    """Calls with the same headers, answered by one loaded model in the fewest steps, on the event loop.

    Bodies of plain CSV are read as one, and answered by one prediction where the model joins calls; all
    others go the usual way, which decides what is right and words what is wrong. A lane is outdated once its
    `verdict` is no longer that of `compiling`.
    """

    __slots__ = (
        "_accept",
        "_answers",
        "_call",
        "_csv",
        "_default_accept",
        "_features",
        "_joinable",
        "_joined",
        "_json",
        "_model",
        "_predict",
        "_quick",
        "_stacks",
        "compiling",
        "verdict",
    )

    def __init__(self, model: Model, joinable: Joinable, call: Call) -> None:
        """For calls like `call`, whatever their bodies are; `joinable` is the model's."""
        traits = model.traits
        self.compiling = traits.compiling
        self.verdict = traits.compiling.verdict
        self._model = model
        self._joinable = joinable
        self._default_accept = traits.default_accept
        self._call = call
        self._predict = joinable.predict
        self._joined = traits.joined(call.accept)
        self._stacks = self._joined is not Joined.ROWS
        self._csv = call.content_type == CSV and joinable.takes.numbers
        self._features = joinable.features
        self._quick: Quick | None = None
        self._answers = _LabelAnswers()
        try:
            self._accept = choose_accept(call.accept, default=traits.default_accept)
            self._json = self._accept.media_type == JSON
            self._quick = joinable.quick_for(self._accept)
        except NotAcceptable:  # the usual way says so
            self._csv = False

    def answer(self, bodies: Sequence[bytes]) -> list[Outcome]:
        """What each call gets."""
        if len(bodies) > 1 and self._joined is None:
            return [outcome for body in bodies for outcome in self._answer([body])]
        if len(bodies) * len(bodies[0]) <= _MOST_BYTES:  # mostly they are of about one length
            return self._answer(bodies)
        each = max(1, _MOST_BYTES // len(bodies[0]))
        return [
            outcome
            for start in range(0, len(bodies), each)
            for outcome in self._answer(bodies[start : start + each])
        ]

    def _answer(self, bodies: Sequence[bytes]) -> list[Outcome]:
        outcomes = self._answer_rows(bodies) if self._csv else None
        if outcomes is not None:
            return outcomes
        if len(bodies) == 1:
            return [self._alone(bodies[0])]
        calls = [self._call.with_body(body) for body in bodies]
        return answer_together(self._joinable, calls, self._default_accept)

    def _answer_rows(self, bodies: Sequence[bytes]) -> list[Outcome] | None:
        together = bodies[0] if len(bodies) == 1 else b"\n".join(bodies)
        rows = read_csv_quickly(together) if len(together) <= 2 * _MOST_BYTES else None
        if rows is None:
            return None
        plain = is_plain(rows)
        return self.answer_rows(rows, bodies, plain=plain) if plain or len(bodies) == 1 else None

    def answer_rows(self, rows: Any, bodies: Sequence[bytes], *, plain: bool = True) -> list[Outcome] | None:
        """What each call gets for its part of rows (n, features); None if each has to be answered alone."""
        quick, prediction, each = self._quick, None, 0
        if len(bodies) > 1 and self._stacks:
            each = 1 if len(rows) == len(bodies) else self._rows_each(rows, bodies)
            prediction = self._predict_stack(rows, each)
            if prediction is None:
                return self._answer_each(rows, bodies)
        elif quick is not None and plain and rows.shape[1] == self._features:
            prediction = quick.answer_plain(rows)
        if prediction is None:
            try:
                prediction = self._predict(rows, self._accept)
            except Exception:  # each hears for itself what is wrong with its rows
                return None
        if type(prediction) is not np.ndarray or not prediction.ndim or len(prediction) != len(rows):
            return None
        if self._json and len(rows) == len(bodies) and prediction.dtype.kind in "iu" and prediction.ndim == 1:
            answers = self._answers
            return [answers[label] for label in prediction.tolist()]
        spans = [(0, len(rows))]
        if len(bodies) > 1:
            spans = [(at, at + each) for at in range(0, len(rows), each)] if each else [*_spans(bodies)]
        lists = write_digits(prediction, spans) if self._json else None
        if lists is not None:
            return [Answer(written, JSON) for written in lists]
        return [_encode(prediction[start:end], self._accept) for start, end in spans]

    def _rows_each(self, rows: Any, bodies: Sequence[bytes]) -> int:
        """How many rows each request has, if all have as many and may be joined; otherwise 0."""
        if self._joined is Joined.SINGLES:
            return 0
        each, rest = divmod(len(rows), len(bodies))
        return each if not rest and all(_count_rows(body) == each for body in bodies[:-1]) else 0

    def _predict_stack(self, rows: Any, each: int) -> Any | None:
        """The answers to requests of `each` rows; None if they have to be answered alone."""
        if each and self._quick is None:
            return self._joinable.predict_joined(rows, each, self._accept)
        if each and self._quick is not None and rows.shape[1] == self._features:
            return self._quick.answer_stack(rows, each)
        return None

    def _answer_each(self, rows: Any, bodies: Sequence[bytes]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for body, (start, end) in zip(bodies, _spans(bodies), strict=True):
            outcomes += self.answer_rows(rows[start:end], [body]) or [self._alone(body)]
        return outcomes

    def takes_rows(self, calls: int) -> bool:
        """Whether so many calls may come to `answer_rows` if their bodies are plain CSV."""
        return self._csv and (calls == 1 or self._joined is not None)

    def _alone(self, body: bytes) -> Outcome:
        return _ask(self._model, self._call, body)


class AloneLane:
    """Calls with the same headers of a model that does not join any: each is answered by itself."""

    __slots__ = ("_call", "_model", "compiling", "verdict")

    def __init__(self, model: Model, call: Call) -> None:
        """For calls like `call`, whatever their bodies are."""
        self.compiling = model.traits.compiling
        self.verdict = model.traits.compiling.verdict
        self._model = model
        self._call = call

    def answer(self, bodies: Sequence[bytes]) -> list[Outcome]:
        """What each call gets."""
        return [_ask(self._model, self._call, body) for body in bodies]

    def takes_rows(self, calls: int) -> bool:
        """Never: it reads bodies itself."""
        return False

    def answer_rows(self, rows: Any, bodies: Sequence[bytes], *, plain: bool = True) -> None:
        """Each has to be answered alone."""


def lane_of(model: Model, call: Call) -> ShortWay:
    """The short way of calls like `call` to a model, whatever their bodies are."""
    joinable = model.traits.joinable
    if joinable is None:
        return AloneLane(model, call)
    texts = text_lane_of(model, joinable, call) if joinable.takes.texts else None
    return texts or record_lane_of(model, joinable, call) or Lane(model, joinable, call)


def _ask(model: Model, call: Call, body: bytes) -> Outcome:
    try:
        return model.answer(call.with_body(body))
    except Exception as error:  # the edge of one call
        return error


def answer_lanes(asked: Sequence[tuple[ShortWay, Sequence[bytes]]]) -> list[list[Outcome]]:
    """What the calls of several lanes get, as from `Lane.answer`. Plain CSV of equal rows is read as one."""
    readable = [pair for pair in asked if pair[0].takes_rows(len(pair[1]))]
    rows = _read_together([bodies for _, bodies in readable]) if len(readable) > 1 else None
    if rows is None:
        return [lane.answer(bodies) for lane, bodies in asked]
    found: list[list[Outcome]] = []
    start, one_each = 0, len(rows) == sum([len(bodies) for _, bodies in readable])
    all_read = len(readable) == len(asked)
    for lane, bodies in asked:
        outcomes = None
        if all_read or lane.takes_rows(len(bodies)):
            end = start + len(bodies)
            if not one_each:
                end += sum([body.count(b"\n") for body in bodies])
            outcomes = lane.answer_rows(rows[start:end], bodies)
            start = end
        found.append(lane.answer(bodies) if outcomes is None else outcomes)
    return found


def _read_together(parts: Iterable[Sequence[bytes]]) -> Any | None:
    """All rows (n, features) of some bodies, one after the other; None if they cannot be read as one."""
    together = b"\n".join([body for bodies in parts for body in bodies])
    rows = read_csv_quickly(together) if len(together) <= _MOST_BYTES else None
    return rows if rows is not None and is_plain(rows) else None


def _spans(bodies: Iterable[bytes]) -> Iterator[tuple[int, int]]:
    """Where the rows of each body begin and end among those of all."""
    start = 0
    for body in bodies:
        end = start + _count_rows(body)
        yield start, end
        start = end


def _count_rows(body: bytes) -> int:
    return 1 + (body.count(b"\n") if len(body) < _LARGE_BYTES else count_newlines(body))


def _groups(model: Joinable, parts: Iterable[_Part]) -> Iterator[list[_Part]]:
    """Calls that can be one prediction: of as many columns, and asking the model for the same."""
    groups: dict[object, list[_Part]] = {}
    for part in parts:
        output = part.accept.output
        way = None
        if _is_plain(part.rows) and (output is None or len(output) < len(OUTPUTS)):  # else no array comes
            way = model.joined(part.accept)
        if way is None or (way is Joined.SINGLES and len(part.rows) > 1):
            yield [part]
        else:
            each = None if way is Joined.ROWS else len(part.rows)
            groups.setdefault((part.rows.shape[1], output, each), []).append(part)
    for group in groups.values():
        yield from _in_bounds(group)


def _is_plain(rows: Any) -> bool:
    """Whether rows hold nothing for which a model, or its program, goes another way for all of them."""
    return isinstance(rows, np.ndarray) and is_plain(rows)


def _in_bounds(group: list[_Part]) -> Iterator[list[_Part]]:
    some: list[_Part] = []
    rows = 0
    for part in group:
        if some and rows + len(part.rows) > MOST_ROWS:
            yield some
            some, rows = [], 0
        some.append(part)
        rows += len(part.rows)
    yield some


def _answer_group(model: Joinable, group: list[_Part]) -> list[Outcome]:
    if len(group) > 1:
        rows, accept = np.concatenate([part.rows for part in group]), group[0].accept
        try:
            if model.joined(accept) is Joined.ROWS:
                prediction = model.predict(rows, accept)
            else:
                prediction = model.predict_joined(rows, len(group[0].rows), accept)
        except Exception:  # somebody's rows: whose it is shows when each is answered alone
            return [_answer_alone(model, part) for part in group]
        ends = np.cumsum([len(part.rows) for part in group])
        if isinstance(prediction, np.ndarray) and prediction.ndim and len(prediction) == ends[-1]:
            return [
                _encode(prediction[end - len(part.rows) : end], part.accept)
                for part, end in zip(group, ends.tolist(), strict=True)
            ]
    return [_answer_alone(model, part) for part in group]


def _answer_alone(model: Joinable, part: _Part) -> Outcome:
    try:
        prediction = model.predict(part.rows, part.accept)
    except Exception as error:  # the edge of one call
        return _told(error)
    return _encode(prediction, part.accept)


def _encode(prediction: Any, accept: Accept) -> Outcome:
    try:
        return Answer(encode(prediction, accept.media_type), accept.media_type)
    except ModelFault as fault:
        return _told(fault)


def _told(error: Exception) -> Exception:
    """The error; a fault without its frames.

    They hold all that was read of a body, and among their variables the error itself: a circle, which would
    stay until the garbage collector looks for such.
    """
    return error.with_traceback(None) if isinstance(error, ModelFault) else error
