"""One copy of one variant: from a call to its model's answer, within limits of time and of calls at once.

Built-in models that were measured to be quick answer in place, on the event loop, where a thread would cost more
than the prediction. Everything else, and all user code, runs in threads. A call that times out is answered at
once, but its thread is not interrupted and keeps its place until it is done, as a container does (contract A.1).
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from time import perf_counter

from service.domain.endpoint import ModelSource
from service.errors import ModelNotReady, ModelTimeout
from service.hosting.cache import Entry, ModelCache
from service.hosting.model import Answer, Call
from service.hosting.source import ModelKey


class Replica:
    """Answers calls for one model source."""

    def __init__(
        self,
        source: ModelSource,
        locate: Callable[[ModelSource, str | None], ModelKey],
        cache: ModelCache,
        executor: Executor,
        timeout_s: float,
    ) -> None:
        """`locate` finds a model's files; `timeout_s` bounds waiting, loading and predicting together."""
        self.source = source
        self._locate = locate
        self._cache = cache
        self._executor = executor
        self._timeout_s = timeout_s
        self._key: ModelKey | None = None

    def key(self, target_model: str | None = None) -> ModelKey:
        """The model that a call with this target would use.

        Raises:
            ModelNotFound: no such model below the source's folder.
        """
        if self.source.multi:
            return self._locate(self.source, target_model)
        if self._key is None:
            self._key = self._locate(self.source, None)
        return self._key

    async def invoke(self, call: Call) -> Answer:
        """Answer one call.

        Raises:
            ModelFault: the model's own refusal or failure, a load that failed, or no answer in time.
            ModelNotReady: the target model is still loading when the time is over.
            Unavailable: too many calls are waiting.
        """
        key = self.key(call.target_model)
        entry = self._cache.pin(key)
        if entry is None:
            entry = await self._load(key)
        if entry.runs_in_place(len(call.body)):
            return self._answer_in_place(entry, call)
        return await self._answer_in_thread(entry, call)

    async def warm_up(self, call: Call | None) -> None:
        """Load the model and, given an example call, have it answer once. Raises ModelFault."""
        key = self.key()
        entry = await self._cache.acquire(key)
        if call is None:
            self._cache.release(entry)
        else:
            await self._answer_in_thread(entry, call)

    async def _load(self, key: ModelKey) -> Entry:
        try:
            return await asyncio.wait_for(self._cache.acquire(key), self._timeout_s)
        except TimeoutError:
            if self.source.multi:
                raise ModelNotReady(f"Model {key.name} is still being loaded.") from None
            raise ModelTimeout(f"Model {key.name} is still being loaded.") from None

    def _answer_in_place(self, entry: Entry, call: Call) -> Answer:
        begun_s = perf_counter()
        try:
            return entry.model.answer(call)
        finally:
            entry.note_cost(len(call.body), perf_counter() - begun_s)
            self._cache.release(entry)

    async def _answer_in_thread(self, entry: Entry, call: Call) -> Answer:
        """Run the call in a thread. The pin on `entry` is released when the thread is done, not when time is up."""
        task = asyncio.ensure_future(self._pass_gate(entry, call))
        task.add_done_callback(_retrieve)
        done, _ = await asyncio.wait((task,), timeout=self._timeout_s)
        if not done:
            raise ModelTimeout(f"Model {entry.key.name} gave no answer within {self._timeout_s:g} seconds.")
        return task.result()

    async def _pass_gate(self, entry: Entry, call: Call) -> Answer:
        try:
            await entry.gate.enter()
            try:
                loop = asyncio.get_running_loop()
                answer, seconds = await loop.run_in_executor(self._executor, _timed_answer, entry, call)
                entry.note_cost(len(call.body), seconds)
                return answer
            finally:
                entry.gate.leave()
        finally:
            self._cache.release(entry)


def _timed_answer(entry: Entry, call: Call) -> tuple[Answer, float]:
    begun_s = perf_counter()
    return entry.model.answer(call), perf_counter() - begun_s


def _retrieve(task: "asyncio.Task[Answer]") -> None:
    """Look at the outcome, so that asyncio does not report a fault that came after the time-out."""
    if not task.cancelled():
        task.exception()
