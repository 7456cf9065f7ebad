"""Memory of unloaded models goes back to the machine."""

import asyncio
import gc
import json
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from service.hosting.memory import (
    give_back,
    give_back_garbage,
    importing,
    keep_big_arrays_apart,
    keep_trimmed,
)

MODEL_BYTES = 64 * 2**20
LOADS = 8
FIT = 2

# A process of its own, because what other tests left in this one would blur the measurement.
MEASURE = f"""
import asyncio, gc, json, sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from service.clock import SystemClock
from service.hosting.cache.cache import ModelCache
from service.hosting.memory import keep_big_arrays_apart
from service.hosting.cache.source import ModelKey
from service.hosting.host import Traits

MODEL_BYTES = {MODEL_BYTES}

def one_block():
    return np.ones(MODEL_BYTES // 8)

def crumbs():
    return [np.ones(1024) for _ in range(MODEL_BYTES // 8192)]

class Knot:
    def __init__(self):
        self.me = self
        self.array = one_block()

class Model:
    traits = Traits("arrays", MODEL_BYTES)
    def __init__(self, content):
        self.predictor = type("Predictor", (), {{}})()
        self.predictor.estimator = content

@dataclass
class Prepared:
    make: object
    version: str = "1"
    estimate_bytes: int = MODEL_BYTES
    async def get_ready(self):
        pass
    def load(self):
        return Model(self.make())

class Source:
    def version(self, key):
        return "1"
    def prepare(self, key):
        return Prepared(globals()[sys.argv[1]])

class Observer:
    def loaded(self, key, seconds, model): pass
    def failed(self, key, seconds, fault): raise fault
    def evicted(self, key, reason): pass

def resident():
    return psutil.Process().memory_info().rss

async def measure(threads):
    cache = ModelCache(Source(), {FIT} * MODEL_BYTES, threads, SystemClock(), Observer())
    async def call(number):
        cache.release(await cache.acquire(ModelKey(Path(str(number)))))
    async def let_go(number):
        cache.drop(ModelKey(Path(str(number))))
        while cache.held_bytes:
            await asyncio.sleep(0.001)
    await call("first")
    await let_go("first")  # what the code itself takes when it is first used is not the models'
    start, peak = resident(), 0
    for number in range({LOADS}):
        await call(number)
        peak = max(peak, resident())
    for number in range({LOADS}):
        cache.drop(ModelKey(Path(str(number))))
    while cache.held_bytes:
        await asyncio.sleep(0.001)
    print(json.dumps({{"start": start, "peak": peak, "end": resident()}}))
    await cache.close()

gc.disable()  # chance must not help
assert keep_big_arrays_apart()
with ThreadPoolExecutor(4) as threads:
    asyncio.run(measure(threads))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is told to give memory back")
@pytest.mark.parametrize("kind", ["one_block", "crumbs", "Knot"])
def test_memory_of_unloaded_models_returns_to_the_machine(kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, kind], capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stderr
    resident = json.loads(done.stdout)
    assert resident["end"] - resident["start"] <= 0.2 * MODEL_BYTES
    assert resident["peak"] - resident["start"] <= (FIT + 0.2) * MODEL_BYTES


class Thing:
    """Something that a model is made of."""

    def __init__(self, **parts: object) -> None:
        self.__dict__.update(parts)


def knot() -> tuple[Thing, weakref.ref[Thing]]:
    thing = Thing()
    thing.__dict__["itself"] = thing
    return thing, weakref.ref(thing)


def test_an_object_that_nobody_else_holds_is_gone() -> None:
    holder: list[object] = [Thing()]
    alive = weakref.ref(holder[0])

    give_back(holder)

    assert holder == []
    assert alive() is None


def test_an_object_in_a_cycle_is_collected() -> None:
    thing, alive = knot()
    holder: list[object] = [thing]
    del thing

    give_back(holder)

    assert alive() is None


@pytest.mark.parametrize("between", [Thing, SimpleNamespace])  # the latter takes no weak reference
def test_an_estimator_in_a_cycle_of_its_own_is_collected(between: Callable[..., object]) -> None:
    estimator, alive = knot()
    holder: list[object] = [Thing(predictor=between(estimator=estimator, kind=Thing))]
    del estimator

    give_back(holder)

    assert alive() is None


def test_an_object_that_cannot_say_whether_it_is_gone_is_collected() -> None:
    inner, alive = knot()
    holder: list[object] = [(inner, [])]
    del inner

    give_back(holder)

    assert holder == []
    assert alive() is None


def test_an_object_that_others_hold_stays() -> None:
    thing = Thing()

    give_back([thing])

    assert isinstance(thing, Thing)


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt belongs to glibc")
def test_glibc_is_told_to_keep_big_blocks_apart() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from service.hosting.memory import *; print(keep_big_arrays_apart())"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout == "True\n"


def test_where_there_is_no_glibc_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    holder: list[object] = [Thing()]

    assert keep_big_arrays_apart() is False
    give_back(holder)
    assert holder == []


@pytest.mark.parametrize("settle", ["gc.collect(); gc.freeze()", "set_apart()"])
def test_after_a_large_program_is_set_apart_full_collections_come_again(settle: str) -> None:
    """Frozen alone, a large program keeps them away: they wait for a quarter as many new objects."""
    program = (
        "import gc\nfrom service.hosting.memory import set_apart\n"
        f"program = [[] for _ in range(600_000)]\n{settle}\n"
        "before = gc.get_stats()[2]['collections']\n"
        "new = [[] for _ in range(100_000)]\n"
        "print(gc.get_freeze_count() > 600_000, gc.get_stats()[2]['collections'] > before)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == f"True {settle == 'set_apart()'}\n"


def test_garbage_is_looked_for_again_after_an_import_even_one_that_fails() -> None:
    def fail() -> None:
        with importing():
            assert not gc.isenabled()
            raise ImportError("no such module")

    with pytest.raises(ImportError):
        fail()

    assert gc.isenabled()


def test_what_was_imported_is_never_looked_through_again() -> None:
    frozen = gc.get_freeze_count()
    try:
        with importing():
            kept = [[] for _ in range(10_000)]  # type: ignore[var-annotated]
        assert gc.get_freeze_count() >= frozen + len(kept)
    finally:
        gc.unfreeze()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's own way of keeping memory")
def test_what_a_burst_took_goes_back_though_a_little_of_it_is_still_held() -> None:
    """By itself glibc gives back only what is free at the end of its heap."""

    async def burst() -> int:
        process = psutil.Process()
        task = asyncio.create_task(keep_trimmed(0.01))
        await asyncio.sleep(0)  # its first step is to note how much is held before
        blocks = [bytearray(b"x" * 50_000) for _ in range(1500)]
        most = process.memory_info().rss
        held = blocks[::50]
        blocks.clear()
        end_s = time.monotonic() + 20
        while process.memory_info().rss > most - (40 << 20) and time.monotonic() < end_s:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)
        task.cancel()
        assert len(held) == 30
        return most - process.memory_info().rss

    assert asyncio.run(burst()) > 40 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's own way of keeping memory")
def test_what_a_burst_took_goes_back_once_its_connections_are_gone() -> None:
    """Not only when it is time again: by this clock it never is."""

    async def burst() -> int:
        process, connections = psutil.Process(), 64
        task = asyncio.create_task(keep_trimmed(0.01, lambda: connections, lambda: 0.0))
        await asyncio.sleep(0)
        blocks = [bytearray(b"x" * 50_000) for _ in range(1500)]
        await asyncio.sleep(0.5)  # it has seen them
        most, connections = process.memory_info().rss, 3
        held = blocks[::50]
        blocks.clear()
        end_s = time.monotonic() + 30
        while process.memory_info().rss > most - (40 << 20) and time.monotonic() < end_s:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)
        task.cancel()
        assert len(held) == 30
        return most - process.memory_info().rss

    assert asyncio.run(burst()) > 40 << 20


def test_garbage_in_a_circle_is_given_back() -> None:
    left: list[object] = []
    left.append(left)
    array = np.zeros(1 << 20)
    witness = weakref.ref(array)
    left.append(array)
    del left, array

    give_back_garbage()

    assert witness() is None
