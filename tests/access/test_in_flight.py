"""Counts of what is under way, over processes that share them and end in any way."""

import os
import signal
from collections.abc import Callable

from service.access.in_flight import InFlight


def in_child(act: Callable[[], int]) -> int:
    """What `act` gives in a process of its own; the signal's number below 0 where one ended it."""
    child = os.fork()
    if child == 0:
        code = 255
        try:
            code = act()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_as_many_are_under_way_as_may_be_and_one_more_when_one_is_over() -> None:
    counts = InFlight()
    rows = [counts.enter("a", 3) for _ in range(4)]

    assert rows[3] is None
    assert None not in rows[:3]
    assert counts.enter("b", 1) is not None  # somebody else
    counts.leave(rows[0] or 0)
    assert [counts.enter("a", 3) is None for _ in range(2)] == [False, True]


def test_processes_count_together_and_what_a_killed_one_had_ends_with_its_place() -> None:
    counts = InFlight()
    counts.begin("gateway-0")
    counts.enter("a", 3)

    def killed() -> int:
        counts.begin("gateway-1")
        counts.enter("a", 3)
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    def replaced() -> int:
        counts.begin("gateway-1")
        return sum(counts.enter("a", 3) is not None for _ in range(5))

    assert in_child(killed) == -signal.SIGKILL
    assert counts.enter("a", 3) is not None
    assert counts.enter("a", 3) is None  # two of this one, one of the one that was killed
    assert in_child(replaced) == 1
    assert counts.enter("a", 3) is None


def test_a_row_is_given_to_another_name_only_when_nothing_of_it_is_under_way() -> None:
    counts = InFlight(most=2)
    held = [counts.enter(name, 5) for name in ("a", "b")]

    assert counts.enter("c", 5) is None  # no room: nobody's count is touched
    counts.leave(held[0] or 0)
    assert counts.enter("c", 5) == held[0]
    assert counts.enter("a", 5) is None
    counts.leave(held[1] or 0)
    assert [counts.enter("a", 1) is None for _ in range(2)] == [False, True]


def test_many_names_find_room_one_after_the_other() -> None:
    counts = InFlight(most=64)
    for number in range(1000):
        row = counts.enter(f"n{number}", 1)
        assert row is not None
        assert counts.enter(f"n{number}", 1) is None
        counts.leave(row)
