"""Joins calls that wait for one model into one prediction, greedily.

An idle model answers at once; while one prediction runs, what arrives is joined into the next, up to a number
of calls. Only for built-in models of which is known how to do so without a change of anybody's answer
(hosting/programs/compiled). How calls are joined is in joining.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from service.errors import Unavailable
from service.hosting.cache.cache import STOPPING
from service.hosting.cache.entry import Entry
from service.hosting.cache.gate import Gate
from service.hosting.calls.joining import answer_together
from service.hosting.host import Answer, Call, Model, Outcome
from service.hosting.stopwatch import Stopwatch

MOST_CALLS = 256
"""Calls that one prediction may answer."""

_MOST_BODY_BYTES = 1 << 20
_LOOK_EVERY = 64


@dataclass(slots=True, eq=False)
class _Waiting:
    call: Call
    answered: asyncio.Future[Answer]
    watch: Stopwatch


class Batcher:
    """The line of calls for one loaded model, and the one prediction that runs. For one event loop."""

    def __init__(
        self,
        entry: Entry,
        gate: Gate,
        executor: Executor,
        release: Callable[[Entry], None],
        look_every: int = _LOOK_EVERY,
    ) -> None:
        """A prediction takes one place of `gate`, whose line is bounded by what waits here too.

        `release` ends one use of `entry`. Each `look_every`-th prediction is of one call.
        """
        self._entry = entry
        self._gate = gate
        self._executor = executor
        self._release = release
        self._look_every = look_every
        self._line: deque[_Waiting] = deque()
        self._taken = 0
        self._runner: asyncio.Task[None] | None = None

    async def answer(self, call: Call, watch: Stopwatch) -> Answer:
        """Answer one call, for which the entry was pinned; the pin is released here.

        `watch` runs during the prediction that answers the call, also where that answers others too.

        Raises:
            ModelFault: the model's own refusal or failure.
            Unavailable: the line is full, or the server stops.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(call, loop.create_future(), watch)
        try:
            self._gate.check_line(len(self._line))
        except Unavailable:
            self._release(self._entry)
            raise
        self._line.append(waiting)
        if self._runner is None:
            self._runner = loop.create_task(self._run())
        try:
            return await waiting.answered
        except asyncio.CancelledError:
            if waiting in self._line:
                self._line.remove(waiting)
                self._release(self._entry)
            raise
        finally:
            del waiting  # it holds the error that its own frame would be a part of: a circle

    async def _run(self) -> None:
        try:
            while self._line:
                await self._gate.enter()
                try:
                    await self._predict(self._take())
                finally:
                    self._gate.leave()
        except asyncio.CancelledError:
            self._fail(list(self._line), Unavailable(STOPPING))
            raise
        except Exception as error:  # a refusal of the gate, or a bug: who waits hears of it
            self._fail(list(self._line), error)
        finally:
            self._runner = None

    def _take(self) -> list[_Waiting]:
        """The next calls; one alone if it is to be seen what a call of its size takes.

        That is looked at now and then: what once took long for others' sake may be answered in place again.
        """
        self._taken += 1
        look = self._taken % self._look_every == 0
        taken: list[_Waiting] = []
        size_bytes = 0
        while self._line and len(taken) < MOST_CALLS and size_bytes < _MOST_BODY_BYTES:
            waiting = self._line.popleft()
            taken.append(waiting)
            size_bytes += len(waiting.call.body)
            if look or not self._entry.is_measured(len(waiting.call.body)):
                break
        return taken

    async def _predict(self, batch: list[_Waiting]) -> None:
        if not batch:  # all of them gave up while the gate was waited for
            return
        loop = asyncio.get_running_loop()
        try:
            outcomes = await loop.run_in_executor(self._executor, self._work, batch)
        except (RuntimeError, asyncio.CancelledError):  # the threads were shut down
            self._fail(batch, Unavailable(STOPPING))
            raise asyncio.CancelledError from None
        except Exception as error:  # a bug of ours: each caller hears of it, and the next are served
            self._fail(batch, error)
            return
        if len(batch) == 1 and isinstance(outcomes[0], Answer):
            self._entry.note_cost(len(batch[0].call.body), batch[0].watch.seconds)
        for waiting, outcome in zip(batch, outcomes, strict=True):
            self._deliver(waiting, outcome)

    def _work(self, batch: list[_Waiting]) -> list[Outcome]:
        for waiting in batch:
            waiting.watch.start()
        try:
            return _answer(self._entry.model, [waiting.call for waiting in batch])
        finally:
            for waiting in batch:
                waiting.watch.stop()

    def _fail(self, batch: Iterable[_Waiting], error: BaseException) -> None:
        for waiting in batch:
            if waiting in self._line:
                self._line.remove(waiting)
            self._deliver(waiting, error)

    def _deliver(self, waiting: _Waiting, outcome: Answer | BaseException) -> None:
        self._release(self._entry)
        if waiting.answered.done():  # its caller gave up
            return
        if isinstance(outcome, Answer):
            waiting.answered.set_result(outcome)
        else:
            waiting.answered.set_exception(outcome)


def _answer(model: Model, calls: Sequence[Call]) -> list[Outcome]:
    traits = model.traits
    if traits.joinable is None:
        raise TypeError("only calls of a model that joins them stand in this line")
    try:
        outcomes = answer_together(traits.joinable, calls, traits.default_accept)
        if len(outcomes) == len(calls):
            return outcomes
    except Exception:  # one call's: whose it is shows when each is answered alone
        if len(calls) == 1:
            raise
    return [_answer_alone(model, call) for call in calls]


def _answer_alone(model: Model, call: Call) -> Outcome:
    try:
        return model.answer(call)
    except Exception as error:  # the edge of one call
        return error
