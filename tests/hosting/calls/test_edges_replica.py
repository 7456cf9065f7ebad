"""The edges of a replica: headers without end, a store that is late, and a second try that is cut off."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from service.clock import ManualClock
from service.domain.endpoint import ModelSource
from service.errors import ModelFailure, ModelUnreachable, Unavailable
from service.hosting.cache.cache import ModelCache
from service.hosting.cache.source import ModelKey, Prepared
from service.hosting.calls.replica import CallLimits, InlineReplica
from service.hosting.host import Call
from tests.hosting.calls.test_elsewhere import begin, loaded
from tests.hosting.calls.test_replica import HANG_S, _Observer, a_call, rig, run


class _Late:
    """A store whose model is broken, and which then does not even tell its version in time."""

    def __init__(self) -> None:
        self.asked = 0

    def version(self, key: ModelKey) -> str:
        self.asked += 1
        if self.asked > 1:
            raise TimeoutError("the store does not answer")
        return "1"

    def prepare(self, key: ModelKey) -> Prepared:
        raise ModelFailure("broken")


def test_of_lanes_so_many_are_remembered_and_no_more() -> None:
    async def test() -> None:
        async with rig() as it:
            it.in_place = True
            limits = CallLimits(HANG_S, lanes=2)
            replica = InlineReplica(ModelSource("a"), it.locate, it.cache, it.calls, limits)
            calls = [Call(b"1,2", f"text/csv; x={number}", None) for number in range(3)]
            await replica.invoke(calls[0])
            it.expect_quick(3)
            (entry,) = it.cache.loaded
            known = []
            for call in calls:
                assert replica.short_way(call, [call.body]) is not None
                known.append(set(entry.lanes))
            headers = [call[1:3] for call in calls]
            assert known == [{headers[0]}, {headers[0], headers[1]}, {headers[2]}]

    run(test())


def test_a_time_out_of_the_store_is_not_said_to_be_a_slow_load() -> None:
    async def test() -> None:
        clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        with ThreadPoolExecutor(1) as threads:
            async with rig() as it:
                cache = ModelCache(_Late(), 10, threads, clock, _Observer())
                limits = CallLimits(HANG_S)
                replica = InlineReplica(ModelSource("a"), it.locate, cache, it.calls, limits)
                with pytest.raises(ModelFailure, match="broken"):
                    await replica.invoke(a_call())
                with pytest.raises(TimeoutError, match="the store does not answer"):
                    await replica.invoke(a_call())
                await cache.close()

    run(test())


def test_a_second_try_that_is_cut_off_is_told_as_a_stop() -> None:
    async def test() -> None:
        async with rig() as it:
            process = await loaded(it, replica := it.replica())
            promise = begin(replica, b"a")
            it.may_load.clear()
            process.is_there = False
            process.asked[0].tell(ModelUnreachable("it had gone"))
            (again,) = replica._again
            again.cancel()
            with pytest.raises(Unavailable, match="stopping"):
                await promise

    run(test())
