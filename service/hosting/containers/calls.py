"""Calls of a container as HTTP/1.1: how they are written, and how answers are read.

Not in here: who sends them without a thread (line).
"""

import socket
from time import monotonic
from typing import Final, NamedTuple

from service.errors import (
    AnswerTooLarge,
    ModelDied,
    ModelFailure,
    ModelFault,
    ModelTimeout,
    ModelUnreachable,
)
from service.hosting.host import Answer, Call, Outcome
from service.http.remembered import remembering
from service.media.types import BYTES

READ_BYTES: Final = 1 << 16
MOST_ANSWER_BYTES: Final = 1 << 30
"""Most that an answer may have where whoever asks names no other limit."""
_GRACE_S: Final = 1.0  # the host ends a call that takes too long, shortly after its time is over
_MOST_HEAD_BYTES: Final = 1 << 16
_MOST_DIGITS: Final = 18
_MOST_MESSAGE_CHARS: Final = 8192
_KNOWN_HEADS: Final = 256
_KNOWN_BYTES: Final = 1 << 17
_BEGIN: Final = b"POST /invocations HTTP/1.1\r\nHost: model\r\n"
_NAMES: Final = (  # of what becomes of the connection, and of the members of `Call` behind the body
    b"Connection",
    b"Content-Type",
    b"Accept",
    b"X-Amzn-SageMaker-Custom-Attributes",
    b"X-Amzn-SageMaker-Target-Model",
    b"X-Amzn-SageMaker-Session-Id",
    b"X-Sagebird-Log-Place",
)

FAREWELL: Final = b"\0"  # see runner/serving
ENDED: Final = "The process that ran the model ended before it had answered."

_Headers = tuple[str | None, ...]


def written(call: Call, connection: str = "close") -> bytes:
    """A call as the request that a container gets; `connection` says what becomes of that."""
    body, request_id = call.body, call.request_id
    head = _lines_of((connection, *call[1:7]))
    if request_id is None:
        return b"%b%d\r\n\r\n%b" % (head, len(body), body)
    # the last line, where the runner looks for it: all others may be known
    told = request_id.encode("latin-1")
    return b"%b%d\r\nX-Amzn-RequestId: %b\r\n\r\n%b" % (head, len(body), told, body)


def _write_lines(headers: _Headers) -> bytes:
    """All but the length, which ends the head."""
    head = [_BEGIN]
    for name, value in zip(_NAMES, headers, strict=True):
        if value is not None:
            head.append(b"%b: %b\r\n" % (name, value.encode("latin-1")))
    head.append(b"Content-Length: ")
    return b"".join(head)


def _size_of(headers: _Headers) -> int:
    return sum(len(value) for value in headers if value is not None)


class _Head(NamedTuple):
    """The head of an answer: its body's length, its status, and the members of `Answer` behind the body."""

    length: int
    status: int
    members: tuple[str, str | None, int, str | None, str | None]


def _read_head(head: bytes) -> _Head:
    """Raises ModelFault."""
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length, status = headers.get("content-length", ""), first.split(" ", 2)[1:2]
    if not (length.isdecimal() and length.isascii() and len(length) <= _MOST_DIGITS):
        raise ModelFault("The model's answer does not say how long it is.", 502)
    if not (status and len(status[0]) == 3 and status[0].isdecimal() and status[0].isascii()):
        raise ModelFault("The model's answer has no status.", 502)
    return _Head(
        int(length),
        number := checked_status(int(status[0])),
        (
            headers.get("content-type", BYTES),
            headers.get("x-amzn-sagemaker-custom-attributes"),
            number,
            headers.get("x-amzn-sagemaker-new-session-id"),
            headers.get("x-amzn-sagemaker-closed-session-id"),
        ),
    )


def checked_status(status: int) -> int:
    """The status of an answer that is the last to its call. Raises ModelFault: no such answer has it."""
    if not 200 <= status <= 599:
        raise ModelFault(f"The model's answer has the status {status}, which ends no call.", 502)
    return status


# Most calls, and most answers, have heads that were there before.
_lines_of = remembering(_write_lines, _KNOWN_HEADS, _KNOWN_BYTES, _size_of)
_head_of = remembering(_read_head, _KNOWN_HEADS, _KNOWN_BYTES, len)


class Incoming:
    """What came of an answer so far."""

    __slots__ = ("_data", "_head", "_most_bytes", "_need_bytes")

    def __init__(self, most_bytes: int, begin: bytes = b"") -> None:
        """Its body may have `most_bytes`; `begin` came with the end of the answer before."""
        self._most_bytes = most_bytes
        self._data: bytes | bytearray = begin
        self._head: _Head | None = None
        self._need_bytes = 0

    def add(self, data: bytes) -> bool:
        """Take the next bytes, b"" for the end; whether it is whole now.

        Raises:
            ModelFault: it ended early, or is no answer.
        """
        if not data:
            raise ModelDied(ENDED)
        if not self._data:
            self._data = data
        elif isinstance(self._data, bytearray):
            self._data += data
        else:
            self._data = bytearray(self._data) + data
        return self._is_whole()

    def _is_whole(self) -> bool:
        if self._head is None:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                if len(self._data) > _MOST_HEAD_BYTES:
                    raise ModelFault("The model's answer has no end to its headers.", 502)
                return False
            self._head = _head_of(bytes(self._data[:end]))
            if self._head.length > self._most_bytes:
                raise answer_too_large(self._head.length, self._most_bytes)
            self._need_bytes = end + 4 + self._head.length
        return self._need_bytes <= len(self._data)

    @property
    def is_farewell(self) -> bool:
        """Whether no answer came, but word that the worker takes up nothing more that comes this way."""
        return self._data == FAREWELL

    def rest(self) -> bytes:
        """What came behind it."""
        return bytes(memoryview(self._data)[self._need_bytes :])

    def outcome(self) -> Outcome:
        """The answer, once it is whole, or the fault: it says that the model refused, or failed."""
        if self._head is None:
            raise RuntimeError("There is no answer yet.")
        length, end = self._head.length, self._need_bytes
        return _outcome(self._head, bytes(memoryview(self._data)[end - length : end]))


class AnswerStream:
    """What comes over a connection: one answer behind the other, as many at once as there are."""

    __slots__ = ("_most_bytes", "_part", "fault")

    def __init__(self, most_bytes: int) -> None:
        """The body of each may have `most_bytes`."""
        self._most_bytes = most_bytes
        self._part: Incoming | None = None
        self.fault: ModelFault | None = None
        """Why nothing can follow what came: it ended early, or is no answer."""

    def add(self, data: bytes) -> list[Outcome]:
        """Take the next bytes, b"" for the end; what became whole by them."""
        found: list[Outcome] = []
        try:
            if self._part is not None or not data:
                part = self._part or Incoming(self._most_bytes)
                if not part.add(data):
                    return found
                found.append(part.outcome())
                data, self._part = part.rest(), None
            self._read(data, found)
        except ModelFault as fault:
            self.fault = fault
        return found

    def _read(self, data: bytes, found: list[Outcome]) -> None:
        at, size = 0, len(data)
        while at < size:
            end = data.find(b"\r\n\r\n", at)
            head = _head_of(data[at:end]) if end >= 0 else None
            if head is not None and head.length > self._most_bytes:
                raise answer_too_large(head.length, self._most_bytes)
            if head is None or end + 4 + head.length > size:
                self._part = Incoming(self._most_bytes, data[at:])
                return
            at = end + 4 + head.length
            found.append(_outcome(head, data[end + 4 : at]))

    @property
    def is_between(self) -> bool:
        """Whether nothing came of the next answer."""
        return self._part is None

    @property
    def is_farewell(self) -> bool:
        """See Incoming."""
        return self._part is not None and self._part.is_farewell


def _outcome(head: _Head, body: bytes) -> Outcome:
    if head.status >= 400:
        return fault_of(body.decode("utf-8", "replace")[:_MOST_MESSAGE_CHARS], head.status)
    return Answer(body, *head.members)


def answer_too_large(size_bytes: int, most_bytes: int) -> AnswerTooLarge:
    """For an answer of so many bytes at least."""
    fault = AnswerTooLarge(
        f"The model answered with {size_bytes:,} bytes or more, and {most_bytes:,} are taken "
        "(SAGEBIRD_MAX_BODY_BYTES)."
    )
    fault.size_bytes = size_bytes
    return fault


def fault_of(message: str, status: int) -> ModelFault:
    """What a model answered in place of a prediction."""
    return ModelFailure(message) if status == ModelFailure.status else ModelFault(message, status)


def ask_blocking(address: str, call: Call, timeout_s: float, most_bytes: int = MOST_ANSWER_BYTES) -> Answer:
    """Have one call answered, which this thread waits for, within the time after which its host ends it.

    The answer may have `most_bytes`.

    Raises:
        ModelUnreachable: nobody took the call, so that it may be sent again.
        ModelTimeout: no answer in time.
        ModelDied: its process ended.
        ModelFault: the model's own refusal or failure.
    """
    begun_s = monotonic()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s + _GRACE_S)
        try:
            connection.connect(address)
        except OSError as error:
            raise ModelUnreachable(f"The model's process cannot be reached: {error}.") from error
        try:
            connection.sendall(written(call))
            reply = Incoming(most_bytes)
            while not reply.add(connection.recv(READ_BYTES)):
                pass
        except (ConnectionError, TimeoutError, ModelDied) as error:
            if monotonic() - begun_s >= timeout_s:
                raise ModelTimeout(f"no answer within {timeout_s:g} s") from error
            raise ModelDied(ENDED) from error
    outcome = reply.outcome()
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
