"""Loads for which a variant gives so much time, and no more."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.domain.features import LoadLimits
from service.errors import ModelFailure
from service.hosting.cache.cache import ModelCache
from service.hosting.cache.loading import fetched
from service.hosting.cache.source import ModelKey, Prepared
from tests.hosting.cache.test_cache import MIB, FakeObserver, FakeSource, Rig


class SlowSource(FakeSource):
    """Fetches a model once it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_fetch = threading.Event()

    def prepare(self, key: ModelKey) -> Prepared:
        assert self.may_fetch.wait(60)
        return super().prepare(key)


def test_a_model_that_is_not_fetched_in_time_fails_and_says_so() -> None:
    async def test() -> None:
        with ThreadPoolExecutor() as threads:
            rig = Rig(threads, 10)
            source, observer = SlowSource(), FakeObserver()
            cache = ModelCache(source, 10 * MIB, threads, rig.clock, observer)
            key = ModelKey(Path("/models/late"), limits=LoadLimits(download_s=0.2))
            with pytest.raises(ModelFailure, match=r"late was not fetched and unpacked within 0\.2 seconds"):
                await cache.acquire(key)
            assert observer.events == [("failed", "late")]
            source.may_fetch.set()
            rig.clock.advance(60)
            cache.release(await cache.acquire(ModelKey(Path("/models/late"), limits=LoadLimits(60.0))))
            await cache.close()

    asyncio.run(asyncio.wait_for(test(), 60))


def test_a_time_out_of_the_fetching_itself_is_no_limit() -> None:
    async def late() -> None:
        raise TimeoutError("the store gave no answer")

    with pytest.raises(TimeoutError, match="the store gave"):
        asyncio.run(fetched(late(), None, "model"))


def test_limits_make_no_other_model() -> None:
    assert ModelKey(Path("/m/a"), limits=LoadLimits(60.0, 60.0)) == ModelKey(Path("/m/a"))
