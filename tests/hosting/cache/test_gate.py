import asyncio

import pytest

from service.errors import Unavailable
from service.hosting.cache.gate import Gate


def test_no_more_than_the_limit_are_inside_and_the_line_moves_in_order() -> None:
    async def run() -> list[str]:
        gate, told = Gate(limit=2, queue=10), []
        leave = {name: asyncio.Event() for name in "abcd"}

        async def caller(name: str) -> None:
            await gate.enter()
            told.append(name)
            assert gate.inside <= 2
            await leave[name].wait()
            gate.leave()

        callers = [asyncio.create_task(caller(name)) for name in "abcd"]
        await _settle()
        assert (told, gate.inside, gate.waiting) == (["a", "b"], 2, 2)
        for name in "badc":
            leave[name].set()
            await _settle()
        await asyncio.gather(*callers)
        assert (gate.inside, gate.waiting) == (0, 0)
        return told

    assert asyncio.run(run()) == ["a", "b", "c", "d"]


def test_a_full_line_refuses_at_once_and_says_which_settings_help() -> None:
    async def run() -> None:
        gate = Gate(limit=1, queue=1)
        await gate.enter()
        waiting = asyncio.create_task(gate.enter())
        await _settle()
        with pytest.raises(Unavailable, match="SAGEBIRD_MODEL_QUEUE"):
            await gate.enter()
        gate.leave()
        await waiting
        gate.leave()
        assert gate.inside == 0

    asyncio.run(run())


def test_a_caller_that_gives_up_leaves_its_place_to_the_next() -> None:
    async def run() -> None:
        gate = Gate(limit=1, queue=5)
        await gate.enter()
        first, second = (asyncio.create_task(gate.enter()) for _ in range(2))
        await _settle()
        first.cancel()
        await _settle()
        assert gate.waiting == 1
        gate.leave()
        await second
        assert gate.inside == 1

    asyncio.run(run())


def test_a_caller_that_gives_up_as_its_turn_comes_passes_the_turn_on() -> None:
    async def run() -> None:
        gate = Gate(limit=1, queue=5)
        await gate.enter()
        first, second = (asyncio.create_task(gate.enter()) for _ in range(2))
        await _settle()
        gate.leave()  # the place is the first one's …
        first.cancel()  # … who leaves before it hears so
        await asyncio.wait_for(second, 5)
        assert (gate.inside, gate.waiting) == (1, 0)

    asyncio.run(run())


def test_a_caller_that_gives_up_just_before_its_turn_is_passed_over() -> None:
    async def run() -> None:
        gate = Gate(limit=1, queue=5)
        await gate.enter()
        first, second = (asyncio.create_task(gate.enter()) for _ in range(2))
        await _settle()
        first.cancel()  # it stands in line until the loop gets to it …
        gate.leave()  # … and the place is given away before that
        await asyncio.wait_for(second, 5)
        assert (await asyncio.gather(first, return_exceptions=True))[0].__class__ is asyncio.CancelledError
        assert (gate.inside, gate.waiting) == (1, 0)
        gate.leave()
        assert gate.inside == 0

    asyncio.run(run())


def test_a_wider_gate_lets_those_in_line_in_and_a_narrower_one_waits_for_those_inside() -> None:
    async def run() -> None:
        gate = Gate(limit=1, queue=5)
        await gate.enter()
        callers = [asyncio.create_task(gate.enter()) for _ in range(3)]
        await _settle()
        gate.resize(3)
        await _settle()
        assert (gate.inside, gate.waiting) == (3, 1)
        gate.resize(1)
        for inside in (2, 1):
            gate.leave()
            await _settle()
            assert (gate.inside, gate.waiting) == (inside, 1)
        gate.leave()
        await asyncio.gather(*callers)
        assert (gate.inside, gate.waiting) == (1, 0)

    asyncio.run(run())


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
