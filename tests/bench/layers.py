"""Where the time of a one-row request goes, layer by layer.

The whole, and the part that system calls are in, come from the operating system's count of the processor time
of two servers under the same load: one that only reads and writes, and sagebird. The parts in between are
timed in a sagebird that looks at the clock (probe.py), under that load too, since a part that is called by
itself again and again finds everything in the processor's caches. What is left over is shown.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.bench.contestants import Scenario, running, shots
from tests.bench.wrk import check, shoot
from tests.harness.family import Family
from tests.harness.load import Shot
from tests.harness.timing import FOLDER, ask

_CONCURRENCY = 16
_ROUNDS = 3
_BURST_S = 2.0


def measure_layers(folder: Path, note: Callable[[str], None]) -> dict[str, float]:
    """Microseconds per layer of a one-row request; `folder` holds the models of the speed tables."""
    models = folder / "models"
    note("the layers of a request")
    requests = shots(Scenario("one row", ("logistic",), 1), "sagebird", models)
    constant = (Shot(requests[0].path, requests[0].body, requests[0].headers, ("[0]",)),)
    place = folder / "layers"
    place.mkdir()
    with (
        Family(["-m", "tests.bench.floor"], place / "socket.log", "/", **{FOLDER: str(place)}) as socket,
        running("sagebird", place, models, 1) as whole,
        _probed(place, models) as probed,
    ):
        servers = ((socket, constant), (whole, requests), (probed, requests))
        for family, some in servers:
            for _ in range(3):
                check(family.port, some)
        (gateway,) = probed.gateways()
        found = [
            (
                _processor_us(socket, constant),
                _timed_us(place, socket.process.pid, socket.port, constant),
                _processor_us(whole, requests),
                _timed_us(place, gateway.pid, probed.port, requests),
            )
            for _ in range(_ROUNDS)
        ]
    socket_us, whole_us = min(each[0] for each in found), min(each[2] for each in found)
    write_us = min(each[1]["write"] for each in found)
    layers = {"socket: read, write, event loop": socket_us}
    layers |= _layers(min((each[3] for each in found), key=lambda each: each["round"]), write_us)
    layers["not explained"] = whole_us - sum(layers.values())
    layers["whole request"] = whole_us
    return layers


def _probed(place: Path, models: Path) -> Family:
    """A sagebird of one gateway that times its layers."""
    environment = {
        "SAGEBIRD_DATA": str(place / "probed"),
        "SAGEBIRD_MODELS": str(models),
        "SAGEBIRD_GATEWAYS": "1",
        FOLDER: str(place),
    }
    return Family(["-m", "tests.bench.probe"], place / "probed.log", "/readyz", **environment)


def _processor_us(family: Family, requests: tuple[Shot, ...]) -> float:
    """Processor time per request, as the operating system counts it."""
    begun_s = family.cpu_s()
    burst = shoot(family.port, requests, _CONCURRENCY, _BURST_S)
    return (family.cpu_s() - begun_s) / burst.answers * 1e6


def _timed_us(folder: Path, pid: int, port: int, requests: tuple[Shot, ...]) -> dict[str, float]:
    """What a process timed per request, by name."""
    before = ask(folder, pid)
    burst = shoot(port, requests, _CONCURRENCY, _BURST_S)
    return {
        name: (after_s - before[name]) / burst.answers * 1e6 for name, after_s in ask(folder, pid).items()
    }


def _layers(timed: Mapping[str, float], write_us: float) -> dict[str, float]:
    """Each layer without those below it; what is written counts as the socket's."""
    return {
        "HTTP: find the head that is known": timed["receive"],
        "decode": timed["decode"],
        "predict": timed["predict"],
        "encode": timed["lane"] - timed["decode"] - timed["predict"],
        "replica: find, pin, cost, release": timed["replica"] - timed["lane"],
        "route: endpoint, variant": timed["route"] - timed["replica"] - timed["count"],
        "metrics": timed["count"],
        "wire: headers of the reply, request id": timed["reply"] - timed["route"],
        "HTTP: join and hand over the answers": timed["round"] - timed["reply"] - write_us,
    }
