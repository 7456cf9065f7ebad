"""Trials of containers that take long: state among many callers, loads and evictions, overwriting."""

import argparse
import http.client
import io
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

from tests.bench.beside import CONCURRENCY, CSV, ask, prepare, report, start, wait_for
from tests.harness.family import Family
from tests.harness.gateways import declare, make_model
from tests.harness.load import Load, Plan, Shot

_CALLERS = 8
_STATE = """
import json, signal, sqlite3, threading

local = threading.local()
local.gradients = False
rung = []
signal.signal(signal.SIGUSR1, lambda number, frame: rung.append(number))
try:
    import torch
    torch.set_grad_enabled(False)
except ImportError:
    torch = None
held, kept = None, {}

def model_fn(model_dir):
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE squares (number INTEGER, square INTEGER)")
    connection.executemany("INSERT INTO squares VALUES (?, ?)", [(n, n * n) for n in range(2000)])
    return connection

def input_fn(body, content_type, context):
    global held, stashed
    held, stashed = int(body), context
    kept[threading.get_ident()] = held
    return held

def predict_fn(data, model):
    sum(range(20_000))
    signal.raise_signal(signal.SIGUSR1)
    (square,) = model.execute("SELECT square FROM squares WHERE number = ?", (data,)).fetchone()
    return square

def output_fn(prediction, accept):
    told = stashed.get_request_header(0, "X-Amzn-SageMaker-Custom-Attributes")
    off = local.gradients is False and (torch is None or not torch.is_grad_enabled())
    return json.dumps([held, kept[threading.get_ident()], told, prediction, off, bool(rung)])
"""
_LARGE = """
import os

def model_fn(model_dir):
    return os.urandom(1 << 20) * 24

def predict_fn(data, model):
    return [len(model) >> 20]
"""
_OWN = """
import joblib

def model_fn(folder):
    return joblib.load(folder + "/model.joblib")

def predict_fn(data, model):
    return model.predict(data)
"""
_ANSWERS = "def model_fn(folder): return None\ndef predict_fn(data, model): return [{number:.1f}]\n"
_MODELS = 20
_FIRST_CYCLES = 50
_MOST_GROWTH = 0.03
_MIXED_S = 1.0  # in which an old answer may follow a new one
_SETTLE_S = 3.0
_CALLS = 5  # of one connection


def try_state(folder: Path, asked: argparse.Namespace) -> bool:
    """Calls whose handlers pass things on by globals, threads and contexts."""
    prepare(folder / "models", state=_STATE)
    shots = [
        Shot(
            "/endpoints/state/invocations",
            str(number),
            {"Content-Type": "text/csv", "X-Amzn-SageMaker-Custom-Attributes": f"c{number}"},
            (f'[{number}, {number}, "c{number}", {number * number}, true, true]',),
        )
        for number in range(500)
    ]
    with start(folder, folder / "models", asked.gateways) as server:
        plan = Plan(server.port, tuple(shots), _CALLERS, count=asked.calls)
        with Load(plan) as load:
            outcome = load.wait()
    for reason in outcome.reasons()[:3]:
        print(f"    {reason}")
    counted = f"{outcome.answers + len(outcome.failures)} calls, {len(outcome.failures)} wrong"
    line = f"state: {_CALLERS} callers, {counted}, {outcome.per_second:.0f}/s"
    return report(not outcome.failures and outcome.answers >= asked.calls, line)


def try_cycles(folder: Path, asked: argparse.Namespace) -> bool:
    """Models of a folder, more than there is room for, called in turn."""
    models = folder / "models"
    prepare(models)
    for number in range(_MODELS):
        make_model(models / "many" / f"m{number}", 1, _LARGE)
    declare(models, "endpoints:\n  many: {variants: {all: {models: many, weight: 1}}}\n")
    room = str(3 * asked.gateways * (24 << 20))
    settings = {
        "SAGEBIRD_MODEL_MEMORY": room,
        "SAGEBIRD_CONTAINER_MEMORY": "1g",
        "SAGEBIRD_LOG_LEVEL": "warning",
    }
    with start(folder, models, asked.gateways, **settings) as server:
        first, last, wrong = 0, 0, 0
        begun_s = time.monotonic()
        for cycle in range(asked.cycles):
            target = {"X-Amzn-SageMaker-Target-Model": f"m{cycle % _MODELS}"}
            wrong += ask(server.port, "many", "1", CSV | target).text.strip() != "[24]"
            if cycle + 1 == _FIRST_CYCLES:
                first = _settled_bytes(server)
        last = _settled_bytes(server)
        took_s = time.monotonic() - begun_s
        metrics = _metrics(server.port)
    loads, evictions = (
        _sum(metrics, "sagebird_model_loads_total"),
        _sum(metrics, "sagebird_model_evictions_total"),
    )
    growth = last / first - 1
    line = (
        f"cycles: {asked.cycles} calls of {_MODELS} models in {took_s:.0f} s, {loads:.0f} loads, "
        f"{evictions:.0f} evictions, {wrong} wrong; {first >> 20} MiB after {_FIRST_CYCLES}, "
        f"{last >> 20} MiB at the end ({growth:+.1%})"
    )
    return report(wrong == 0 and loads >= asked.cycles and growth <= _MOST_GROWTH, line)


def _settled_bytes(server: Family) -> int:
    """What the family holds when nothing goes on."""
    time.sleep(_SETTLE_S)
    return server.memory_bytes()


def _metrics(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def _sum(metrics: str, name: str) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in metrics.splitlines() if line.startswith(name))


class _Caller(threading.Thread):
    """Calls whichever gateway takes its next connection, and remembers what came when."""

    def __init__(self, port: int, path: str, over: threading.Event) -> None:
        super().__init__()
        self.path = path
        self.newest = -1.0
        self.answers: Counter[float] = Counter()
        self.failures: list[str] = []
        self.mixed_s = 0.0
        self._newest_s = 0.0
        self._port = port
        self._over = over

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        for number in count(1):
            if self._over.is_set():
                break
            try:
                connection.request("POST", self.path, "1", CSV)
                response = connection.getresponse()
                self._take(response.status, response.read().decode())
                if number % _CALLS == 0:
                    connection.close()
            except OSError as error:
                self.failures.append(repr(error))
                connection.close()
        connection.close()

    def _take(self, status: int, body: str) -> None:
        if status != http.client.OK:
            self.failures.append(f"{status}: {body[:200]}")
            return
        value, now_s = float(body.strip("[]\n ")), time.monotonic()
        self.answers[value] += 1
        if value > self.newest:
            self.newest, self._newest_s = value, now_s
        elif value < self.newest:
            self.mixed_s = max(self.mixed_s, now_s - self._newest_s)


def _in_place(file: Path, data: bytes) -> None:
    """As a plain `cp` does: whoever reads meanwhile finds half of it."""
    with file.open("wb", buffering=0) as opened:
        opened.write(data[: len(data) // 2])
        opened.write(data[len(data) // 2 :])


def _by_rename(file: Path, data: bytes) -> None:
    temporary = file.parent.parent / f".{file.name}"
    temporary.write_bytes(data)
    temporary.replace(file)


def _model(scratch: Path, number: int) -> bytes:
    make_model(scratch, number)
    return (scratch / "model.joblib").read_bytes()


def _script(_scratch: Path, number: int) -> bytes:
    return _ANSWERS.format(number=number).encode()


def _archive(scratch: Path, number: int) -> bytes:
    make_model(scratch, number, _OWN)
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w:gz") as archive:
            archive.add(scratch / "model.joblib", "model.joblib")
            archive.add(scratch / "inference.py", "code/inference.py")
        return file.getvalue()


class _Kind(NamedTuple):
    """A model with a script or "", which file below the models folder is written over, and by what."""

    name: str
    script: str
    file: str
    data: Callable[[Path, int], bytes]


_KINDS = (
    _Kind("built-in model", "", "one/model.joblib", _model),
    _Kind("model of a script", _OWN, "one/model.joblib", _model),
    _Kind("script", _ANSWERS.format(number=0), "one/inference.py", _script),
    _Kind("archive with a script", "", "one.tar.gz", _archive),
)


def try_overwriting(folder: Path, asked: argparse.Namespace) -> bool:
    """Each kind of model, in place and by rename."""
    ways: dict[str, Callable[[Path, bytes], None]] = {"in place": _in_place, "by rename": _by_rename}
    right = True
    for kind in _KINDS:
        for how, write in ways.items():
            place = folder / f"{kind.name} {how}".replace(" ", "-")
            right &= _overwrite(place, kind, how, write, asked)
    return right


def _overwrite(
    folder: Path, kind: _Kind, how: str, write: Callable[[Path, bytes], None], asked: argparse.Namespace
) -> bool:
    models, scratch = folder / "models", folder / "scratch"
    models.mkdir(parents=True)
    if kind.file.startswith("one/"):
        make_model(models / "one", 0, kind.script)
    write(models / kind.file, kind.data(scratch, 0))
    declare(models, "endpoints:\n  one: {variants: {one: {model: one, weight: 1}}}\n")
    over, begun_s = threading.Event(), time.monotonic()
    with start(folder, models, asked.gateways, SAGEBIRD_LOG_LEVEL="warning") as server:
        callers = [_Caller(server.port, "/endpoints/one/invocations", over) for _ in range(CONCURRENCY)]
        for caller in callers:
            caller.start()
        seen = 0
        try:
            for number in range(1, asked.times + 1):
                write(models / kind.file, kind.data(scratch, number))
                if not wait_for(lambda number=number: all(each.newest >= number for each in callers)):  # type: ignore[misc]
                    break
                seen += 1
        finally:
            over.set()
            for caller in callers:
                caller.join()
    return _judge(f"{kind.name} {how}", callers, seen, asked.times, time.monotonic() - begun_s)


def _judge(name: str, callers: Sequence[_Caller], seen: int, times: int, took_s: float) -> bool:
    failures = [failure for caller in callers for failure in caller.failures]
    for failure in sorted(set(failures))[:3]:
        print(f"    {failure}")
    mixed_s = max(caller.mixed_s for caller in callers)
    answers = sum((caller.answers for caller in callers), Counter[float]())
    strange = sum(number for value, number in answers.items() if value not in range(times + 1))
    line = (
        f"overwriting, {name}: {seen} of {times} times in {took_s:.0f} s, {answers.total()} calls, "
        f"{len(failures)} failed, {strange} from neither; an old answer came at most {mixed_s * 1e3:.0f} ms "
        "after a new one"
    )
    return report(seen == times and not failures and not strange and mixed_s < _MIXED_S, line)
