"""Compiles loaded models in the background, one by one; until then they answer as they were loaded."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from service.errors import ModelFault
from service.hosting.cache.cache import ModelCache
from service.hosting.cache.entry import Entry
from service.hosting.cache.source import ModelKey, Observer
from service.hosting.host import Call, Model
from service.hosting.memory import give_back_garbage
from service.hosting.programs.compiled import Verdict
from service.log import get_logger
from service.media.codec import decode

Example = Callable[[ModelKey], Call | None]
Told = Callable[[ModelKey, Verdict], None]

_KNOWN = 1000
_LARGE_BYTES = 1 << 26  # of a model: what trying it leaves behind is worth a look for garbage


class Compiler:
    """One per cache, used from its event loop."""

    def __init__(self, example: Example, told: Told) -> None:
        """`example` finds a model's example request, blocking; `told` hears what came of each model."""
        self._example = example
        self._told = told
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="compile")
        self._turn = asyncio.Lock()
        self._going = asyncio.Event()
        self._going.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._known: OrderedDict[tuple[ModelKey, str], Verdict] = OrderedDict()
        self._log = get_logger("sagebird.models")

    def consider(self, cache: ModelCache, key: ModelKey, model: Model) -> None:
        """Compile a model that was just loaded, when its turn comes, if that is wanted."""
        if model.traits.compiling.waits:
            task = asyncio.create_task(self._compile(cache, key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def pause(self) -> None:
        """Begin with no further model until `resume`."""
        self._going.clear()

    def resume(self) -> None:
        """Let what waits have its turn again."""
        self._going.set()

    async def settle(self) -> None:
        """Wait until nothing is being compiled any more."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    async def close(self) -> None:
        """Compile nothing more; what is being compiled is left to the end of the process."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _compile(self, cache: ModelCache, key: ModelKey) -> None:
        async with self._turn:
            await self._going.wait()
            entry = cache.pin(key)
            if entry is None:  # gone before its turn came
                return
            program_bytes = entry.model.traits.compiling.program_bytes
            try:
                known = self._known.get((key, entry.version))
                loop = asyncio.get_running_loop()
                verdict = await loop.run_in_executor(self._threads, self._work, entry, known)
            except Exception:  # edge: a model's own classes may be at work; it goes on as it was loaded
                self._log.exception("model not compiled", model=key.name)
                return
            finally:
                cache.release(entry)
            if verdict is None:
                return
            if not verdict.compiled:
                cache.resize(entry, entry.size_bytes - program_bytes)
            entry.forget_costs()
            self._known[key, entry.version] = verdict
            if len(self._known) > _KNOWN:
                self._known.popitem(last=False)
            if known is None:
                self._told(key, verdict)

    def _work(self, entry: Entry, known: Verdict | None) -> Verdict | None:
        compiling = entry.model.traits.compiling
        try:
            return compiling.run(self._rows(entry.key) if known is None else None, known)
        finally:
            if entry.size_bytes > _LARGE_BYTES:
                give_back_garbage()

    def _rows(self, key: ModelKey) -> object:
        call = self._example(key)
        try:
            return None if call is None else decode(call.body, call.content_type)
        except ModelFault:  # a form that only the model's own code reads
            return None


class CompilingObserver:
    """Has each model compiled that is loaded, after the observer was told of it."""

    def __init__(self, observer: Observer, consider: Callable[[ModelKey, Model], None]) -> None:
        """`consider` has one compiled."""
        self._consider = consider
        self._observer = observer
        self.failed = observer.failed
        self.evicted = observer.evicted

    def loaded(self, key: ModelKey, seconds: float, model: Model) -> None:
        """See source.Observer."""
        self._observer.loaded(key, seconds, model)
        self._consider(key, model)
