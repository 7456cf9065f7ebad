"""What variants use, by the minute: several looks are one datapoint, and what is old becomes longer ones."""

from pathlib import Path

import pytest

from service.observe.utilization import Utilization, UtilizationKeeping, UtilizationSeries

DAY_S = 86_400
NOON_S = 1_700_000_040 // 3600 * 3600
OF_V = ("e", "v")


@pytest.fixture
def file(memory_path: Path) -> Path:
    return memory_path / "series.db"


def test_looks_of_one_minute_are_one_datapoint(file: Path) -> None:
    keeping, series = UtilizationKeeping(file, DAY_S), UtilizationSeries(file)
    keeping.add([Utilization(*OF_V, 10.0, 1.0, 50.0), Utilization("other", "v", 99.0, 99.0, 50.0)], NOON_S)
    keeping.add([Utilization(*OF_V, 150.0, 3.0, 50.0)], NOON_S + 59)
    UtilizationKeeping(file, DAY_S).add([Utilization(*OF_V, 20.0, 2.0, 50.0)], NOON_S + 60)  # after a restart

    first, second = series.read(*OF_V, NOON_S)

    assert (first.begin_s, second.begin_s) == (NOON_S, NOON_S + 60)
    assert (first.cpu.count, first.cpu.total, first.cpu.least, first.cpu.greatest) == (2, 160.0, 10.0, 150.0)
    assert (first.memory.total, first.memory.least, first.memory.greatest) == (4.0, 1.0, 3.0)
    assert (first.disk.least, first.disk.greatest) == (50.0, 50.0)
    assert (second.cpu.count, second.cpu.total, second.memory.total) == (1, 20.0, 2.0)
    assert series.pairs(NOON_S) == {OF_V, ("other", "v")}
    assert series.pairs(NOON_S + 60) == {OF_V}


def test_what_is_old_becomes_longer_and_then_goes(file: Path) -> None:
    keeping, series = UtilizationKeeping(file, 10 * DAY_S), UtilizationSeries(file)
    for minute in range(10):
        keeping.add([Utilization(*OF_V, float(minute), 1.0, 50.0)], NOON_S + 60 * minute)

    def after(days: float) -> list[tuple[int, float, float]]:
        keeping.add([Utilization("other", "v", 0.0, 0.0, 0.0)], NOON_S + days * DAY_S)
        return [(each.begin_s - NOON_S, each.cpu.count, each.cpu.total) for each in series.read(*OF_V, 0)]

    assert len(after(0.1)) == 10
    assert after(1) == [(0, 5, 10.0), (300, 5, 35.0)]
    assert after(4) == [(0, 10, 45.0)]
    assert after(12) == []


def test_there_is_nothing_where_nobody_wrote(file: Path) -> None:
    series = UtilizationSeries(file)
    assert (series.read(*OF_V, 0), series.pairs(0)) == ([], set())
    file.write_bytes(b"")  # another table's file
    assert (series.read(*OF_V, 0), series.pairs(0)) == ([], set())
