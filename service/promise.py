"""An outcome that comes later, without a task: what each layer makes of it is done once it is there."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any, Generic, Protocol, TypeVar, cast

Kept = TypeVar("Kept")
Made = TypeVar("Made")


class BegunCall(Protocol):
    """Something that was asked of others, who tell later what came of it."""

    def give_up(self) -> None:
        """Who asked waits no longer, and is told nothing more."""
        ...


class Identified(Generic[Kept]):
    """What a task has to wait for, of a request that has been given an id."""

    __slots__ = ("_asking", "request_id")

    def __init__(self, asking: Awaitable[Kept], request_id: str) -> None:
        self._asking = asking
        self.request_id = request_id

    def __await__(self) -> Generator[Any, None, Kept]:
        """The value, or the exception raised."""
        return self._asking.__await__()


def request_id_of(outcome: object) -> str:
    """The id that the request was given of which this is the outcome to come; "" for none."""
    found: str = getattr(outcome, "request_id", "")
    return found


class Promise(Generic[Kept]):
    """A value or an exception, for one who waits. For one event loop.

    It is handed on from layer to layer, each of which adds by `then` what it makes of the outcome; whoever
    has a task anyway may await it instead.
    """

    __slots__ = ("_is_kept", "_outcome", "_steps", "request_id")

    def __init__(self) -> None:
        self.request_id = ""
        """The id that the request which waits has been given, "" for none so far."""
        self._steps: list[Callable[[Any], Any]] = []
        self._outcome: Any = None
        self._is_kept = False

    def keep(self, outcome: Kept | Exception) -> None:
        """The outcome is there. To be called once; raises nothing."""
        self._outcome, self._is_kept = outcome, True
        for step in self._steps:
            try:  # as _take does, without a call for each
                self._outcome = step(self._outcome)
            except Exception as error:
                self._outcome = error
        self._steps.clear()

    def then(self, step: Callable[[Kept | Exception], Made | Exception]) -> "Promise[Made]":
        """The same promise, of what `step` makes of the outcome; what it raises is the outcome then."""
        if self._is_kept:
            self._take(step)
        else:
            self._steps.append(step)
        return cast("Promise[Made]", self)

    def __await__(self) -> Generator[Any, None, Kept]:
        """The value, or the exception raised."""
        future: asyncio.Future[Kept] = asyncio.get_running_loop().create_future()
        self.then(partial(fulfil, future))
        try:
            return (yield from future)
        finally:
            del future  # it holds the error that its own frame would be a part of: a circle

    def _take(self, step: Callable[[Any], Any]) -> None:
        try:
            self._outcome = step(self._outcome)
        except Exception as error:  # the next one has to know, and so has who waits
            self._outcome = error


def fulfil(future: "asyncio.Future[Kept]", outcome: Kept | Exception) -> None:
    """Tell who awaits a future, if somebody still does."""
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
