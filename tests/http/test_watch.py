"""Deadlines that pass at the same moment: each has its turn, and who went on meanwhile is not ended."""

import asyncio
from collections import Counter

from service.http.connections import Paces
from service.http.watch import Watch


class Guest:
    """Somebody whose time is over at `deadline_s`; `ends` is told in which round of the loop it was ended."""

    def __init__(self, ends: "Ends", deadline_s: float) -> None:
        self._ends = ends
        self.deadline_s = deadline_s
        self.watch = Watch(ends.loop, lambda: self.deadline_s, self.end, ends.paces.ends)
        self.watch.look_within(0.01)

    def end(self) -> None:
        """The watch's word that the time is over."""
        self._ends.in_round[self._ends.round] += 1
        self._ends.guests.append(self)
        self._ends.changed.set()


class Ends:
    """Who was ended, and how many in each round of the event loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.paces = Paces()
        self.guests: list[Guest] = []
        self.in_round: Counter[int] = Counter()
        self.round = 0
        self.changed = asyncio.Event()
        self._count()

    def _count(self) -> None:
        self.round += 1
        self.loop.call_soon(self._count)

    async def until(self, number: int) -> None:
        """Wait until so many were ended."""
        async with asyncio.timeout(30):
            while len(self.guests) < number:
                self.changed.clear()
                await self.changed.wait()


def test_those_whose_time_is_over_at_once_are_ended_some_at_a_time() -> None:
    async def run() -> None:
        ends = Ends()
        guests = [Guest(ends, ends.loop.time()) for _ in range(200)]

        await ends.until(200)

        assert ends.guests == guests
        assert max(ends.in_round.values()) <= 8

    asyncio.run(run())


def test_who_goes_on_while_it_waits_for_its_turn_is_not_ended() -> None:
    async def run() -> None:
        ends = Ends()
        guests = [Guest(ends, ends.loop.time()) for _ in range(100)]
        last = guests[-1]

        await ends.until(1)
        last.deadline_s = ends.loop.time() + 0.05
        moved_to_s = last.deadline_s
        await ends.until(100)

        assert ends.guests[-1] is last
        assert ends.loop.time() >= moved_to_s

    asyncio.run(run())


def test_who_is_gone_while_it_waits_for_its_turn_is_not_ended() -> None:
    async def run() -> None:
        ends = Ends()
        guests = [Guest(ends, ends.loop.time()) for _ in range(100)]

        await ends.until(1)
        guests[-1].watch.end()
        await ends.until(99)
        await asyncio.sleep(0.05)

        assert guests[-1] not in ends.guests

    asyncio.run(run())
