"""An HTTP answer as every protocol here gives one, and a request that is all there. No protocol in here."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from service.http.asgi import Headers, Send, send_reply, send_whole
from service.promise import Promise


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer; header names as AWS spells them."""

    status: int
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """A whole request; header names are in lower case."""

    headers: Headers
    body: bytes
    request_id: str
    path: str = "/"


class Written(NamedTuple):
    """An answer with status 200 whose header lines are ready to be sent, each with its line end."""

    lines: bytes
    body: bytes

    def as_reply(self) -> Reply:
        """The same for who writes lines by himself."""
        headers = [line.partition(b": ")[::2] for line in self.lines.split(b"\r\n")[:-1]]
        return Reply(200, headers, self.body)


Answered = Written | Reply | Promise[Written | Reply] | Awaitable[Written | Reply]
"""An answer, or what is left to await for it; a promise needs no task for that."""

AnswerAll = Callable[[Sequence[tuple[Any, Sequence[bytes]]]], list[list[Answered]]]
"""Takes (head, bodies) pairs and answers each body as if it was alone. Raises nothing.

What comes together may be read, and answered, as one.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Answering:
    """What answers requests whose head was read, all that have the same one.

    `head` is what `answer_all` made of it.
    """

    head: Any
    answer_all: AnswerAll
    proving: "Proving | None" = None
    """Where each request has to show by itself that it is what it says: then this answers none of them."""


AnsweringOf = Callable[[Sequence[bytes], bytes], Answering]
"""What answers one request, by those values in which its head differs from others like it, and its body.

It raises nothing.
"""


class Proving(Protocol):
    """Requests that are signed: what answers one depends on more than what their heads have in common."""

    def of(self, headers: Headers) -> Answering:
        """What answers the request with this head (lower-case names), and no other one. Raises nothing."""
        ...

    def alike(self, headers: Headers, varying: Sequence[bytes]) -> AnsweringOf | None:
        """The same for heads that are like this one but for the values of the headers that are named.

        Those stand in the order of the head, as often as they are there. None: each has to be read.
        """
        ...


Preparing = Callable[[Headers], Answering]
"""Takes the headers of a request (lower-case names), gives what answers it. Raises nothing."""


async def whole(answered: Answered) -> Reply:
    """An answer once it is there, for who writes its lines by himself."""
    there = answered if isinstance(answered, (Written, Reply)) else await answered
    return there.as_reply() if isinstance(there, Written) else there


async def send_answered(send: Send, answered: Answered) -> None:
    """Answer a request that came by ASGI."""
    there = answered if isinstance(answered, (Written, Reply)) else await answered
    if isinstance(there, Written) and send_whole(send, 200, there.lines, there.body):
        return
    reply = await whole(there)
    await send_reply(send, reply.status, reply.headers, reply.body)
