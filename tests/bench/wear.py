"""Trials of containers that take long: state among many callers, loads and evictions."""

import argparse
import http.client
import time
from pathlib import Path

from tests.bench.beside import CSV, ask, prepare, report, start
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
_MODELS = 20
_FIRST_CYCLES = 50
_MOST_GROWTH = 0.03
_SETTLE_S = 3.0


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
        for cycle in range(2 * asked.cycles):
            if cycle >= asked.cycles and _loads(server.port) >= asked.cycles:
                break  # a call that comes to a gateway which has the model by chance loads nothing
            target = {"X-Amzn-SageMaker-Target-Model": f"m{cycle % _MODELS}"}
            wrong += ask(server.port, "many", "1", CSV | target).text.strip() != "[24]"
            if cycle + 1 == _FIRST_CYCLES:
                first = _settled_bytes(server)
        last = _settled_bytes(server)
        took_s = time.monotonic() - begun_s
        loads = _loads(server.port)
        evictions = _sum(_metrics(server.port), "sagebird_model_evictions_total")
    growth = last / first - 1
    line = (
        f"cycles: {cycle} calls of {_MODELS} models in {took_s:.0f} s, {loads:.0f} loads, "
        f"{evictions:.0f} evictions, {wrong} wrong; {first >> 20} MiB after {_FIRST_CYCLES}, "
        f"{last >> 20} MiB at the end ({growth:+.1%})"
    )
    return report(wrong == 0 and loads >= asked.cycles and growth <= _MOST_GROWTH, line)


def _settled_bytes(server: Family) -> int:
    """What the family holds when nothing goes on."""
    time.sleep(_SETTLE_S)
    return server.memory_bytes()


def _loads(port: int) -> float:
    return _sum(_metrics(port), "sagebird_model_loads_total")


def _metrics(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def _sum(metrics: str, name: str) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in metrics.splitlines() if line.startswith(name))
