"""When the requests of an open loop are due, and an alarm that goes off then."""

import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from random import Random
from time import monotonic

from service.load.plan import RateStage

_LEAST_SLEEP_S = 0.0002


def even_times(start_s: float, rate: float, part: int, parts: int) -> Iterator[float]:
    """Due times of one process of several that share `rate` requests/s out: every `parts`-th of them."""
    number = part
    while True:
        yield start_s + number / rate
        number += parts


def random_times(start_s: float, rate: float, seed: int) -> Iterator[float]:
    """Due times with exponential gaps, `rate` per second on average: a Poisson process."""
    draw = Random(seed).expovariate  # noqa: S311  # traffic, not a secret
    due_s = start_s
    while True:
        due_s += draw(rate)
        yield due_s


def staged_times(
    start_s: float, stages: Sequence[RateStage], times_of: Callable[[int, float, float], Iterator[float]]
) -> Iterator[float]:
    """Due times of one stage after the other; `times_of` has those of a stage: its number, start and rate."""
    for number, stage in enumerate(stages):
        end_s = start_s + stage.duration_s
        yield from takewhile(end_s.__gt__, times_of(number, start_s, stage.rate))
        start_s = end_s


class Pacer(threading.Thread):
    """Calls `wake` when requests become due, from a thread of its own.

    An event loop's timers are whole milliseconds (uvloop, epoll), which is longer than many an answer takes;
    a sleeping thread is some 60 µs late. Requests that are due within 200 µs of each other share one call.
    """

    def __init__(self, times: Iterator[float], end_s: float, wake: Callable[[], object]) -> None:
        """`times` ascend; the thread ends at `end_s` (time.monotonic) or by `stop`."""
        super().__init__(name="pacer", daemon=True)
        self._times = times
        self._end_s = end_s
        self._wake = wake
        self._stopped = threading.Event()

    def run(self) -> None:
        """Sleep, wake, until the end."""
        for due_s in self._times:
            if due_s >= self._end_s:
                return
            wait_s = due_s - monotonic()
            if wait_s <= 0:  # whoever is awake anyway has seen to this one
                continue
            if self._stopped.wait(max(wait_s, _LEAST_SLEEP_S)):
                return
            self._wake()

    def stop(self) -> None:
        """End the thread, and wait for that."""
        self._stopped.set()
        if self.is_alive():
            self.join()
