import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy.exc import IntegrityError

from service.domain.endpoint import WarmReport, WarmState
from service.domain.kinds import Kind
from service.domain.listing import ListQuery
from service.domain.resource import Resource
from service.errors import Unavailable
from service.store.database import Location
from service.store.members import GatewayReport, ModelReport
from service.store.store import Delta, Store

NOON = datetime(2026, 1, 2, 12, 0, 0, 123456, tzinfo=UTC)

WRITER = """
import sys
from pathlib import Path
from service.store.store import Store

location, rounds = sys.argv[1], int(sys.argv[2])
location = location if "://" in location else Path(location)
sys.stdin.readline()
store = Store(location)
for number in range(1, rounds + 1):
    with store.change() as change:
        total = (change.fact("total") or 0) + 1
        change.put_fact("total", total)
        change.put_fact("copy", total)
    print(number, flush=True)
"""

STUCK_WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.store.store import Store

location = sys.argv[1]
store = Store(location if "://" in location else Path(location))
now = datetime.now(UTC)
with store.change() as change:
    change.put(Resource(Kind.MODEL, "half", {}, now, now))
    change.put_fact("half", True)
    print("inside", flush=True)
    sys.stdin.readline()
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def model(name: str, **document: object) -> Resource:
    return Resource(Kind.MODEL, name, {"ModelName": name, **document}, NOON, NOON)


def everything(store: Store) -> Delta:
    return store.changes_since(0)


def test_a_resource_comes_back_as_it_was_put(store: Store) -> None:
    resource = Resource(
        Kind.ENDPOINT,
        "iris",
        {"EndpointName": "iris", "Tags": [{"Key": "ü"}]},
        NOON,
        NOON.replace(year=2027),
        status="Failed",
        failure_reason="why \0 not",
        state={"active": None, "weight": 0.1},
        declared=True,
        tags={"team": "ü\0"},
    )

    with store.change() as change:
        change.put(resource)
        assert change.get(Kind.ENDPOINT, "iris") == resource

    assert store.get(Kind.ENDPOINT, "iris") == resource
    assert store.get(Kind.MODEL, "iris") is None


@pytest.mark.parametrize("microsecond", [0, 1, 499_999, 999_999])
@pytest.mark.parametrize("year", [1970, 2026, 2150])
def test_times_come_back_to_the_microsecond(store: Store, year: int, microsecond: int) -> None:
    time = NOON.replace(year=year, microsecond=microsecond)

    with store.change() as change:
        change.put(replace(model("m"), created_at=time))

    assert [resource.created_at for resource in store.of_kind(Kind.MODEL)] == [time]


def test_resources_of_a_kind_come_by_name(store: Store) -> None:
    with store.change() as change:
        for name in ("b", "a", "C"):
            change.put(model(name))
        change.put(Resource(Kind.ENDPOINT, "e", {}, NOON, NOON))
        assert [resource.name for resource in change.of_kind(Kind.MODEL)] == ["C", "a", "b"]

    assert [resource.name for resource in store.of_kind(Kind.MODEL)] == ["C", "a", "b"]


def test_resources_are_found_by_status_and_by_who_made_them(store: Store) -> None:
    with store.change() as change:
        for name, status, declared in (
            ("a", "Failed", True),
            ("b", "Failed", False),
            ("c", "InService", True),
        ):
            change.put(replace(model(name), status=status, declared=declared))
        failed = ("Failed",)
        assert [one.name for one in change.of_kind(Kind.MODEL, failed)] == ["a", "b"]
        assert [one.name for one in change.of_kind(Kind.MODEL, failed, declared=True)] == ["a"]
        assert [one.name for one in change.of_kind(Kind.MODEL, failed, declared=False)] == ["b"]
        assert [one.name for one in change.of_kind(Kind.MODEL, declared=True)] == ["a", "c"]


def test_a_brief_page_has_all_but_what_is_long(store: Store) -> None:
    whole = replace(
        model("m"), status="Failed", failure_reason="why", declared=True, state={"s": 1}, tags={"t": "1"}
    )
    with store.change() as change:
        change.put(whole)
    with store.view() as view:
        assert view.page(Kind.MODEL, ListQuery()) == [whole]
        assert view.page(Kind.MODEL, ListQuery(), brief=True) == [
            replace(whole, document={}, state={}, tags={})
        ]


def test_a_resource_put_again_is_changed(store: Store) -> None:
    with store.change() as change:
        change.put(model("m"))
    with store.change() as change:
        change.put(replace(model("m"), status="InService"))

    assert [resource.status for resource in store.of_kind(Kind.MODEL)] == ["InService"]


def test_the_revision_moves_once_per_change(store: Store) -> None:
    before = store.revision()

    with store.change() as change:
        assert change.revision() == before
        change.put(model("a"))
        change.put(model("b"))
        change.put_fact("x", 1)
    assert store.revision() == before + 1

    with store.change() as change:
        change.remove(Kind.MODEL, "a")
    assert store.revision() == before + 2

    with store.change() as change:
        change.put_fact("x", 2)
    assert store.revision() == before + 3


def test_the_revision_stays_when_nothing_changed(store: Store) -> None:
    with store.change() as change:
        change.put_fact("x", {"a": [1]})
    before = store.revision()

    with store.change() as change:
        change.put_fact("x", {"a": [1]})
        change.put_fact("never", None)
        change.remove(Kind.MODEL, "nobody")
    store.report(GatewayReport("1", before, ()))
    store.forget_gateways(["1"])

    assert store.revision() == before


def test_a_change_knows_the_revision_that_it_leads_to(store: Store) -> None:
    with store.change() as change:
        before, after = change.revision(), change.next_revision()
        change.put(replace(model("m"), revision=1000))
        assert change.revision() == before
        found = change.get(Kind.MODEL, "m")
        assert found is not None
        assert found.revision == after

    assert store.revision() == after == before + 1
    with store.change() as change:
        change.put(model("other"))
    found = store.get(Kind.MODEL, "m")
    assert found is not None
    assert found.revision == after


def test_two_resources_that_differ_in_their_revision_are_the_same() -> None:
    assert replace(model("m"), revision=1) == model("m")
    assert replace(model("m"), tags={"a": "b"}) != model("m")


def test_resources_can_be_read_by_status(store: Store) -> None:
    with store.change() as change:
        for name, status in (("d", "InService"), ("c", "Failed"), ("b", "Creating"), ("a", "Failed")):
            change.put(replace(model(name), status=status))

    def names(statuses: list[str]) -> list[str]:
        return [resource.name for resource in store.of_kind(Kind.MODEL, statuses)]

    assert names(["Failed", "Creating"]) == ["a", "b", "c"]
    assert names(["nothing"]) == names([]) == []


def test_a_view_is_one_moment(store: Store) -> None:
    with store.change() as change:
        change.put(model("m"))
    with store.view() as view:
        before = view.revision()

        with store.change() as change:
            change.remove(Kind.MODEL, "m")
            change.put_fact("x", 1)

        assert view.revision() == before
        assert view.get(Kind.MODEL, "m") is not None
        assert view.fact("x") is None
    assert store.get(Kind.MODEL, "m") is None


def test_a_failed_change_changes_nothing(store: Store) -> None:
    with store.change() as change:
        change.put(model("kept"))
        change.put_fact("x", 1)
    before = everything(store)

    def fail() -> None:
        with store.change() as change:
            change.put(model("new"))
            change.remove(Kind.MODEL, "kept")
            change.put_fact("x", 2)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()

    assert everything(store) == before


def test_a_change_the_database_refuses_changes_nothing(store: Store) -> None:
    before = everything(store)
    bad = replace(model("bad"), status=None)  # type: ignore[arg-type]  # what no caller may pass

    def fail() -> None:
        with store.change() as change:
            change.put(model("good"))
            change.put(bad)

    with pytest.raises(IntegrityError):
        fail()

    assert everything(store) == before


def test_others_see_a_change_when_it_is_whole(store: Store) -> None:
    before = everything(store)

    with store.change() as change:
        change.put(model("m"))
        assert everything(store) == before
        assert store.get(Kind.MODEL, "m") is None

    assert store.revision() == before.revision + 1


def test_facts_are_remembered(store: Store) -> None:
    with store.change() as change:
        assert change.fact("default_endpoint") is None
        change.put_fact("default_endpoint", "iris")
        change.put_fact("registered_models", {"a": "file:///m/a"})
        assert change.fact("default_endpoint") == "iris"
    assert store.fact("default_endpoint") == "iris"
    assert everything(store).facts == {
        "default_endpoint": "iris",
        "registered_models": {"a": "file:///m/a"},
    }

    with store.change() as change:
        change.put_fact("default_endpoint", None)

    assert store.fact("default_endpoint") is None


def test_everything_outlives_the_process(location: Location, store: Store) -> None:
    with store.change() as change:
        change.put(model("m"))
    before = everything(store)
    store.close()

    again = Store(location)
    assert everything(again) == before
    again.close()


def test_a_gateways_word_replaces_its_last_one(store: Store) -> None:
    first = GatewayReport("7", 1, (WarmReport("iris", 1, "a", WarmState.LOADING, "being loaded"),))
    second = GatewayReport(
        "7",
        2,
        (WarmReport("iris", 1, "a", WarmState.WARM),),
        (
            ModelReport("a", "/m/a", "loaded", 12, "LogisticRegression", ("drift",)),
            ModelReport("b", "/m/\udcff", "failed", 0, "", ("why", "how")),
        ),
    )
    other = GatewayReport("8", 1, ())

    for report in (first, other, second):
        store.report(report)
    assert store.gateways() == [second, other]

    store.forget_gateways(["7", "9"])
    assert store.gateways() == [other]


def test_threads_that_write_at_once_all_land(store: Store) -> None:
    before = store.revision()

    def write() -> None:
        for _ in range(20):
            with store.change() as change:
                change.put_fact("total", (change.fact("total") or 0) + 1)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert store.fact("total") == 80
    assert store.revision() == before + 80


def test_processes_that_write_at_once_all_land(location: Location) -> None:
    writers = [start(WRITER, location, 25) for _ in range(3)]
    for writer in writers:  # they open, and make, the database at once as well
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0

    store = Store(location)
    assert store.fact("total") == 75
    assert store.revision() == 1 + 75
    store.close()


def test_a_writer_killed_inside_a_change_leaves_the_last_state(location: Location, store: Store) -> None:
    with store.change() as change:
        change.put(model("kept"))
    before = everything(store)

    writer = start(STUCK_WRITER, location)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "inside\n"
    writer.kill()
    writer.communicate()

    assert everything(store) == before
    with store.change() as change:  # the lock went with it
        change.put(model("next"))
    assert store.revision() == before.revision + 1


def test_a_writer_killed_at_work_loses_nothing_that_it_was_told_is_done(location: Location) -> None:
    done = 0
    with start(WRITER, location, 1_000_000) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
        while done < 10:
            done = int(writer.stdout.readline())
        writer.kill()
        rest = writer.stdout.read()  # not communicate(): it passes over what readline() has read ahead
    done = max([done, *map(int, rest.split("\n")[:-1])])

    store = Store(location)
    facts = everything(store).facts
    assert facts["total"] == facts["copy"]
    assert facts["total"] in (done, done + 1)  # the last may have died between its commit and its word
    assert store.revision() == 1 + facts["total"]
    store.close()


def test_who_waits_too_long_for_a_turn_is_told_to_come_again(location: Location, store: Store) -> None:
    other = Store(location)
    before = store.changes_since(0)

    with other.change(), pytest.raises(Unavailable, match="busy"), store.change() as change:
        change.put_fact("a", 1)

    assert store.changes_since(0) == before
    with store.change() as change:
        change.put_fact("a", 1)
    assert other.fact("a") == 1
    other.close()
