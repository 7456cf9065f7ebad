"""Calls that bring texts, answered together by the program of a model that takes them.

Only the two usual forms are read here, a JSON list of texts and a text alone; all others, and whatever is
wrong with a body, go the usual way. A program of texts answers each by itself, so nobody's answer is
another's business.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import orjson

from service.errors import NotAcceptable
from service.hosting.host import Answer, Call, Model, Outcome
from service.hosting.joinable import Joinable
from service.hosting.programs.compiled import Joined, Quick
from service.media.codec import Accept, choose_accept, encode
from service.media.types import JSON, TEXT

_UTF8 = ("", "; charset=utf-8", ";charset=utf-8")
_BOM = b"\xef\xbb\xbf"
_MOST_TEXTS = 256


class TextLane:
    """Calls with the same headers. Outdated once its `verdict` is no longer that of `compiling`."""

    __slots__ = ("_accept", "_call", "_joins", "_model", "_quick", "_read", "compiling", "verdict")

    def __init__(self, model: Model, joinable: Joinable, call: Call, accept: Accept, quick: Quick) -> None:
        """For calls like `call`, which accept `accept`, whatever their bodies are; `quick` takes texts."""
        self.compiling = model.traits.compiling
        self.verdict = model.traits.compiling.verdict
        self._model = model
        self._call = call
        self._accept = accept
        self._quick = quick
        self._read = _READERS.get((call.content_type or JSON).lower())
        self._joins = self._read is not None and joinable.joined(accept) is Joined.ROWS

    def answer(self, bodies: Sequence[bytes]) -> list[Outcome]:
        """What each call gets."""
        read = self._read
        if read is None or (len(bodies) > 1 and not self._joins):
            return [self._alone(body) for body in bodies]
        found: list[Outcome] = []
        some: list[tuple[bytes, list[str] | None]] = []
        texts = 0
        for body in bodies:
            each = read(body)
            some.append((body, each))
            texts += 0 if each is None else len(each)
            if texts > _MOST_TEXTS:
                found += self._answer(some)
                some, texts = [], 0
        return found + self._answer(some)

    def _answer(self, calls: Sequence[tuple[bytes, list[str] | None]]) -> list[Outcome]:
        """What calls get whose texts are these; None: they are not known."""
        texts = [text for _, each in calls if each is not None for text in each]
        prediction = self._quick.answer_plain(texts) if texts else None
        if type(prediction) is not np.ndarray or len(prediction) != len(texts):
            return [self._alone(body) for body, _ in calls]
        found: list[Outcome] = []
        start = 0
        for body, each in calls:
            if each is None:
                found.append(self._alone(body))
                continue
            found.append(self._encoded(prediction[start : start + len(each)]))
            start += len(each)
        return found

    def _encoded(self, prediction: Any) -> Outcome:
        media_type = self._accept.media_type
        try:
            return Answer(encode(prediction, media_type), media_type)
        except Exception as error:  # the edge of one call
            return error

    def _alone(self, body: bytes) -> Outcome:
        try:
            return self._model.answer(self._call.with_body(body))
        except Exception as error:  # the edge of one call
            return error

    def takes_rows(self, calls: int) -> bool:
        """Never: it reads bodies itself."""
        return False

    def answer_rows(self, rows: Any, bodies: Sequence[bytes], *, plain: bool = True) -> None:
        """Each has to be answered alone."""


def _read_list(body: bytes) -> list[str] | None:
    """The texts of a JSON list of nothing else, as `codec.decode` has them; None if it is not that."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return found if type(found) is list and found and {str}.issuperset(map(type, found)) else None


def _read_one(body: bytes) -> list[str] | None:
    """The body as a text, as `codec.decode` has it; None where that one can tell."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    if not body or body.startswith(_BOM):
        return None
    return [text.removesuffix("\n").removesuffix("\r")]


_READERS: Mapping[str, Callable[[bytes], list[str] | None]] = MappingProxyType(
    {f"{kind}{charset}": read for kind, read in ((JSON, _read_list), (TEXT, _read_one)) for charset in _UTF8}
)


def text_lane_of(model: Model, joinable: Joinable, call: Call) -> TextLane | None:
    """The short way of calls like `call` to a model with a program of texts; None of another."""
    try:
        accept = choose_accept(call.accept, default=model.traits.default_accept)
        quick = joinable.quick_for(accept)
    except NotAcceptable:  # the usual way says so
        return None
    return TextLane(model, joinable, call, accept, quick) if quick and quick.takes_texts else None
