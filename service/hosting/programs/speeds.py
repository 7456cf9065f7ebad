"""How long an estimator and its program take, and for how many rows the program is the faster one."""

from collections.abc import Sequence
from time import thread_time

import numpy as np

from service.hosting.programs.agreement import Disagreement, Given, Step, quiet

Speeds = tuple[tuple[int, float, float], ...]
"""Rows at once, seconds of processor time of the estimator, and of the program."""

_SIZES = (1, 8, 64, 256, 2048)
_TIMED_S = 0.005
_LEAST_CALLS, _MOST_CALLS = 3, 20  # the first one may make what is kept for the next
_ALIKE = 0.1  # of what a row takes, by which measurements differ that are of the same
_LONGEST_S = 0.1  # that a number of rows may take to be measured


def measure(method: Step, program: Step, given: Given) -> Speeds:
    """What both take for some numbers of rows, or of texts."""
    found: list[tuple[int, float, float]] = []
    with quiet():
        for size in _SIZES:
            if found and sum(found[-1][1:]) * size / found[-1][0] > _LONGEST_S:
                break
            some = _resized(given, size)
            found.append((size, _time(method, some), _time(program, some)))
    return tuple(found)


def _resized(given: Given, size: int) -> Given:
    if isinstance(given, np.ndarray):
        return np.resize(given, (size, given.shape[1]))
    return [given[number % len(given)] for number in range(size)]


def _time(step: Step, given: Given) -> float:
    """The least of some calls, in as much time as there is."""
    least_s = float("inf")
    begun_s = thread_time()
    for number in range(1, _MOST_CALLS + 1):
        started_s = thread_time()
        step(given)
        now_s = thread_time()
        least_s = min(least_s, now_s - started_s)
        if number >= _LEAST_CALLS and now_s - begun_s > _TIMED_S:
            break
    return least_s


def faster_for(speeds: Speeds) -> tuple[int, float]:
    """The fewest and the most rows at once that a program is the faster one for, of sizes in a row.

    Raises: Disagreement if there are none.
    """
    faster = [program_s < method_s for _, method_s, program_s in speeds]
    if not any(faster):
        raise Disagreement("its program is not faster")
    first = faster.index(True)
    last = first
    while last + 1 < len(faster) and faster[last + 1]:
        last += 1
    return speeds[first][0], _reach(speeds) if last == len(faster) - 1 else speeds[last][0]


def _reach(speeds: Sequence[tuple[int, float, float]]) -> float:
    """How many rows a program stays faster for that is so at the last size: where both lines meet.

    Lines that are about parallel do so anywhere, for nothing is measured exactly.
    """
    if len(speeds) < 2:
        return float("inf")
    (fewer, method_before_s, program_before_s), (rows, method_s, program_s) = speeds[-2:]
    gain_s = method_s - program_s
    gained_s = (gain_s - (method_before_s - program_before_s)) / (rows - fewer)
    return float("inf") if gained_s >= -_ALIKE * method_s / rows else rows - gain_s / gained_s
