from collections.abc import Callable

import pytest

from service.clock import SystemClock
from service.jobs.heartbeat import BEAT_S, SILENT_S, Heartbeat
from service.store.tasks import TaskLease
from tests.conftest import wait_until
from tests.jobs.house import House


@pytest.fixture
def lease(house: House) -> TaskLease:
    house.order()
    found = house.store.queue.claim(house.clock.now(), house.clock.monotonic(), SILENT_S)
    assert found is not None
    return found


def heartbeat(house: House, lease: TaskLease, leaving: Callable[[], bool] = lambda: False) -> Heartbeat:
    return Heartbeat(house.store.queue, lease, house.clock, leaving=leaving)


def test_a_heartbeat_renews_the_lease_when_it_is_time_to(house: House, lease: TaskLease) -> None:
    one = heartbeat(house, lease)
    for _ in range(10):
        house.clock.advance(BEAT_S)
        one.look()
        assert house.store.queue.claim(house.clock.now(), house.clock.monotonic(), SILENT_S) is None

    assert not one.stops()


def test_a_lease_that_was_taken_over_is_lost(house: House, lease: TaskLease) -> None:
    one = heartbeat(house, lease)
    house.store.queue.release(lease)
    assert house.store.queue.claim(house.clock.now(), house.clock.monotonic(), SILENT_S)

    one.look()

    assert one.lost
    assert one.stops()


def test_who_could_not_beat_for_too_long_takes_the_lease_for_lost(house: House, lease: TaskLease) -> None:
    one = heartbeat(house, lease)

    house.clock.advance(SILENT_S + 0.1)

    assert one.lost


def test_a_job_that_is_being_stopped_is_heard_of(house: House, lease: TaskLease) -> None:
    one = heartbeat(house, lease)
    house.stop()

    one.look()

    assert (one.stopping, one.lost, one.stops()) == (True, False, True)


def test_a_worker_that_leaves_stops(house: House, lease: TaskLease) -> None:
    assert heartbeat(house, lease, lambda: True).stops()


def test_the_thread_beats_by_itself(house: House, lease: TaskLease) -> None:
    house.stop()
    with Heartbeat(house.store.queue, lease, SystemClock(), beat_s=0.01, look_s=0.01) as one:
        wait_until(lambda: one.stopping)
