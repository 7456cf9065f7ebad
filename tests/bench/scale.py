"""More models than memory, slow loads, and gateways that die: the full-size figures."""

import json
import signal
import threading
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.request import Request, urlopen

import joblib
import psutil
from sklearn.dummy import DummyRegressor

from tests.bench.speed import Note
from tests.harness.family import (
    ROOT,
    Family,
    MemoryWatch,
    client_ports,
    load_on_all,
    models_memory_bytes,
    serve,
)
from tests.harness.fleet import file_bytes, make_fleet, shots_at_fleet
from tests.harness.load import Load, Outcome, Plan, Shot, carry_out, percentile

_MODELS = 20
_FIT = 5
_REQUESTS = 2000
_MODEL_BYTES = 20 << 20
_LOAD_S = 5.0
_QUICK = Shot("/endpoints/quick/invocations", "1", {"Content-Type": "text/csv"}, ("[1.0]",))
_SLOW_LOADS = {
    "sleeping": "time.sleep({seconds})",
    "burning": "end = time.monotonic() + {seconds}\n"
    "    while time.monotonic() < end:\n        sum(range(1000))",
}
_IRIS = Shot("/endpoints/iris/invocations", "5.1,3.5,1.4,0.2", {"Content-Type": "text/csv"}, ("[0]",))


def measure_budget(folder: Path, note: Note) -> dict[str, Any]:
    """Twenty models where five fit: right answers, and the most memory beside the budget."""
    models = folder / "fleet"
    note(f"making {_MODELS} models of {_MODEL_BYTES >> 20} MiB")
    make_fleet(models, _MODELS, _MODEL_BYTES)
    budget_bytes = _FIT * file_bytes(models) + (1 << 20)
    results = {}
    for gateways in (1, 2):
        note(f"{_REQUESTS} requests over {_MODELS} models, {gateways} gateways, memory for {_FIT}")
        memory = {"SAGEBIRD_MODEL_MEMORY": str(budget_bytes)}
        with serve(folder / f"fleet-{gateways}", models, gateways, **memory) as family:
            before_bytes = models_memory_bytes(family.process.pid)
            with MemoryWatch(family.process.pid) as watch:
                plan = Plan(family.port, shots_at_fleet(_MODELS), 16, count=_REQUESTS, fresh=True)
                outcome = carry_out(plan)  # connections anew, so that all gateways get calls
            results[f"{gateways} gateways"] = {
                "right answers": outcome.answers,
                "failures": outcome.reasons(),
                "requests/s": outcome.per_second,
                "p99 ms": outcome.p99_s * 1e3,
                "budget MiB": budget_bytes / 2**20,
                "most memory MiB": (watch.peak_bytes - before_bytes) / 2**20,
                "memory / budget": (watch.peak_bytes - before_bytes) / budget_bytes,
                "models held at the end": _held(family.port),
                "samples": len(watch.samples_bytes),
            }
    return results


def measure_slow_loads(folder: Path, note: Note) -> dict[str, Any]:
    """How much a load of five seconds delays one-row requests to another model of the same process."""
    results = {}
    for name, pass_time in _SLOW_LOADS.items():
        models = folder / name
        _save(models / "quick", 1.0)
        _save(models / "slow", 2.0)
        script = f"import time\nimport joblib\n\ndef model_fn(model_dir):\n    {pass_time}\n"
        script += '    return joblib.load(model_dir + "/model.joblib")\n'
        (models / "slow" / "inference.py").write_text(script.format(seconds=_LOAD_S))
        (models / "endpoints.yaml").write_text(
            "endpoints:\n  quick: {variants: {v: {model: quick, weight: 1}}}\n"
            "  slow: {variants: {v: {model: slow, weight: 1, lazy: true}}}\n"
        )
        note(f"a load that takes {_LOAD_S:g} s, {name}")
        with serve(folder / f"{name}-data", models, 1) as family:
            results[name] = _delay(family)
    return results


def measure_deaths(folder: Path, note: Note) -> dict[str, Any]:
    """kill -9 and SIGTERM of one gateway at concurrency 32: what failed, where, and what later."""
    results = {}
    for number in (signal.SIGKILL, signal.SIGTERM):
        note(f"{number.name} of one gateway at concurrency 32")
        with serve(folder / number.name, ROOT / "models", 2) as family:
            results[number.name] = _death(family, number)
    return results


def _death(family: Family, number: signal.Signals) -> dict[str, Any]:
    carry_out(Plan(family.port, (_IRIS,), 8, count=200))
    with load_on_all(Plan(family.port, (_IRIS,), 32, samples=True), family.gateways()) as load:
        victim = family.gateways()[0]
        sleep(0.5)
        own = client_ports(victim)
        killed_s = monotonic()
        victim.send_signal(number)
        while victim.is_running() and victim.status() != psutil.STATUS_ZOMBIE:
            sleep(0.01)
        while len(family.gateways()) < 2:
            sleep(0.01)
        replaced_s = monotonic()
        fresh = carry_out(Plan(family.port, (_IRIS,), 32, duration_s=1.0, fresh=True))
        outcome = load.stop()
    during = [took_s for sent_s, took_s in outcome.samples if killed_s <= sent_s < replaced_s + 1]
    return {
        "answers": outcome.answers,
        "connections of the gateway": len(own),
        "failed": len(outcome.failures),
        "failed on other connections": sum(failure.port not in own for failure in outcome.failures),
        "failed after the replacement": sum(failure.started_s > replaced_s for failure in outcome.failures),
        "fresh connections in the next second": fresh.answers,
        "failed of these": len(fresh.failures),
        "replaced after s": replaced_s - killed_s,
        "p99 ms meanwhile": percentile(during, 0.99) * 1e3,
    }


def _delay(family: Family) -> dict[str, float]:
    calm = carry_out(Plan(family.port, (_QUICK,), 4, duration_s=_LOAD_S))
    caller = threading.Thread(target=_call_slow, args=(family.port,))
    with Load(Plan(family.port, (_QUICK,), 4, samples=True)) as load:
        begun_s = monotonic()
        caller.start()
        caller.join()
        ended_s = monotonic()
        outcome = load.stop()
    busy = [took_s for sent_s, took_s in outcome.samples if begun_s <= sent_s < ended_s]
    return {
        "load s": ended_s - begun_s,
        "calm p99 ms": calm.p99_s * 1e3,
        "p99 ms during the load": percentile(busy, 0.99) * 1e3,
        "added p99 ms": (percentile(busy, 0.99) - calm.p99_s) * 1e3,
        "longest ms": max(busy) * 1e3,
        "failures": _failures(calm) + _failures(outcome),
    }


def _failures(outcome: Outcome) -> int:
    return len(outcome.failures)


def _held(port: int) -> int:
    """Models that the gateways hold, one in two gateways counting twice."""
    sleep(1.0)  # gateways report five times a second
    with urlopen(f"http://127.0.0.1:{port}/status", timeout=60) as response:
        cards = json.load(response)["models"]
    return sum(card["gateways"] for card in cards if card["state"] == "loaded")


def _call_slow(port: int) -> None:
    url = f"http://127.0.0.1:{port}/endpoints/slow/invocations"
    request = Request(url, b"1", {"Content-Type": "text/csv"})
    with urlopen(request, timeout=60) as response:  # noqa: S310
        response.read()


def _save(folder: Path, answer: float) -> None:
    folder.mkdir(parents=True)
    model = DummyRegressor(strategy="constant", constant=answer).fit([[0.0]], [0.0])
    joblib.dump(model, folder / "model.joblib")
