"""An HTTP answer as every protocol here gives one, and a request that is all there. No protocol in here."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from service.http.asgi import Headers


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


class Written(NamedTuple):
    """An answer with status 200 whose header lines are ready to be sent, each with its line end."""

    lines: bytes
    body: bytes


Answered = Written | Reply | Awaitable[Reply]
"""An answer, or what is left to await for it."""


@dataclass(frozen=True, slots=True, eq=False)
class Answering:
    """What answers requests whose head was read, all that have the same one.

    `head` is what `answer_all` made of it. That takes (head, bodies) pairs, answers each as if alone and
    raises nothing; what comes together may be read, and answered, as one.
    """

    head: Any
    answer_all: Callable[[Sequence[tuple[Any, Sequence[bytes]]]], list[list[Answered]]]

    def __call__(self, bodies: Sequence[bytes]) -> list[Answered]:
        """Answer requests that differ by their bodies only."""
        return self.answer_all([(self.head, bodies)])[0]


Preparing = Callable[[Headers], Answering]
"""Takes the headers of a request (lower-case names), gives what answers it. Raises nothing."""
