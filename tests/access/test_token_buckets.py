"""Counts that processes share: exact to the request, whoever asks."""

import os
from dataclasses import dataclass

import pytest

from service.access.token_buckets import TokenBuckets
from service.rates import RequestRate

_SELDOM = RequestRate(1e-3, 7)  # none is due while a test runs


@dataclass
class _Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_burst_comes_at_once_and_then_as_many_as_are_due() -> None:
    clock = _Clock()
    buckets = TokenBuckets(monotonic=clock)
    rate = RequestRate(10.0, 3)

    assert [buckets.take("a", rate) == 0 for _ in range(5)] == [True, True, True, False, False]
    assert buckets.take("a", rate) == pytest.approx(0.1)
    clock.now_s += 0.1
    assert [buckets.take("a", rate) == 0 for _ in range(2)] == [True, False]
    clock.now_s += 100
    assert [buckets.take("a", rate) == 0 for _ in range(4)] == [True, True, True, False]


def test_what_is_refused_does_not_make_the_wait_longer() -> None:
    clock = _Clock()
    buckets = TokenBuckets(monotonic=clock)
    buckets.take("a", RequestRate(1.0, 1))
    for _ in range(100):
        assert buckets.take("a", RequestRate(1.0, 1)) == pytest.approx(1.0)

    clock.now_s += 1.0
    assert buckets.take("a", RequestRate(1.0, 1)) == 0


def test_ten_times_too_many_come_to_the_rate_and_the_burst() -> None:
    clock = _Clock()
    buckets = TokenBuckets(monotonic=clock)
    let_in = 0
    for _ in range(20_000):
        let_in += buckets.take("a", RequestRate(100.0, 20)) == 0
        clock.now_s += 0.001

    assert 2000 <= let_in <= 2021


def test_each_name_has_a_count_of_its_own() -> None:
    buckets = TokenBuckets()

    assert [buckets.take(name, RequestRate(1e-3, 1)) == 0 for name in "abab"] == [True, True, False, False]


def test_processes_that_share_it_count_together() -> None:
    buckets = TokenBuckets()
    read, write = os.pipe()
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            taken = sum(buckets.take(name, _SELDOM) == 0 for name in ("a", "b") for _ in range(500))
            os.write(write, bytes([taken]))
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    os.close(write)
    found = os.read(read, 100)
    os.close(read)

    assert len(found) == 4
    assert sum(found) == 2 * _SELDOM.burst


def test_of_too_many_names_the_one_that_was_asked_least_lately_gives_way() -> None:
    clock = _Clock()
    buckets = TokenBuckets(most=4, monotonic=clock)
    for number in range(100):
        clock.now_s += 10_000
        assert buckets.take(f"n{number}", _SELDOM) == 0
    assert len([1 for _ in range(20) if buckets.take("n99", _SELDOM) == 0]) == _SELDOM.burst - 1
