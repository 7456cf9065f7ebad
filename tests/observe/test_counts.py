import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.observe.counter import BOUNDS_S, InvocationCounter
from service.observe.counts import (
    MAX_NAMES,
    MOST_GENERATIONS,
    OTHER,
    STALE_S,
    Counts,
    Gauges,
    Registry,
    Snapshot,
    read_all,
)


def read_one(directory: Path) -> Snapshot:
    (snapshot,) = read_all(directory)
    return snapshot


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


def fill(registry: Registry) -> None:
    registry.invocation("e", "v").count(0.25, 0.125)
    registry.invocation("e", "v").count_error(0.5, "ModelError", 5, 0.25)
    registry.count_refusal("ValidationError")
    registry.count_load("m", "loaded", 0.5)
    registry.count_load("m", "failed", 0.25)
    registry.count_eviction("m", "memory")
    registry.watch_gauges(lambda: Gauges(1, 2, 3, 4))


# counting


@pytest.mark.parametrize(
    ("duration_s", "bucket"),
    [
        (0.0, 0),
        (0.0005, 0),
        (0.000501, 1),
        (60.0, len(BOUNDS_S) - 1),
        (60.1, len(BOUNDS_S)),
        (1e9, len(BOUNDS_S)),
    ],
)
def test_a_latency_falls_into_the_first_bucket_that_ends_at_or_above_it(
    duration_s: float, bucket: int
) -> None:
    counter = InvocationCounter()

    counter.count(duration_s)

    assert [i for i, number in enumerate(counter.buckets) if number] == [bucket]


def test_bounds_rise_from_half_a_millisecond_to_a_minute() -> None:
    assert list(BOUNDS_S) == sorted(set(BOUNDS_S))
    assert (BOUNDS_S[0], BOUNDS_S[-1]) == (0.0005, 60.0)


def test_a_failed_request_is_a_request_too() -> None:
    counter = InvocationCounter()

    counter.count(0.25, 0.125)
    counter.count_error(0.5, "ModelError", 4, 0.25)
    counter.count_error(0.5, "ModelError", 5)
    counter.count_error(0.5, "ModelError", 5)

    assert counter.requests == 4
    assert (counter.seconds, counter.model_seconds) == (1.75, 0.375)
    assert counter.errors == {("ModelError", 4): 1, ("ModelError", 5): 2}


def test_a_variant_has_one_counter(tmp_path: Path) -> None:
    registry = Registry(tmp_path, "g0")

    assert registry.invocation("e", "v") is registry.invocation("e", "v")
    assert registry.invocation("e", "v") is not registry.invocation("e", "w")


def test_all_that_was_counted_is_written_and_read_back(tmp_path: Path) -> None:
    registry = Registry(tmp_path, "g0")
    fill(registry)

    written = registry.flush()

    snapshot = read_one(tmp_path)
    assert snapshot == written == registry.snapshot()
    assert (snapshot.slot, snapshot.live, snapshot.gauges) == ("g0", True, Gauges(1, 2, 3, 4))
    assert snapshot.counts.invocations[("e", "v")].requests == 2
    assert snapshot.counts.refusals == {"ValidationError": 1}
    assert snapshot.counts.loads == {("m", "loaded"): 1, ("m", "failed"): 1}
    assert snapshot.counts.load_seconds == {"m": 0.75}
    assert snapshot.counts.evictions == {("m", "memory"): 1}


def test_variants_without_a_request_are_left_out(tmp_path: Path) -> None:
    registry = Registry(tmp_path, "g0")
    idle, busy = registry.invocation("e", "idle"), registry.invocation("e", "busy")
    busy.count(0.5)
    registry.flush()
    assert list(registry.snapshot().counts.invocations) == [("e", "busy")]
    assert [list(found.counts.invocations) for found in read_all(tmp_path)] == [[("e", "busy")]]

    idle.count(0.5)
    assert set(registry.snapshot().counts.invocations) == {("e", "busy"), ("e", "idle")}


def test_a_snapshot_does_not_change_with_later_counts(tmp_path: Path) -> None:
    registry = Registry(tmp_path, "g0")
    fill(registry)

    before = registry.snapshot()
    fill(registry)

    assert before.counts.invocations[("e", "v")].requests == 2
    assert before.counts.loads == {("m", "loaded"): 1, ("m", "failed"): 1}


def test_loads_on_many_threads_are_all_counted(tmp_path: Path) -> None:
    registry = Registry(tmp_path, "g0")

    def load_often() -> None:
        for _ in range(500):
            registry.count_load("m", "loaded", 1.0)

    threads = [Thread(target=load_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert registry.snapshot().counts.loads == {("m", "loaded"): 2000}


# names


def test_models_beyond_the_bound_are_counted_together(tmp_path: Path) -> None:
    registry = Registry(tmp_path, "g0")

    for i in range(MAX_NAMES + 5):
        registry.count_load(f"m{i}", "loaded", 1.0)
        registry.count_eviction(f"m{i}", "memory")
    registry.count_load("m0", "loaded", 1.0)

    counts = registry.snapshot().counts
    assert len(counts.load_seconds) == MAX_NAMES + 1
    assert counts.loads[(OTHER, "loaded")] == counts.evictions[(OTHER, "memory")] == 5
    assert counts.loads[("m0", "loaded")] == 2


def test_variants_beyond_the_bound_are_counted_together(tmp_path: Path) -> None:
    registry = Registry(tmp_path, "g0")

    counters = [registry.invocation(f"e{i}", "v") for i in range(MAX_NAMES + 5)]

    assert len({id(counter) for counter in counters}) == MAX_NAMES + 1
    assert counters[-1] is counters[MAX_NAMES] is registry.invocation(OTHER, OTHER)


def test_fleets_of_an_endpoint_are_counted_apart_and_together(tmp_path: Path) -> None:
    registry = Registry(tmp_path, "g0")
    registry.invocation("e", "v", 7).count_error(0.25, "ModelError", 5)
    registry.invocation("e", "v", 9).count(0.5, requests=2)
    registry.flush()
    heir = Registry(tmp_path, "g0")  # the next process in the slot goes on from its file
    heir.invocation("e", "v", 9).count(0.5)

    counts = heir.snapshot().counts

    assert {each[2]: counter.requests for each, counter in counts.deployments.items()} == {7: 1, 9: 3}
    assert (counts.deployments["e", "v", 9].errors_of(5), counts.invocations["e", "v"].errors_of(5)) == (0, 1)
    assert counts.invocations["e", "v"].requests == 4


def test_an_endpoint_that_is_updated_for_ever_takes_no_more_room_and_loses_no_count(tmp_path: Path) -> None:
    registry = Registry(tmp_path, "g0")
    for generation in range(1, 21):
        registry.invocation("e", "v", generation).count(0.25)
        if generation == 10:
            registry.flush()
            registry = Registry(tmp_path, "g0")

    counts = registry.snapshot().counts

    assert counts.invocations["e", "v"].requests == 20
    assert len(counts.deployments) == MOST_GENERATIONS + 1
    assert {("e", "v", 0), ("e", "v", 20), ("e", "v", 19)} < counts.deployments.keys()


def test_the_bound_holds_over_a_restart(tmp_path: Path) -> None:
    first = Registry(tmp_path, "g0")
    for i in range(MAX_NAMES):
        first.count_load(f"m{i}", "loaded", 1.0)
    first.flush()

    second = Registry(tmp_path, "g0")
    second.count_load("one more", "loaded", 1.0)

    assert second.snapshot().counts.loads[(OTHER, "loaded")] == 1


def test_a_name_that_is_no_utf8_can_be_written(tmp_path: Path) -> None:
    registry = Registry(tmp_path, "g0")

    registry.count_load(os.fsdecode(b"caf\xe9"), "loaded", 1.0)
    registry.flush()

    assert list(read_one(tmp_path).counts.load_seconds) == [r"caf\udce9"]


# files and restarts


def test_a_restarted_slot_goes_on_from_its_counts_but_not_from_its_gauges(tmp_path: Path) -> None:
    first = Registry(tmp_path, "g0")
    fill(first)
    before = first.flush()

    second = Registry(tmp_path, "g0")

    assert second.snapshot() == Snapshot("g0", before.counts, Gauges(), live=True)
    fill(second)
    second.flush()
    assert read_one(tmp_path).counts.invocations[("e", "v")].requests == 4


def test_a_killed_process_leaves_its_counts_and_is_no_longer_live(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from service.observe.counts import Gauges, Registry\n"
        "registry = Registry(Path(sys.argv[1]), 'g0')\n"
        "registry.invocation('e', 'v').count(0.25)\n"
        "registry.watch_gauges(lambda: Gauges(cache_bytes=7))\n"
        "registry.flush()\n"
        "registry.invocation('e', 'v').count(0.25)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)

    left = read_one(tmp_path)

    assert ended.returncode == -9
    assert (left.live, left.counts.invocations[("e", "v")].requests) == (False, 1)
    heir = Registry(tmp_path, "g0")
    heir.invocation("e", "v").count(0.25)
    assert heir.flush().counts.invocations[("e", "v")].requests == 2
    assert read_one(tmp_path).live


def test_a_slot_that_is_not_flushed_any_more_is_not_live(tmp_path: Path) -> None:
    Registry(tmp_path, "g0").flush()
    path = tmp_path / "g0.json"

    os.utime(path, (0, path.stat().st_mtime - STALE_S))

    assert not read_one(tmp_path).live


def test_flushing_without_news_only_shows_that_the_slot_lives(tmp_path: Path) -> None:
    registry = Registry(tmp_path, "g0")
    registry.flush()
    path = tmp_path / "g0.json"
    before = path.stat()
    os.utime(path, (0, 0))

    registry.flush()

    assert path.stat().st_ino == before.st_ino
    assert read_one(tmp_path).live


def test_a_file_that_was_taken_away_is_written_again(tmp_path: Path) -> None:
    registry = Registry(tmp_path, "g0")
    registry.flush()
    (tmp_path / "g0.json").unlink()

    registry.flush()

    assert read_one(tmp_path).slot == "g0"


def test_a_flush_that_fails_leaves_the_old_file_and_the_next_one_writes(tmp_path: Path) -> None:
    registry = Registry(tmp_path, "g0")
    fill(registry)
    old = registry.flush()
    obstacle = tmp_path / "g0.tmp"
    obstacle.mkdir()
    fill(registry)

    with pytest.raises(OSError, match=r"g0\.tmp"):
        registry.flush()

    assert read_one(tmp_path) == old
    obstacle.rmdir()
    assert registry.flush() == read_one(tmp_path)


def test_a_flush_leaves_no_temporary_file(tmp_path: Path) -> None:
    fill(registry := Registry(tmp_path, "g0"))

    registry.flush()

    assert [path.name for path in tmp_path.iterdir()] == ["g0.json"]


def test_slots_are_read_in_order_and_a_missing_directory_has_none(tmp_path: Path) -> None:
    for slot in ("b", "a"):
        Registry(tmp_path / "metrics", slot).flush()

    assert [snapshot.slot for snapshot in read_all(tmp_path / "metrics")] == ["a", "b"]
    assert read_all(tmp_path / "elsewhere") == []


@pytest.mark.parametrize("slot", ["", "..", "a/b", "a.b", "a\n"])
def test_a_slot_must_be_a_plain_name(tmp_path: Path, slot: str) -> None:
    with pytest.raises(ValueError, match="slot"):
        Registry(tmp_path, slot)


DAMAGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "another format": lambda d: d.update(format=0),
    "other bounds": lambda d: d.update(bounds_s=[1.0]),
    "no counts": lambda d: d.pop("loads"),
    "too few labels": lambda d: d.update(evictions=[["m", 1]]),
    "negative count": lambda d: d.update(refusals=[["ValidationError", -1]]),
    "fractional count": lambda d: d.update(refusals=[["ValidationError", 1.5]]),
    "negative seconds": lambda d: d.update(load_seconds=[["m", -0.5]]),
    "seconds missing": lambda d: d.update(load_seconds=[["m", None]]),
    "too few buckets": lambda d: d["deployments"][0].__setitem__(3, [1, 2]),
    "an unknown gauge": lambda d: d["gauges"].update(weight=1),
    "gauges of another shape": lambda d: d.update(gauges=[]),
    "a pid that can not be": lambda d: d.update(pid=2**62),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_skipped_with_a_log_line(
    tmp_path: Path, damage: Callable[[dict[str, Any]], object], caplog: pytest.LogCaptureFixture
) -> None:
    for slot in ("g0", "g1"):
        fill(registry := Registry(tmp_path, slot))
        registry.flush()
    edit(tmp_path / "g0.json", damage)

    assert [snapshot.slot for snapshot in read_all(tmp_path)] == ["g1"]

    (record,) = caplog.records
    assert "metrics file skipped" in record.getMessage()
    assert "g0.json" in record.getMessage()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"3", b"null", b'{"format": 1', b"[" * 5000])
def test_a_file_that_is_no_document_is_skipped_and_its_slot_starts_anew(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "g0.json").write_bytes(content)

    assert read_all(tmp_path) == []
    assert Registry(tmp_path, "g0").flush().counts == Counts()
    assert read_one(tmp_path).slot == "g0"


def test_something_that_is_no_file_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "g0.json").mkdir()

    assert read_all(tmp_path) == []


# sums

Event = tuple[str, str, float, tuple[str, Literal[4, 5]] | None]
seconds = st.integers(0, 2**20).map(lambda n: n / 1024)  # sums of these are exact
events = st.lists(
    st.tuples(
        st.sampled_from(["g0", "g1", "g2"]),
        st.sampled_from(["a", "b"]),
        seconds,
        st.none() | st.tuples(st.sampled_from(["ModelError", "ValidationError"]), st.sampled_from([4, 5])),
    ),
    max_size=40,
)


@given(events, st.sets(st.integers(0, 39)))
def test_sums_over_slots_are_what_was_counted_whatever_restarts(
    tmp_path_factory: pytest.TempPathFactory, happened: list[Event], restarts: set[int]
) -> None:
    directory = tmp_path_factory.mktemp("metrics")
    registries = {slot: Registry(directory, slot) for slot in ("g0", "g1", "g2")}

    for i, (slot, variant, duration_s, error) in enumerate(happened):
        counter = registries[slot].invocation("e", variant)
        if error is None:
            counter.count(duration_s, duration_s / 2)
        else:
            counter.count_error(duration_s, *error, duration_s / 2)
        registries[slot].flush()
        if i in restarts:
            registries[slot] = Registry(directory, slot)

    total = Counts()
    for snapshot in read_all(directory):
        total.add(snapshot.counts)
    for variant in ("a", "b"):
        mine = [event for event in happened if event[1] == variant]
        counter = total.invocations.get(("e", variant), InvocationCounter())
        assert counter.requests == len(mine)
        assert counter.seconds == sum(event[2] for event in mine) == 2 * counter.model_seconds
        assert sum(counter.errors.values()) == sum(event[3] is not None for event in mine)
        for end, bound in enumerate(BOUNDS_S):
            assert sum(counter.buckets[: end + 1]) == sum(event[2] <= bound for event in mine)
