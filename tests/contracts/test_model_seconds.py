"""What models take is in /metrics, whichever way a call is answered: a model sleeps, and that adds up."""

import asyncio
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.clock import SystemClock
from service.domain.endpoint import ModelSource
from service.hosting.artifacts.archive import Limits
from service.hosting.artifacts.artifact import ArtifactStore
from service.hosting.host import Answer, Call, Traits
from service.hosting.inline import HostLimits, InlineHost
from service.hosting.programs.compiled import Joined
from service.hosting.runtimes.runtime import Runtime
from service.invoke.directory import EMPTY, Directory, next_directory, registered_address
from service.invoke.invocation import Invocation, InvocationHead
from service.invoke.predict import Prediction, Predictor
from service.media.codec import Accept
from service.media.tables import PLAIN, Takes
from service.observe.counts import Registry
from service.store.store import REGISTERED_MODELS, Delta
from tests.conftest import RunningServer, StartServer, wait_until
from tests.harness import web
from tests.invoke.conftest import CALLER, Quiet

_CALLS, _SLEEP_S = 5, 0.02
_CSV = {"Content-Type": "text/csv"}
_CODE = f"""
import time


def model_fn(folder):
    return None


def transform_fn(model, body, content_type, accept):
    time.sleep({_SLEEP_S})
    if body in ("bad", b"bad"):
        raise ValueError("told so")
    return "1", "text/csv"
"""
_FILE = """
default_endpoint: sleepy
endpoints:
  sleepy: {variants: {v: {model: sleepy}}}
"""
_COUNTED = re.compile(r'^(sagebird_\w+)\{endpoint="([^"]*)",variant="[^"]*"\} ([0-9.e+-]+)$', re.MULTILINE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, start_server: StartServer) -> Iterator[RunningServer]:
    models = tmp_path_factory.mktemp("sleepy")
    (models / "sleepy" / "code").mkdir(parents=True)
    (models / "sleepy" / "code" / "inference.py").write_text(_CODE)
    (models / "endpoints.yaml").write_text(_FILE)
    server = start_server(models, gateways=1)
    named = {"model_name": "nap", "url": str(models / "sleepy")}
    assert web.post(f"{server.url}/models", json=named, timeout=30).status_code == 200
    yield server
    server.stop()


def _counted(server: RunningServer, endpoint: str) -> dict[str, float]:
    text = web.get(f"{server.url}/metrics", timeout=30).text
    return {name: float(number) for name, of, number in _COUNTED.findall(text) if of == endpoint}


def _parts(body: bytes) -> Iterator[bytes]:
    yield body  # without a length it is sent in chunks, which only ASGI takes


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/endpoints/sleepy/invocations", "sleepy"),
        ("/invocations", "sleepy"),
        ("/models/nap/invoke", "/models/nap"),
    ],
)
@pytest.mark.parametrize("way", ["whole", "chunked", "failing"])
def test_seconds_of_a_model_are_counted_whichever_way_it_is_asked(
    server: RunningServer, path: str, endpoint: str, way: str
) -> None:
    before = _counted(server, endpoint)
    body = b"bad" if way == "failing" else b"1"
    with web.client(base_url=server.url, headers=_CSV, timeout=30) as client:
        for _ in range(_CALLS):
            answer = client.post(path, content=_parts(body) if way == "chunked" else body)
            assert answer.is_success is (way != "failing")

    def grown(name: str) -> float:
        return _counted(server, endpoint).get(name, 0.0) - before.get(name, 0.0)

    wait_until(lambda: grown("sagebird_invocations_total") == _CALLS)
    model_s = grown("sagebird_invocation_model_seconds_total")
    assert _CALLS * _SLEEP_S <= model_s <= grown("sagebird_invocation_seconds_sum")


@pytest.mark.parametrize(
    "path", ["/endpoints//models/nap/invocations", "/endpoints/%2Fmodels%2Fnap/invocations"]
)
def test_a_registered_model_is_no_endpoint(server: RunningServer, path: str) -> None:
    before = _counted(server, "/models/nap")
    answer = web.post(server.url + path, content=b"1", headers=_CSV, timeout=30)
    assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (400, "ValidationError")
    assert _counted(server, "/models/nap") == before


class _Sleepy:
    """A model that may be joined, and sleeps once for all that are answered together."""

    takes: Takes = PLAIN
    features = 1
    coded = False

    def __init__(self) -> None:
        self.predictions = 0
        self.traits = Traits("sleepy", 8, in_place=True, joinable=self)

    def predict(self, data: Any, accept: Accept) -> Any:
        self.predictions += 1
        time.sleep(_SLEEP_S)
        return np.zeros(len(data), np.int64)

    def joined(self, accept: Accept) -> Joined:
        return Joined.ROWS

    def predict_joined(self, rows: Any, each: int, accept: Accept) -> Any:
        return self.predict(rows, accept)

    def quick_for(self, accept: Accept) -> None:
        """It has no other way."""

    def code(self, data: Any) -> None:
        """It has no program."""

    def answers_by_row(self, accept: Accept) -> bool:
        return True

    def answer(self, call: Call) -> Answer:
        raise NotImplementedError  # it is asked for predictions

    def interface(self) -> None:
        """It takes anything."""


@pytest.mark.parametrize("quick", [True, False], ids=["on the event loop", "in threads"])
def test_each_of_calls_that_are_joined_took_what_their_prediction_did(tmp_path: Path, quick: bool) -> None:
    model = _Sleepy()
    runtime = Runtime("sleepy", lambda contents: True, lambda contents: model)
    (tmp_path / "models" / "sleepy").mkdir(parents=True)

    async def run() -> None:
        artifacts = ArtifactStore([tmp_path / "models"], tmp_path / "unpacked", Limits(2**30, 1000, 100.0))
        host = InlineHost(artifacts, HostLimits(2**30), SystemClock(), Quiet(), runtimes=[runtime])
        registry = Registry(tmp_path / "metrics", "gateway-0")
        facts = {REGISTERED_MODELS: {"nap": "sleepy"}}
        directory = next_directory(EMPTY, Delta(1, True, facts=facts), host.replica, registry)
        predictor = Predictor(lambda: directory, lambda: 0.0, registry)
        await host.warm_up(ModelSource("sleepy"))
        await _ask(predictor, [b"1"])  # the first one is looked at by itself
        (entry,) = host.cache.loaded
        entry.forget_costs()
        entry.note_cost(1, 1e-6 if quick else 1.0)
        counter = _counter(directory)
        before, predictions = (counter.requests, counter.model_seconds, counter.seconds), model.predictions
        await _ask(predictor, [b"1"] * _CALLS)
        requests, model_s, seconds = counter.requests, counter.model_seconds, counter.seconds
        assert (requests - before[0], model.predictions - predictions) == (_CALLS, 1)
        assert _CALLS * _SLEEP_S <= model_s - before[1] <= seconds - before[2]
        await host.close()

    asyncio.run(run())


def _counter(directory: Directory) -> Any:
    return directory.routes[registered_address("nap")].named["AllTraffic"].counter


async def _ask(predictor: Predictor, bodies: Sequence[bytes]) -> None:
    head = InvocationHead(Invocation(CALLER, registered_address("nap"), Call(b"", "text/csv", None)))
    (outcomes,) = predictor.answer([(head, bodies)])
    for outcome in await asyncio.gather(*(_wait(each) for each in outcomes)):
        assert isinstance(outcome, Prediction)
        assert outcome.answer.body == b"[0]"


async def _wait(outcome: Any) -> Any:
    return await outcome if hasattr(outcome, "__await__") else outcome
