"""Calls of a container as HTTP/1.1: how they are written, and how answers are read.

Not in here: who sends them without a thread (line).
"""

import socket
from time import monotonic
from typing import Final

from service.errors import ModelDied, ModelFailure, ModelFault, ModelTimeout, ModelUnreachable
from service.hosting.host import Answer, Call
from service.media.types import BYTES

READ_BYTES: Final = 1 << 18
_GRACE_S: Final = 1.0  # the host ends a call that takes too long, shortly after its time is over
_MOST_HEAD_BYTES: Final = 1 << 16
_MOST_ANSWER_BYTES: Final = 1 << 30
_MOST_MESSAGE_CHARS: Final = 8192
ENDED: Final = "The process that ran the model ended before it had answered."


def written(call: Call) -> bytes:
    """A call as the request that a container gets."""
    head = [b"POST /invocations HTTP/1.1\r\nHost: model\r\nContent-Length: %d\r\n" % len(call.body)]
    for name, value in (
        (b"Content-Type", call.content_type),
        (b"Accept", call.accept),
        (b"X-Amzn-SageMaker-Custom-Attributes", call.custom_attributes),
        (b"X-Amzn-SageMaker-Target-Model", call.target_model),
        (b"X-Amzn-SageMaker-Session-Id", call.session_id),
    ):
        if value is not None:
            head.append(b"%b: %b\r\n" % (name, value.encode("latin-1")))
    return b"".join((*head, b"\r\n", call.body))


class Incoming:
    """What came of an answer so far."""

    __slots__ = ("_data", "_head_bytes", "_need_bytes")

    def __init__(self, begin: bytes = b"") -> None:
        """`begin` came with the end of the answer before."""
        self._data = bytearray(begin)
        self._head_bytes = self._need_bytes = 0

    def add(self, data: bytes) -> bool:
        """Take the next bytes, b"" for the end; whether it is whole now.

        Raises:
            ModelFault: it ended early, or is no answer.
        """
        if not data:
            raise ModelDied(ENDED)
        self._data += data
        return self.is_whole()

    def is_whole(self) -> bool:
        """Whether all of it is there. Raises as `add`."""
        if not self._need_bytes:
            self._read_head()
        return 0 < self._need_bytes <= len(self._data)

    def rest(self) -> bytes:
        """What came behind it."""
        return bytes(memoryview(self._data)[self._need_bytes :])

    def answer(self) -> Answer:
        """The answer. Raises ModelFault: it says that the model refused, or failed."""
        lines = self._data[: self._head_bytes].decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        body = bytes(memoryview(self._data)[self._head_bytes + 4 : self._need_bytes])
        status = int(lines[0].split(" ", 2)[1])
        if status >= 400:
            raise fault_of(body.decode("utf-8", "replace")[:_MOST_MESSAGE_CHARS], status)
        return Answer(
            body,
            headers.get("content-type", BYTES),
            headers.get("x-amzn-sagemaker-custom-attributes"),
            status,
            headers.get("x-amzn-sagemaker-new-session-id"),
            headers.get("x-amzn-sagemaker-closed-session-id"),
        )

    def _read_head(self) -> None:
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            if len(self._data) > _MOST_HEAD_BYTES:
                raise ModelFault("The model's answer has no end to its headers.", 502)
            return
        self._head_bytes = end
        length = _length(bytes(self._data[:end]))
        if not 0 <= length <= _MOST_ANSWER_BYTES:
            raise ModelFault("The model's answer does not say how long it is, or is too long.", 502)
        self._need_bytes = end + 4 + length


def fault_of(message: str, status: int) -> ModelFault:
    """What a model answered in place of a prediction."""
    return ModelFailure(message) if status == ModelFailure.status else ModelFault(message, status)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and value.strip().isdigit():
            return int(value)
    return -1


def ask_blocking(address: str, call: Call, timeout_s: float) -> Answer:
    """Have one call answered, which this thread waits for, within the time after which its host ends it.

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
            reply = Incoming()
            while not reply.add(connection.recv(READ_BYTES)):
                pass
        except (ConnectionError, TimeoutError, ModelDied) as error:
            if monotonic() - begun_s >= timeout_s:
                raise ModelTimeout(f"no answer within {timeout_s:g} s") from error
            raise ModelDied(ENDED) from error
        return reply.answer()
