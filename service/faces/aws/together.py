"""Invocations that ASGI brings in one round of the event loop, answered together.

What fastpath.Round is for requests that never reach ASGI: the model may answer all of them by one prediction,
and their answers are sent one right after the other.
"""

import asyncio

from service.invoke.predict import Head, Outcome, Predictor


class Together:
    """Collects invocations until the event loop has taken up all it received, and begins them at once."""

    def __init__(self, predictor: Predictor, loop: asyncio.AbstractEventLoop) -> None:
        """For the invocations of one event loop."""
        self._predictor = predictor
        self._loop = loop
        self._waiting: dict[Head, list[tuple[bytes, asyncio.Future[Outcome]]]] = {}

    def begin(self, head: Head, body: bytes) -> asyncio.Future[Outcome]:
        """Have one invocation begun soon, together with all that come until then."""
        future: asyncio.Future[Outcome] = self._loop.create_future()
        if not self._waiting:
            self._loop.call_soon(self._begin)
        self._waiting.setdefault(head, []).append((body, future))
        return future

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, {}
        asked: list[tuple[Head, list[bytes]]] = []
        waiters: list[list[asyncio.Future[Outcome]]] = []
        for head, calls in waiting.items():
            there = [call for call in calls if not call[1].done()]  # else its client is gone
            if there:
                asked.append((head, [body for body, _ in there]))
                waiters.append([future for _, future in there])
        for futures, outcomes in zip(waiters, self._predictor.begin_all(asked), strict=True):
            for future, outcome in zip(futures, outcomes, strict=True):
                future.set_result(outcome)
