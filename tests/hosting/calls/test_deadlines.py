"""Time limits by one timer: what is over in time is left alone, the rest expires in its order."""

import asyncio
from collections.abc import Callable
from math import inf

from service.hosting.calls.deadlines import Deadlines

LIMIT_S = 30.0


class Call:
    """Something that has to be over in time."""

    def __init__(self, expired: Callable[[], None]) -> None:
        self.expire = expired


def test_what_is_due_expires_in_its_order_and_what_was_over_does_not() -> None:
    async def test() -> list[str]:
        deadlines, told, done = Deadlines(), list[str](), asyncio.Event()
        now_s = asyncio.get_running_loop().time()

        def add(name: str, after_s: float) -> Call:
            call = Call(lambda: told.append(name))
            deadlines.add(call, now_s + after_s)
            return call

        add("second", 0.02)
        over = add("over", 0.01)
        add("first", 0.005)  # later than the others, and due before them
        deadlines.discard(over)
        deadlines.discard(over)
        deadlines.add(Call(done.set), now_s + 0.04)
        add("never", LIMIT_S * 2)
        await asyncio.wait_for(done.wait(), LIMIT_S)
        return told

    assert asyncio.run(test()) == ["first", "second"]


def test_one_that_expires_may_end_others_and_begin_new_ones() -> None:
    async def test() -> list[str]:
        deadlines, told, done = Deadlines(), list[str](), asyncio.Event()
        due_s = asyncio.get_running_loop().time()
        second = Call(lambda: told.append("second"))

        def first() -> None:
            told.append("first")
            deadlines.discard(second)
            deadlines.add(Call(done.set), due_s)
            deadlines.add(Call(lambda: told.append("never")), inf)

        deadlines.add(Call(first), due_s)
        deadlines.add(second, due_s)
        await asyncio.wait_for(done.wait(), LIMIT_S)
        return told

    assert asyncio.run(test()) == ["first"]
