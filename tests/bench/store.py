"""Measure the store and the directory with many endpoints: `python tests/bench/store.py`.

Times are medians in milliseconds, first of the clock, then of this thread's CPU, which others on the machine
disturb less; each kind of call is made in turn, so that all see the same machine.
"""

import argparse
import gc
import random
import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter, thread_time

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from service.clock import SystemClock
from service.domain.endpoint import Endpoint, EndpointStatus, ModelSource, Variant
from service.domain.endpoint_state import endpoint_to_state
from service.domain.kinds import Kind
from service.domain.listing import ListQuery
from service.domain.resource import Resource
from service.hosting.artifacts.archive import Limits
from service.hosting.artifacts.artifact import ArtifactStore
from service.hosting.cache.source import ModelKey
from service.hosting.host import Model
from service.hosting.inline import HostLimits, InlineHost
from service.invoke.directory import EMPTY, next_directory
from service.observe.counts import Registry
from service.store.database import Location
from service.store.store import Delta, Store

_NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
_ROUNDS = 300
_Time = tuple[float, float]


def main() -> int:
    """Fill a store, measure, print."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="sagebird-bench-") as name:
        folder = Path(name)
        location: Location = options.url or folder / "state.db"
        store = Store(location)
        _fill(store, options.endpoints)
        print(f"{options.endpoints} endpoints, each with a model and a configuration")
        _measure_calls(store, options.endpoints)
        if isinstance(location, Path):
            size = sum(file.stat().st_size for file in folder.glob("state.db*"))
            print(f"{'files':40} {size / 2**20:8.1f} MiB, {size / options.endpoints:.0f} bytes per endpoint")
        artifacts = ArtifactStore([folder], folder / "unpacked", Limits(2**30, 1000, 100.0))
        host = InlineHost(artifacts, HostLimits(2**30), SystemClock(), _Quiet())
        registry = Registry(folder / "metrics", "bench")
        _measure_directory(store, host, registry)
        _measure_memory(store, host, registry, options.endpoints)
        store.close()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", type=int, default=10_000, help="how many endpoints (10000)")
    parser.add_argument("--url", help="URL of an empty Postgres database (default: SQLite)")
    return parser.parse_args()


def _fill(store: Store, count: int) -> None:
    order = random.Random(7).sample(range(count), count)
    for begin in range(0, count, 1000):
        with store.change() as change:
            for number in order[begin : begin + 1000]:
                change.put(_endpoint(number))
                for kind, member in ((Kind.MODEL, "ModelName"), (Kind.ENDPOINT_CONFIG, "EndpointConfigName")):
                    document = {member: f"thing-{number}", "ModelDataUrl": "s3://bucket/" + "x" * 200}
                    change.put(Resource(kind, f"thing-{number}", document, _NOON, _NOON))


def _endpoint(number: int) -> Resource:
    """One of a thousand fails; creation and change go in different orders."""
    name = f"endpoint-{number:05}"
    source = ModelSource(f"s3://bucket/models/{number}/model.tar.gz", environment=(("A", "b"),))
    fresh = Endpoint(name, EndpointStatus.CREATING).begin(f"config-{number}", (Variant("v", 1.0, source),))
    status = EndpointStatus.FAILED if number % 1000 == 500 else EndpointStatus.IN_SERVICE
    endpoint = replace(fresh, status=status, active=fresh.pending, pending=None)
    return Resource(
        Kind.ENDPOINT,
        name,
        {"EndpointName": name, "EndpointConfigName": f"config-{number}"},
        _NOON + timedelta(seconds=number * 7919 % 10_007),
        _NOON + timedelta(seconds=number * 104_729 % 10_007),
        status=status.value,
        state=endpoint_to_state(endpoint),
        tags={"team": "a"},
    )


def _measure_calls(store: Store, count: int) -> None:
    draw = random.Random(11)

    def name() -> str:
        return f"endpoint-{draw.randrange(count):05}"

    def page(listing: ListQuery) -> Callable[[], object]:
        def read() -> object:
            with store.view() as view:
                return view.page(Kind.ENDPOINT, listing)

        return read

    def change() -> object:
        with store.change() as opened:
            opened.put(_endpoint(draw.randrange(count)))
        return None

    middle = {"name": "endpoint-05000", "status": "InService"}
    calls: dict[str, Callable[[], object]] = {
        "get": lambda: store.get(Kind.ENDPOINT, name()),
        "revision": store.revision,
    }
    calls |= {
        f"page by {order}, {'down' if descending else 'up'}, {where}": page(
            ListQuery(
                order,
                descending,
                after=(middle.get(order, _NOON.timestamp() + 5000), name()) if where == "middle" else None,
            )
        )
        for order in ("name", "created_at", "modified_at", "status")
        for descending in (True, False)
        for where in ("first", "middle")
    }
    calls |= {
        "page of 100": page(ListQuery(limit=100)),
        "page, name contains 77": page(ListQuery(name_contains="77")),
        "page, name contains nothing there": page(ListQuery(name_contains="no such")),
        "page, status InService": page(ListQuery(status="InService")),
        "page, status Failed": page(ListQuery(status="Failed")),
        "page, status Failed, by name": page(ListQuery("name", status="Failed")),
        "page, created in the last hour": page(ListQuery(created_after=_NOON + timedelta(seconds=6400))),
        "page, modified early, by creation": page(ListQuery(modified_before=_NOON + timedelta(seconds=10))),
        "of_kind, status Failed": lambda: store.of_kind(Kind.ENDPOINT, {"Failed"}),
        "changes_since, no change": lambda: store.changes_since(store.revision()),
        "change of one endpoint": change,
        "changes_since, one change": lambda: store.changes_since(store.revision() - 1),
    }
    times: dict[str, list[_Time]] = {title: [] for title in calls}
    for _ in range(_ROUNDS):
        for title, call in calls.items():
            times[title].append(_time(call))
    for title, found in times.items():
        _show(title, found)
    _show("changes_since(0): everything", [_time(lambda: store.changes_since(0))])


def _time(call: Callable[[], object]) -> _Time:
    begun_s, begun_cpu_s = perf_counter(), thread_time()
    call()
    return perf_counter() - begun_s, thread_time() - begun_cpu_s


def _show(title: str, times: list[_Time]) -> None:
    clock_s, cpu_s = (median(column) for column in zip(*times, strict=True))
    print(f"{title:40} {clock_s * 1e3:8.2f} {cpu_s * 1e3:8.2f} ms")


def _measure_directory(store: Store, host: InlineHost, registry: Registry) -> None:
    full = store.changes_since(0, (Kind.ENDPOINT,))
    directory = next_directory(EMPTY, full, host.replica, registry)
    _show("directory of everything", [_time(lambda: next_directory(EMPTY, full, host.replica, registry))])
    changed = replace(_endpoint(1), tags={"team": "b"})
    for title, resource in (("tags", changed), ("status", replace(changed, status="Updating"))):
        delta = Delta(directory.revision + 1, complete=False, changed=(resource,))
        times = [
            _time(lambda: next_directory(directory, delta, host.replica, registry))  # noqa: B023 - at once
            for _ in range(_ROUNDS)
        ]
        _show("directory after a change of " + title, times)


def _measure_memory(store: Store, host: InlineHost, registry: Registry, count: int) -> None:
    gc.collect()
    tracemalloc.start()
    kept = next_directory(EMPTY, store.changes_since(0), host.replica, registry)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0] / count
    print(f"{'memory of the directory':40} {held:8.0f} bytes per idle endpoint ({len(kept.routes)} routes)")


class _Quiet:
    """Listens to no model: none is loaded here."""

    def loaded(self, key: ModelKey, seconds: float, model: Model) -> None:
        """Nobody is told."""

    def failed(self, key: ModelKey, seconds: float, fault: Exception) -> None:
        """Nobody is told."""

    def evicted(self, key: ModelKey, reason: str) -> None:
        """Nobody is told."""


if __name__ == "__main__":
    raise SystemExit(main())
