"""Invocations that ASGI brings in one round of the event loop, answered together.

What fastpath.Round is for requests that never reach ASGI: the model may answer all of them by one prediction,
and their answers are sent one right after the other.
"""

import asyncio

from service.invoke.predict import Invocation, Outcome, Prediction, Predictor


class Together:
    """Collects invocations until the event loop has taken up all it received, and begins them at once."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._waiting: dict[int, tuple[Invocation, list[tuple[bytes, asyncio.Future[Outcome]]]]] = {}

    async def predict(self, head: Invocation, body: bytes) -> Prediction:
        """Answer one invocation. Those whose `head` is the same object may be answered by one prediction.

        Raises: as Predictor.predict.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._begin)
        self._waiting.setdefault(id(head), (head, []))[1].append((body, future))
        outcome = await future
        if isinstance(outcome, Exception):
            raise outcome
        return outcome if isinstance(outcome, Prediction) else await outcome

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for head, calls in waiting.values():
            there = [(body, future) for body, future in calls if not future.done()]  # else its client is gone
            if not there:
                continue
            outcomes = self._predictor.begin(head, [body for body, _ in there])
            for (_, future), outcome in zip(there, outcomes, strict=True):
                future.set_result(outcome)
