"""An HTTP answer as every protocol here gives one. No protocol and no error in here."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer; header names as AWS spells them."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Written(NamedTuple):
    """An answer with status 200 whose header lines are ready to be sent, each with its line end."""

    lines: bytes
    body: bytes


Answered = Written | Reply | Awaitable[Reply]
"""An answer, or what is left to await for it."""


class Answering(Protocol):
    """Requests whose head was read: all that have the same one, but for the length of their bodies."""

    def one(self, body: bytes) -> Answered:
        """Answer one request. Raises nothing."""
        ...

    def many(self, bodies: Sequence[bytes]) -> list[Answered]:
        """Answer requests that came at the same time, each as if it were alone. Raises nothing."""
        ...


def header_lines(headers: list[tuple[bytes, bytes]]) -> bytes:
    """Headers as HTTP/1.1 has them, names in lower case."""
    return b"".join([b"%b: %b\r\n" % (name.lower(), value) for name, value in headers])
