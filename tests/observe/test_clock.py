from datetime import UTC, datetime, timedelta, timezone

import pytest

from service.clock import Clock, ManualClock, SystemClock

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock(NOON)])
def test_every_clock_tells_an_aware_utc_time(clock: Clock) -> None:
    assert clock.now().utcoffset() == timedelta(0)


def test_the_system_clock_never_goes_back() -> None:
    clock = SystemClock()

    first, second = clock.monotonic(), clock.monotonic()

    assert first <= second


def test_a_manual_clock_stands_still_until_it_is_advanced() -> None:
    clock = ManualClock(NOON)

    assert (clock.now(), clock.now(), clock.monotonic()) == (NOON, NOON, 0.0)


def test_advancing_moves_date_and_duration_alike() -> None:
    clock = ManualClock(NOON)

    clock.advance(1.5)
    clock.advance(60)

    assert clock.now() == NOON + timedelta(seconds=61.5)
    assert clock.monotonic() == 61.5


def test_a_manual_clock_reads_a_start_in_another_zone_as_utc() -> None:
    clock = ManualClock(NOON.astimezone(timezone(timedelta(hours=5))))

    assert clock.now() == NOON
    assert clock.now().tzinfo is UTC


def test_a_manual_clock_refuses_a_start_without_zone() -> None:
    with pytest.raises(ValueError, match="aware"):
        ManualClock(NOON.replace(tzinfo=None))


def test_a_manual_clock_can_not_go_back() -> None:
    with pytest.raises(ValueError, match="cannot go back 2 s"):
        ManualClock(NOON).advance(-2)
