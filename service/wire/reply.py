"""An HTTP answer as every protocol here gives one. No protocol and no error in here."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from service.asgi import Headers


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer; header names as AWS spells them."""

    status: int
    headers: Headers
    body: bytes


class Written(NamedTuple):
    """An answer with status 200 whose header lines are ready to be sent, each with its line end."""

    lines: bytes
    body: bytes


Answered = Written | Reply | Awaitable[Reply]
"""An answer, or what is left to await for it."""


Answering = Callable[[Sequence[bytes]], list[Answered]]
"""Requests whose head was read, all that have the same one: takes their bodies, answers each as if alone.

Raises nothing. Bodies that come together may be answered by one prediction.
"""


Preparing = Callable[[Headers], Answering]
"""Takes the headers of a request (lower-case names), gives what answers it. Raises nothing."""


def header_lines(headers: Headers) -> bytes:
    """Headers as HTTP/1.1 has them, names in lower case."""
    return b"".join([b"%b: %b\r\n" % (name.lower(), value) for name, value in headers])
