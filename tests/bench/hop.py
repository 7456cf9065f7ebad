"""What it costs that a script runs in a container: one whose functions do nothing, beside the like of it.

Side by side, in interleaved bursts whose medians count: the script, a built-in model that does as little
(what the script costs more is the way to its container and back), and the same functions in plain FastAPI
with as many processes. With --base another version's tree is measured as well, say one whose scripts run in
the gateway. Then the first calls of scripts that are not loaded yet, with the fork server there. CPU time is
that of all processes of a server, from the operating system.

    python tests/bench/hop.py --rounds 5 --base ../older
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import joblib
from sklearn.dummy import DummyRegressor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench.figures import show_figures
from tests.bench.speed import Round, burst_at
from tests.bench.wrk import check
from tests.harness.family import Family
from tests.harness.load import Shot

_CONCURRENCIES = (1, 16)
_FIRST_CALLS = 12
_BODY = "5.1,3.5,1.4,0.2"
_HEADERS = {"Content-Type": "text/csv"}
_SCRIPT = """
def model_fn(model_dir):
    return None

def input_fn(body, content_type):
    return body

def predict_fn(data, model):
    return data

def output_fn(prediction, accept):
    return prediction, "text/csv"
"""
_ENDPOINTS = """endpoints:
  script: {variants: {v: {model: script}}}
  built-in: {variants: {v: {model: built-in}}}
  fleet: {variants: {v: {models: fleet/}}}
"""


class Contestant(NamedTuple):
    """Something that is asked the same as the others."""

    family: Family
    shots: tuple[Shot, ...]


def main() -> int:
    """Measure and print; --json writes the figures to a file as well."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="sagebird-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        models = folder / "models"
        _make_models(models)
        ours = stack.enter_context(_sagebird(folder / "ours", models, None))
        plain = stack.enter_context(_plain(folder / "plain"))
        contestants = {
            "script": _at(ours, "/endpoints/script/invocations", _BODY),
            "built-in": _at(ours, "/endpoints/built-in/invocations", "[1.0]"),
            "plain FastAPI, def": _at(plain, "/def", _BODY),
            "plain FastAPI, async def": _at(plain, "/async", _BODY),
        }
        if options.base is not None:
            base = stack.enter_context(_sagebird(folder / "base", models, options.base))
            contestants["script at --base"] = _at(base, "/endpoints/script/invocations", _BODY)
        rounds = _measure(contestants, options.rounds, options.seconds)
        figures = _figures(rounds) | {"first call of an unloaded script": _first_calls(ours)}
    show_figures("The hop to a container", figures)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--base", type=Path, help="the tree of another version, with its .venv")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _make_models(models: Path) -> None:
    names = ["script", *(f"fleet/m{number:02}" for number in range(_FIRST_CALLS))]
    for name in names:
        (models / name / "code").mkdir(parents=True)
        (models / name / "code" / "inference.py").write_text(_SCRIPT)
    (models / "built-in").mkdir()
    joblib.dump(DummyRegressor().fit([[0.0] * 4], [1.0]), models / "built-in" / "model.joblib")
    (models / "endpoints.yaml").write_text(_ENDPOINTS)


def _sagebird(place: Path, models: Path, tree: Path | None) -> Family:
    place.mkdir()
    variables = {
        "SAGEBIRD_MODELS": str(models),
        "SAGEBIRD_DATA": str(place / "data"),
        "SAGEBIRD_GATEWAYS": "2",
        "SAGEBIRD_WORKERS": "0",
    }
    serve = ["-m", "service.cli", "serve"]
    if tree is None:
        return Family(serve, place / "log", "/readyz", **variables)
    root = tree.resolve()
    command = ["env", f"--chdir={root}", str(root / ".venv" / "bin" / "python"), *serve]
    return Family(lambda _port: command, place / "log", "/readyz", **variables)


def _plain(place: Path) -> Family:
    place.mkdir()
    run = "import os, uvicorn; uvicorn.run('tests.bench.plain_noop:app', "
    run += "port=int(os.environ['SAGEBIRD_PORT']), workers=2, log_level='warning')"
    return Family(["-c", run], place / "log", "/")


def _at(family: Family, path: str, answer: str) -> Contestant:
    return Contestant(family, (Shot(path, _BODY, _HEADERS, (answer,)),))


def _measure(
    contestants: Mapping[str, Contestant], rounds: int, seconds: float
) -> dict[tuple[str, int], list[Round]]:
    found: dict[tuple[str, int], list[Round]] = {}
    for each in contestants.values():
        for _ in range(3):  # on all gateways; meanwhile models are loaded
            check(each.family.port, each.shots)
    for number in range(1, rounds + 1):
        for concurrency in _CONCURRENCIES:
            sys.stderr.write(f"{concurrency} at once, {number} of {rounds}\n")
            for name, each in contestants.items():
                burst = burst_at(each.family, each.shots, concurrency, seconds)
                found.setdefault((name, concurrency), []).append(burst)
    return found


def _figures(rounds: Mapping[tuple[str, int], list[Round]]) -> dict[str, dict[str, Any]]:
    names = ("per_second", "p50_ms", "cpu_us")
    table = {
        case: {name: median(getattr(one, name) for one in some) for name in names}
        for case, some in rounds.items()
    }
    found: dict[str, dict[str, Any]] = {
        f"{name}, {concurrency} at once": {
            "calls per second": row["per_second"],
            "p50, ms": row["p50_ms"],
            "CPU per call, us": row["cpu_us"],
        }
        for (name, concurrency), row in table.items()
    }
    for concurrency in _CONCURRENCIES:
        ours = table["script", concurrency]
        more = found[f"script, {concurrency} at once"]
        built_in = table["built-in", concurrency]
        more["CPU per call above the built-in, us"] = ours["cpu_us"] - built_in["cpu_us"]
        for (name, at_once), row in table.items():
            if at_once == concurrency and name not in ("script", "built-in"):
                more[f"times the rate of {name}"] = ours["per_second"] / row["per_second"]
    return found


def _first_calls(family: Family) -> dict[str, float]:
    seconds = []
    for number in range(_FIRST_CALLS):
        headers = _HEADERS | {"X-Amzn-SageMaker-Target-Model": f"m{number:02}"}
        address = f"http://127.0.0.1:{family.port}/endpoints/fleet/invocations"
        begun_s = perf_counter()
        with urlopen(Request(address, _BODY.encode(), headers)) as answer:
            answer.read()
        seconds.append(perf_counter() - begun_s)
    return {"median, s": median(seconds), "longest, s": max(seconds)}


if __name__ == "__main__":
    sys.exit(main())
