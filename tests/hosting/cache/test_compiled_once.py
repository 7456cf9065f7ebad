"""Models that are gone before they are compiled, or are compiled already, and how many verdicts are kept."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from service.hosting.cache.compiler import Compiler
from service.hosting.cache.source import ModelKey
from service.hosting.programs.compiled import Compiling, Verdict
from service.hosting.runtimes.sklearn import SklearnModel

HANG_S = 60.0


class _Lister:
    """An estimator that does not say how many columns it takes, so that looking at it is soon over."""

    def predict(self, rows: Any) -> Any:
        return np.zeros(len(rows))


_REFERENCE = SklearnModel(_Lister())


class _Shelf:
    """A stand-in for the cache: models by their keys, which are all pinned and let go in turn."""

    def __init__(self) -> None:
        self.entries: dict[ModelKey, Any] = {}
        self.pinned: list[ModelKey] = []
        self.released: list[ModelKey] = []
        self.resized: list[int] = []

    def put(self, key: ModelKey) -> Any:
        model = SimpleNamespace(traits=SimpleNamespace(compiling=Compiling(_REFERENCE, 30)))
        self.entries[key] = SimpleNamespace(
            key=key, version="1", model=model, size_bytes=100, forget_costs=lambda: None
        )
        return model

    def pin(self, key: ModelKey) -> Any:
        if key in self.entries:
            self.pinned.append(key)
        return self.entries.get(key)

    def release(self, entry: Any) -> None:
        self.released.append(entry.key)

    def resize(self, _entry: Any, size_bytes: int) -> None:
        self.resized.append(size_bytes)


def _key(name: object) -> ModelKey:
    return ModelKey(Path(f"/models/{name}"))


def _run(test: Callable[[Any, _Shelf, list[ModelKey]], Coroutine[Any, Any, None]]) -> None:
    """Let no task fail, which nobody would hear of. The compiler is typed as any, for its shelf's sake."""

    async def run() -> None:
        told: list[ModelKey] = []
        failed: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, about: failed.append(about))

        def tell(key: ModelKey, verdict: Verdict) -> None:
            assert verdict.compiled == ()
            told.append(key)

        shelf, compiler = _Shelf(), Compiler(lambda _key: None, tell)
        try:
            await test(compiler, shelf, told)
        finally:
            await compiler.close()
        gc.collect()  # a task tells that it failed when it goes
        assert failed == []
        assert shelf.released == shelf.pinned

    asyncio.run(asyncio.wait_for(run(), HANG_S))


def test_a_model_that_is_gone_before_its_turn_comes_is_not_compiled() -> None:
    async def test(compiler: Any, shelf: _Shelf, told: list[ModelKey]) -> None:
        compiler.pause()
        for name in ("gone", "there"):
            compiler.consider(shelf, _key(name), shelf.put(_key(name)))
        del shelf.entries[_key("gone")]
        compiler.resume()
        await compiler.settle()
        assert told == shelf.pinned == [_key("there")]

    _run(test)


def test_a_model_that_is_considered_twice_is_compiled_and_made_smaller_once() -> None:
    async def test(compiler: Any, shelf: _Shelf, told: list[ModelKey]) -> None:
        model = shelf.put(_key("one"))
        for _ in range(2):
            compiler.consider(shelf, _key("one"), model)
        await compiler.settle()
        assert shelf.pinned == [_key("one")] * 2
        assert told == [_key("one")]
        assert shelf.resized == [70]

    _run(test)


def test_of_more_than_a_thousand_verdicts_the_oldest_are_forgotten() -> None:
    async def test(compiler: Any, shelf: _Shelf, told: list[ModelKey]) -> None:
        async def load(*numbers: int) -> list[ModelKey]:
            told.clear()
            for number in numbers:
                compiler.consider(shelf, _key(number), shelf.put(_key(number)))
            await compiler.settle()
            return told

        assert len(await load(*range(1001))) == 1001
        assert await load(1, 1000, 0) == [_key(0)]

    _run(test)
