"""Outcomes that come later: told in one go to all who added to it, or awaited."""

import asyncio

import pytest

from service.promise import Promise


def test_each_step_gets_what_the_one_before_made_of_it_whenever_it_was_added() -> None:
    promise: Promise[int] = Promise()
    told: list[object] = []
    promise.then(lambda outcome: f"{outcome}!").then(told.append)
    assert told == []
    promise.keep(7)
    assert told == ["7!"]
    kept: Promise[int] = Promise()
    kept.keep(8)
    kept.then(lambda outcome: f"{outcome}?").then(told.append)
    assert told == ["7!", "8?"]


def test_what_a_step_raises_is_the_outcome_of_the_next() -> None:
    promise: Promise[int] = Promise()
    told: list[object] = []

    def fail(outcome: int | Exception) -> int:
        raise LookupError(str(outcome))

    promise.then(fail).then(lambda outcome: told.append(repr(outcome)))
    promise.keep(1)
    assert told == ["LookupError('1')"]


def test_it_can_be_awaited_before_and_after_it_is_kept() -> None:
    async def test() -> None:
        promise: Promise[int] = Promise()
        asyncio.get_running_loop().call_soon(promise.keep, 5)
        assert await promise == 5
        kept: Promise[int] = Promise()
        kept.keep(6)
        assert await kept == 6
        broken: Promise[int] = Promise()
        broken.keep(LookupError("gone"))
        with pytest.raises(LookupError, match="gone"):
            await broken

    asyncio.run(test())


def test_who_gives_up_waiting_is_told_nothing() -> None:
    async def test() -> None:
        for outcome in (1, LookupError("nobody hears it")):
            promise: Promise[int] = Promise()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await promise
            promise.keep(outcome)

    asyncio.run(test())
