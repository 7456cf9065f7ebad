"""A call in line or at a worker, for who waits for it and for the connection over which it was sent."""

from collections.abc import Callable
from typing import Protocol

from service.hosting.host import Outcome
from service.hosting.stopwatch import Stopwatch


class Sender(Protocol):
    """A connection over which calls are sent."""

    def give_up(self, asked: "Begun") -> None:
        """Nobody waits for this call any more."""
        ...


class Begun:
    """A call in line or at a worker."""

    __slots__ = ("connection", "is_sent_again", "request", "told", "watch")

    def __init__(self, request: bytes, told: Callable[[Outcome], None], watch: Stopwatch) -> None:
        self.request = request
        self.connection: Sender | None = None
        self.told: Callable[[Outcome], None] | None = told
        """Who waits for it; None if nobody does any more."""
        self.watch = watch
        self.is_sent_again = False
        """Whether a worker has died that had taken up its connection, but not the call."""

    def tell(self, outcome: Outcome) -> None:
        """Tell who waits, if somebody still does."""
        told, self.told = self.told, None
        if told is not None:
            told(outcome)

    def give_up(self) -> None:
        """See promise.BegunCall: the worker that is at it sees it, and the calls behind it go elsewhere."""
        self.told = None
        if self.connection is not None:
            self.connection.give_up(self)
