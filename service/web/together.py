"""Invocations that ASGI brings in one round of the event loop, answered together.

What fastpath.Round is for requests that never reach ASGI: the model may answer all of them by one prediction,
and their answers are sent one right after the other.
"""

import asyncio

from service.invoke.predict import Head, Outcome, Prediction, Predictor


class Together:
    """Collects invocations until the event loop has taken up all it received, and begins them at once."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._waiting: dict[Head, list[tuple[bytes, asyncio.Future[Outcome]]]] = {}

    async def predict(self, head: Head, body: bytes) -> Prediction:
        """Answer one invocation. Those of the same head may be answered by one prediction.

        Raises: as Predictor.predict.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._begin)
        self._waiting.setdefault(head, []).append((body, future))
        outcome = await future
        if isinstance(outcome, Exception):
            raise outcome
        return outcome if isinstance(outcome, Prediction) else await outcome

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
