"""What models print, in the store: found again, bounded, of one group never at the cost of another."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.domain.log_patterns import read_log_pattern
from service.errors import StartupError
from service.store.log_writer import LogWriter
from service.store.logs import EventQuery, LogEvent, LogGroup, LogLine, LogStore
from tests.conftest import wait_until

_NOW_MS = 1_900_000_000_000  # a time to come: nothing is older than a group keeps it


@pytest.fixture
def file(memory_path: Path) -> Path:
    return memory_path / "logs.db"


@pytest.fixture
def store(file: Path) -> Iterator[LogStore]:
    opened = LogStore(file)
    yield opened
    opened.close()


def group(store: LogStore, name: str = "/g") -> LogGroup:
    found = store.group(name)
    assert found is not None
    return found


def events(store: LogStore, name: str = "/g", **asked: object) -> list[LogEvent]:
    streams = [stream.id for stream in store.streams(group(store, name))]
    return store.events(EventQuery(streams, 10_000, **asked))  # type: ignore[arg-type]  # its own members


def messages(store: LogStore, name: str = "/g", **asked: object) -> list[str]:
    return [event.message for event in events(store, name, **asked)]


def lines(*texts: str, name: str = "/g", stream: str = "s", at_ms: int = _NOW_MS) -> list[LogLine]:
    return [LogLine(name, stream, at_ms + number, text) for number, text in enumerate(texts)]


def test_lines_make_their_group_and_stream_and_come_back_in_the_order_of_their_times(store: LogStore) -> None:
    store.write(lines("b", at_ms=_NOW_MS + 5) + lines("a", "c", stream="other"))

    assert messages(store) == ["a", "c", "b"]
    assert [stream.name for stream in store.streams(group(store))] == ["other", "s"]
    (other, first) = store.streams(group(store))
    assert (other.first_ms, other.last_ms, first.first_ms) == (_NOW_MS, _NOW_MS + 1, _NOW_MS + 5)
    assert group(store).size_bytes == 3 * 27


def test_lines_of_one_time_stay_in_the_order_in_which_they_came(store: LogStore) -> None:
    store.write([LogLine("/g", "s", _NOW_MS, text) for text in "cab"])

    assert messages(store) == ["c", "a", "b"]


def test_a_page_goes_on_where_the_last_one_ended(store: LogStore) -> None:
    store.write([LogLine("/g", "s", _NOW_MS, str(number)) for number in range(5)])
    found = events(store)

    assert messages(store, after=found[1].place) == ["2", "3", "4"]
    assert messages(store, before=found[3].place) == ["0", "1", "2"]
    streams = [stream.id for stream in store.streams(group(store))]
    assert [event.message for event in store.events(EventQuery(streams, 2, last=True))] == ["3", "4"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("", ["an ERROR here", "all well", "100% well"]),
        ("ERROR", ["an ERROR here"]),
        ("error", []),
        ('"ll well"', ["all well"]),
        ("well -all", ["100% well"]),
        ("?ERROR ?100", ["an ERROR here", "100% well"]),
        ("id-1", ["all well"]),
        ("well -id-1", ["100% well"]),
        ('"100%"', ["100% well"]),
    ],
)
def test_a_term_is_met_by_a_line_or_by_the_id_of_its_request(
    store: LogStore, pattern: str, found: list[str]
) -> None:
    store.write(
        [
            LogLine("/g", "s", _NOW_MS, "an ERROR here"),
            LogLine("/g", "s", _NOW_MS, "all well", "id-1"),
            LogLine("/g", "s", _NOW_MS, "100% well"),
        ]
    )

    assert messages(store, pattern=read_log_pattern(pattern)) == found


def test_what_is_older_than_its_group_keeps_it_goes(store: LogStore) -> None:
    store.write(lines("old", at_ms=0) + lines("new") + lines("old", name="/other", at_ms=0))
    store.keep_for(group(store), 1)

    store.clear(1 << 30)

    assert (messages(store), messages(store, "/other")) == (["new"], ["old"])
    assert group(store).size_bytes == 26 + 3


def test_the_file_stays_bounded_and_a_loud_group_costs_a_quiet_one_nothing(
    store: LogStore, file: Path
) -> None:
    store.write(lines("quiet", name="/quiet"))
    most_bytes = 1 << 20
    for _ in range(4):
        store.write(lines(*(["loud " * 20] * 15_000), name="/loud"))
        store.clear(most_bytes)
        with sqlite3.connect(file) as connection:
            pages, free = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count")
            )
        connection.close()
        assert (pages - free) * 4096 <= most_bytes

    assert messages(store, "/quiet") == ["quiet"]
    assert messages(store, "/loud") != []
    assert file.stat().st_size < 8 << 20


def test_a_group_that_is_removed_takes_all_of_it_along_and_may_come_again(store: LogStore) -> None:
    store.write(lines("a"))
    store.delete_group(group(store))

    assert store.group("/g") is None
    store.write(lines("b"))
    assert messages(store) == ["b"]


def test_several_processes_may_write_and_read_one_file(store: LogStore, file: Path) -> None:
    others = [LogStore(file) for _ in range(4)]
    threads = [
        threading.Thread(target=lambda other=other: [other.write(lines("x", stream="t")) for _ in range(20)])
        for other in others
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(messages(store)) == 80
    for other in others:
        other.close()


def test_a_file_of_another_release_is_not_touched(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(StartupError, match="another release"):
        LogStore(file).groups()


def test_whoever_writes_does_not_wait_and_what_is_there_at_the_end_is_written(store: LogStore) -> None:
    writer = LogWriter(store)
    for number in range(1_000):
        writer.add("/g s", str(number), f"id-{number}")
    writer.close()

    assert messages(store) == [str(number) for number in range(1_000)]
    assert messages(store, pattern=read_log_pattern("id-77")) == ["77"]


def test_of_a_flood_so_many_are_kept_and_the_others_counted(store: LogStore) -> None:
    writer = LogWriter(store, most_per_s=10)
    for number in range(1_000):
        writer.add("/g loud", str(number))
        writer.add(f"/g quiet-{number % 200}", "quiet")

    wait_until(lambda: any("left out" in text for text in _all(store)), 60.0)
    writer.close()
    told = [text for text in _all(store) if "left out" in text]
    kept = [text for text in _all(store) if text.isdecimal()]
    counted = sum(int(text.split()[2].replace(",", "")) for text in told)
    assert len(kept) + counted == 1_000
    assert _all(store).count("quiet") == 1_000


def _all(store: LogStore) -> list[str]:
    return messages(store) if store.group("/g") is not None else []


def test_what_is_no_place_is_kept_nowhere(store: LogStore) -> None:
    writer = LogWriter(store)
    for place in ("", "/g", "/g a:b", "/g a b", "/gé s", "g\n s"):
        writer.add(place, "lost")
    writer.add("/g s", "kept")
    writer.close()

    assert [found.name for found in store.groups()] == ["/g"]
    assert messages(store) == ["kept"]
