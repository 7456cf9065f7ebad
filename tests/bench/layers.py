"""Where the time of a one-row request goes, layer by layer.

The whole, and the parts that system calls are in, come from the operating system's count of the processor
time of three servers under the same load: one that only reads and writes, one whose HTTP protocol answers a
constant, and sagebird. The parts in between are called by themselves, many times; the least of many counts,
which is what they take when nothing else disturbs. What is left over is shown too.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from time import thread_time
from typing import Any

from service.arn import Arns
from service.asgi import new_request_id
from service.clock import SystemClock
from service.domain.endpoint import ModelSource, Variant
from service.domain.traffic import Traffic
from service.hosting.archive import Limits
from service.hosting.artifact import ArtifactStore
from service.hosting.codec import Accept, decode, encode
from service.hosting.inline import HostLimits, InlineHost
from service.hosting.model import Call, FlavourModel, LoadedModel
from service.hosting.source import ModelKey
from service.invoke.directory import Directory, Route, Target
from service.invoke.predict import Predictor
from service.observe.counts import Registry
from service.web.runtime import RuntimeFace
from service.wire.rest_json import compile_operation
from service.wire.spec import load_service
from tests.bench.contestants import Scenario, running, shots
from tests.bench.family import Family
from tests.bench.load import Shot
from tests.bench.wrk import check, shoot

_CALLS = 100
_TRIES = 200
_CONCURRENCY = 16
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
    face = RuntimeFace(predictor, 1 << 20)
    (entry,) = host.cache.loaded
    figures = _measure_parts(face, target, entry.model, body)
    await host.close()
    return figures


def _measure_parts(face: RuntimeFace, target: Target, model: LoadedModel, body: bytes) -> dict[str, float]:
    assert isinstance(model, FlavourModel)
    operation = compile_operation(load_service("sagemaker-runtime").operations["InvokeEndpoint"])
    rows, accept = decode(body, "text/csv"), Accept("application/json", None)
    prediction = model.predictor.predict(rows, accept)
    call = Call(body, "text/csv", None)
    written = {"Body": b"[0]", "ContentType": "application/json", "InvokedProductionVariant": "v"}
    answering = face.prepare("logistic", _HEADERS)
    whole_us = _time(lambda: answering([body]))
    layers = {
        "wire: headers to members": _time(
            lambda: operation.read({"EndpointName": "logistic"}, _HEADERS, body)
        ),
        "decode": _time(lambda: decode(body, "text/csv")),
        "predict": _time(lambda: model.predictor.predict(rows, accept)),
        "encode": _time(lambda: encode(prediction, "application/json")),
        "wire: reply, request id": _time(lambda: operation.write(written)) + _time(new_request_id),
        "metrics": _time(lambda: target.counter.count(0.0001)),
    }
    in_replica_us = _time(lambda: target.replica.answer_now(call, [body]))
    in_model_us = _time(lambda: model.answer(call))
    layers["replica: pin, cost, release"] = in_replica_us - in_model_us
    layers["route: endpoint, variant, values between layers"] = whole_us - sum(layers.values())
    return layers


def _time(act: Callable[[], Any]) -> float:
    """Microseconds of one call."""
    least_s = float("inf")
    for _ in range(_TRIES):
        begun_s = thread_time()
        for _ in range(_CALLS):
            act()
        least_s = min(least_s, thread_time() - begun_s)
    return least_s / _CALLS * 1e6


class _Quiet:
    def loaded(self, key: ModelKey, seconds: float, model: LoadedModel) -> None:
        """Nobody is told."""

    def failed(self, key: ModelKey, seconds: float, fault: Exception) -> None:
        """Nobody is told."""

    def evicted(self, key: ModelKey, reason: str) -> None:
        """Nobody is told."""
