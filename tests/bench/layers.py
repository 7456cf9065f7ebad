"""Where the time of a one-row request goes, layer by layer.

The whole, and the parts that system calls are in, come from the operating system's count of the processor
time of three servers under the same load: one that only reads and writes, one whose HTTP protocol answers a
constant, and sagebird. The parts in between are called by themselves, many times, for as many requests as one
round of the event loop brings; the least of many counts, which is what they take when nothing else disturbs.
What is left over is shown too: mostly what the processor's caches lose to the kernel between two rounds.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from time import thread_time
from typing import Any

from service.arn import Arns
from service.clock import SystemClock
from service.domain.endpoint import ModelSource, Variant
from service.domain.traffic import Traffic
from service.hosting.archive import Limits
from service.hosting.artifact import ArtifactStore
from service.hosting.codec import Accept
from service.hosting.csv_quick import read_csv_quickly
from service.hosting.inline import HostLimits, InlineHost
from service.hosting.joining import Lane
from service.hosting.model import Call, FlavourModel, LoadedModel
from service.hosting.source import ModelKey
from service.invoke.directory import Directory, Route, Target
from service.invoke.predict import Invocation, Predictor
from service.observe.counts import Registry
from service.web.runtime import RuntimeFace
from tests.bench.contestants import Scenario, running, shots
from tests.bench.family import Family
from tests.bench.load import Shot
from tests.bench.wrk import check, shoot

_CALLS = 100
_TRIES = 200
_CONCURRENCY = 16
_ROUND = 8  # calls that one round of the event loop brings, about half of those that are open
_ROUNDS = 3
_HEADERS = [
    (b"host", b"127.0.0.1:8080"),
    (b"content-type", b"text/csv"),
    (b"content-length", b"60"),
]


def measure_layers(folder: Path, note: Callable[[str], None]) -> dict[str, float]:
    """Microseconds per layer of a one-row request; `folder` holds the models of the speed tables."""
    models = folder / "models"
    note("the layers of a request")
    shot = shots(Scenario("one row", ("logistic",), 1), "sagebird", models)
    socket_us, callback_us, whole_us = _servers(folder / "layers", models, shot)
    parts = asyncio.run(_parts(folder / "layers", models, shot[0].body.encode()))
    layers = {
        "socket: read, write, event loop": socket_us,
        "HTTP: parse, head, back": callback_us - socket_us,
    }
    layers |= parts
    layers["not explained"] = whole_us - sum(layers.values())
    layers["whole request"] = whole_us
    return layers


def _servers(place: Path, models: Path, shot: tuple[Shot, ...]) -> tuple[float, float, float]:
    """Processor time per request of the socket alone, with HTTP, and of everything."""
    place.mkdir()
    constant = (Shot(shot[0].path, shot[0].body, shot[0].headers, ("[0]",)),)
    with (
        Family(["-m", "tests.bench.floor", "socket"], place / "socket.log", "/") as socket,
        Family(["-m", "tests.bench.floor", "callback"], place / "callback.log", "/") as callback,
        running("sagebird", place, models, 1) as whole,
    ):
        servers = ((socket, constant), (callback, constant), (whole, shot))
        for family, requests in servers:
            for _ in range(3):
                check(family.port, requests)
        found: list[list[float]] = [[] for _ in servers]
        for _ in range(_ROUNDS):
            for (family, requests), figures in zip(servers, found, strict=True):
                begun_s = family.cpu_s()
                burst = shoot(family.port, requests, _CONCURRENCY, 2.0)
                figures.append((family.cpu_s() - begun_s) / burst.answers * 1e6)
    least = [min(figures) for figures in found]
    return least[0], least[1], least[2]


async def _parts(place: Path, models: Path, body: bytes) -> dict[str, float]:
    artifacts = ArtifactStore([models], place / "unpacked", Limits(2**30, 1000, 100.0))
    host = InlineHost(artifacts, HostLimits(2**30, compile=True), SystemClock(), _Quiet())
    source = ModelSource(str(models / "logistic"))
    replica = host.replica(source)
    call = Call(body, "text/csv", None)
    await replica.warm_up(call)
    await host.compiler.settle()
    await replica.invoke(call)  # measured, so that the next is answered in place
    registry = Registry(place / "metrics", "bench")
    target = Target(Variant("v", 1.0, source), replica, registry.invocation("logistic", "v"))
    directory = Directory(1, {}, {"logistic": Route("logistic", {"v": target}, Traffic([("v", 1.0)]), False)})
    predictor = Predictor(lambda: directory, lambda: 0.5, registry, Arns("000000000000", "us-east-1"))
    (entry,) = host.cache.loaded
    figures = _measure_parts(predictor, target, entry.model, body)
    await host.close()
    return figures


def _measure_parts(predictor: Predictor, target: Target, model: LoadedModel, body: bytes) -> dict[str, float]:
    """Each is what its layer takes for a round of calls, less what the layers below it take, per call."""
    assert isinstance(model, FlavourModel)
    bodies, call = [body] * _ROUND, Call(b"", "text/csv", None)
    head, lane, predict = Invocation("logistic", call), Lane(model, call), model.predictor.predict
    rows, accept = _read(bodies), Accept("application/json", None)
    answering = RuntimeFace(predictor, 1 << 20).prepare("logistic", _HEADERS)
    decode_us = _time(lambda: _read(bodies))
    predict_us = _time(lambda: predict(rows, accept))
    lane_us = _time(lambda: lane.answer(bodies))
    replica_us = _time(lambda: target.replica.answer_now(call, bodies))
    begin_us = _time(lambda: predictor.begin(head, bodies))
    metrics_us = _time(lambda: target.counter.count(0.0001, requests=_ROUND))
    whole_us = _time(lambda: answering(bodies))
    return {
        "decode": decode_us,
        "predict": predict_us,
        "encode": lane_us - decode_us - predict_us,
        "replica: find, pin, cost, release": replica_us - lane_us,
        "route: endpoint, variant": begin_us - replica_us - metrics_us,
        "metrics": metrics_us,
        "wire: headers of the reply, request id": whole_us - begin_us,
    }


def _read(bodies: list[bytes]) -> Any:
    return read_csv_quickly(b"\n".join(bodies))


def _time(act: Callable[[], Any]) -> float:
    """Microseconds of one call, of a round of them."""
    least_s = float("inf")
    for _ in range(_TRIES):
        begun_s = thread_time()
        for _ in range(_CALLS):
            act()
        least_s = min(least_s, thread_time() - begun_s)
    return least_s / _CALLS / _ROUND * 1e6


class _Quiet:
    def loaded(self, key: ModelKey, seconds: float, model: LoadedModel) -> None:
        """Nobody is told."""

    def failed(self, key: ModelKey, seconds: float, fault: Exception) -> None:
        """Nobody is told."""

    def evicted(self, key: ModelKey, reason: str) -> None:
        """Nobody is told."""
