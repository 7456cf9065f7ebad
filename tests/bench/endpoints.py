"""Ten thousand endpoints: how fast they are described, listed and changed, and what they cost while idle.

Models, configurations and endpoints, as many of each, are written to the store in one transaction by the
functions that serve CreateModel, CreateEndpointConfig and CreateEndpoint; all share one model's files. A
first `sagebird serve` brings all of them from Creating to InService, a second one is measured. Prints its
figures; they are also part of `make bench ARGS='--endpoints'`.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.request import urlopen

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from service.clock import SystemClock
from service.control.endpoint_configs import create_endpoint_config
from service.control.endpoints import create_endpoint
from service.control.models import create_model
from service.control.resources import OperationContext, Resources
from service.domain.caller import Caller
from service.domain.endpoint import UNSETTLED
from service.domain.kinds import Kind
from service.hosting.artifacts.archive import Limits
from service.hosting.artifacts.artifact import ArtifactStore
from service.objects.resolver import Resolver
from service.store.store import Store
from tests.bench.figures import show_figures
from tests.bench.speed import Note
from tests.harness.control import IMAGE, Control, put_model, variant, wait_for
from tests.harness.family import Family, models_memory_bytes, serve
from tests.harness.load import Plan, Shot, carry_out, percentile
from tests.harness.world import weigh

_CALLS = 300
_CHANGES = 20
_PAGE = 100
_IDLE_S = 10.0
_SETTLE_S = 5.0
_GATEWAYS = 2


def measure_endpoints(folder: Path, note: Note, count: int = 10_000) -> dict[str, Any]:
    """The figures with `count` endpoints, and beside them those with one."""
    results = {}
    memory_mib = {}
    for number in (1, count):
        place = folder / f"{number}-endpoints"
        note(f"{number} endpoints")
        location = put_model(place / "data", "shared", 7)
        (place / "models").mkdir()
        begun_s = monotonic()
        fill(place / "data", location, number)
        filled_s = monotonic() - begun_s
        came_up_s = _bring_up(place)
        note(f"{number} endpoints are in service")
        begun_s = monotonic()
        with serve(place, place / "models", _GATEWAYS) as family, Control(family.port) as control:
            started_s = monotonic() - begun_s
            idle = _idle(family)
            memory_mib[number] = models_memory_bytes(family.process.pid) / 2**20
            results[f"{number} endpoints"] = {
                "s to write them to the store": filled_s,
                "s from start to all InService, all Creating": came_up_s,
                "s from start to ready, all InService": started_s,
                **idle,
                "memory MiB of the family": memory_mib[number],
                **_calls(control, number),
                **_changes(control, family, number),
                **_pages(family),
            }
    each_kib = (memory_mib[count] - memory_mib[1]) * 1024 / (count - 1)
    results["growth"] = {f"memory KiB per idle endpoint, {_GATEWAYS} gateways": each_kib}
    return results


def fill(data: Path, location: str, count: int) -> None:
    """Write `count` models, configurations and endpoints to a store."""
    artifacts = ArtifactStore(
        [data], data / "unpacked", Limits(1 << 30, 1000, 1000), resolver=Resolver(data / "s3")
    )
    context = OperationContext(Caller("000000000000", "us-east-1"), SystemClock(), artifacts.version_of)
    store = Store(data / "state.db")
    with store.change() as change:
        resources = Resources(change, context)
        for number in range(count):
            name = name_of(number)
            container = {"Image": IMAGE, "ModelDataUrl": location}
            create_model(resources, {"ModelName": name, "PrimaryContainer": container})
            variants = [variant("first", name), variant("second", name)]
            create_endpoint_config(resources, {"EndpointConfigName": name, "ProductionVariants": variants})
            create_endpoint(resources, {"EndpointName": name, "EndpointConfigName": name})
    store.close()


def name_of(number: int) -> str:
    """The name of a model, a configuration and an endpoint."""
    return f"item-{number:05}"


def _bring_up(place: Path) -> float:
    """Seconds until a server has made all endpoints InService."""
    begun_s = monotonic()
    with serve(place, place / "models", _GATEWAYS, ready_path="/healthz"):
        store = Store(place / "data" / "state.db")
        wait_for(lambda: not store.of_kind(Kind.ENDPOINT, UNSETTLED), 600.0, rest_s=0.2)
        store.close()
        return monotonic() - begun_s


def _idle(family: Family) -> dict[str, Any]:
    """CPU while nobody calls, as percent of one core: gateways, and keeper and model host, apart."""
    sleep(_SETTLE_S)
    gateways = {process.pid for process in family.gateways()}
    others = [one for one in family.processes()[1:] if one.pid not in gateways]
    apart = {"gateways together": family.gateways(), "keeper and model host": others}
    before = {name: _cpu_s(processes) for name, processes in apart.items()}
    begun_s = monotonic()
    sleep(_IDLE_S)
    took_s = monotonic() - begun_s
    return {
        f"idle CPU % of a core, {name}": (_cpu_s(processes) - before[name]) / took_s * 100
        for name, processes in apart.items()
    }


def _cpu_s(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(time.user + time.system for time in times)


def _calls(control: Control, count: int) -> dict[str, Any]:
    """Milliseconds of describe and list calls over one connection."""
    asked: dict[str, Callable[[int], object]] = {
        "DescribeEndpoint": lambda n: control.describe(name_of(n * 7919 % count)),
        "DescribeModel": lambda n: control.call("DescribeModel", ModelName=name_of(n * 7919 % count)),
    }
    for order in ("Name", "CreationTime", "Status"):
        deep = _deep_token(control, order, count)
        asked[f"ListEndpoints by {order}, first {_PAGE}"] = _list(control, order, {})
        asked[f"ListEndpoints by {order}, {_PAGE} deep down"] = _list(control, order, deep)
    asked["ListEndpoints, default page of 10"] = lambda _: control.call("ListEndpoints")
    asked["ListEndpoints, NameContains, one found"] = lambda n: control.call(
        "ListEndpoints", NameContains=name_of(n * 7919 % count)[-5:]
    )
    return {name: _milliseconds(ask) for name, ask in asked.items()}


def _list(control: Control, order: str, token: dict[str, str]) -> Callable[[int], object]:
    return lambda _: control.call("ListEndpoints", SortBy=order, MaxResults=_PAGE, **token)


def _deep_token(control: Control, order: str, count: int) -> dict[str, str]:
    """The token of the page that begins nine tenths down; none where there is one page only."""
    token: dict[str, str] = {}
    for _ in range(int(count * 0.9) // _PAGE):
        page = control.call("ListEndpoints", SortBy=order, MaxResults=_PAGE, **token)
        token = {"NextToken": page["NextToken"]}
    return token


def _milliseconds(ask: Callable[[int], object]) -> str:
    ask(0)
    took_ms = []
    for number in range(_CALLS):
        begun_s = monotonic()
        ask(number)
        took_ms.append((monotonic() - begun_s) * 1e3)
    return f"p50 {percentile(took_ms, 0.5):.2f} p99 {percentile(took_ms, 0.99):.2f} ms"


def _changes(control: Control, family: Family, count: int) -> dict[str, Any]:
    """Seconds from a call that changes something to InService, and the requests/s of one endpoint."""
    took_ms = []
    for number in range(_CHANGES):
        endpoint = name_of(number * 7919 % count)
        begun_s = monotonic()
        call = weigh(endpoint, {"first": 1.0, "second": float(number % 2)})
        control.call(call.operation, **call.members)
        control.wait_in_service(endpoint)
        took_ms.append((monotonic() - begun_s) * 1e3)
    shot = Shot(f"/endpoints/{name_of(0)}/invocations", "1", {"Content-Type": "text/csv"}, ("[7.0]",))
    outcome = carry_out(Plan(family.port, (shot,), 4, duration_s=2.0))
    if outcome.failures:
        raise RuntimeError(f"wrong answers: {outcome.reasons()}")
    return {
        "new weights to InService": f"p50 {percentile(took_ms, 0.5):.0f} longest {max(took_ms):.0f} ms",
        "requests/s to one endpoint at concurrency 4": outcome.per_second,
    }


def _pages(family: Family) -> dict[str, Any]:
    """Milliseconds and size of the pages for people and machines."""
    found = {}
    for path in ("/status", "/", "/openapi.json", "/metrics", "/readyz"):
        begun_s = monotonic()
        with urlopen(f"http://127.0.0.1:{family.port}{path}", timeout=120) as response:
            size = len(response.read())
        found[f"GET {path}"] = f"{(monotonic() - begun_s) * 1e3:.0f} ms, {size / 1024:.0f} KiB"
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="how many endpoints (10000)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sagebird-bench-") as name:
        figures = measure_endpoints(Path(name), lambda text: print(text, file=sys.stderr), options.count)
    show_figures("Many endpoints", figures)


if __name__ == "__main__":
    main()
