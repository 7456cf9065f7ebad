"""What is measured side by side, and the models that all of them serve."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from xgboost import XGBClassifier

from tests.bench.bare import ANSWER
from tests.bench.records import RECORD, SAMPLES, STRIKE, fit_boosting, fit_logistic
from tests.bench.scripts import load_script
from tests.bench.signing import signed_headers
from tests.harness.family import Family
from tests.harness.load import Shot

COLUMNS = 10
MODELS = 20
_SIGNED_HEADS = 2000  # more than a server could remember one by one
_NGINX = """daemon off; worker_processes {workers}; pid {folder}/pid; error_log {folder}/errors;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
  scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "{answer}"; }} }} }}
"""


@dataclass(frozen=True)
class Scenario:
    """One kind of request: to which models, of which form, of how many rows, and whether boto3 signed it."""

    name: str
    models: tuple[str, ...]
    rows: int = 1
    form: str = "rows"
    signed: bool = False


def make_scenarios(models: Path) -> tuple[Scenario, ...]:
    """Fit and save the models, declare endpoints for them, and say what is asked of them."""
    rows, labels = make_classification(2000, COLUMNS, n_informative=6, n_classes=3, random_state=0)
    logistic = LogisticRegression(max_iter=1000).fit(rows, labels)
    _save(models / "logistic", logistic)
    _save(models / "texts", fit_texts())
    _save(models / "records", fit_logistic())
    _save(models / "boosting", fit_boosting())
    shutil.copytree(SAMPLES / "bird-strike", models / "bird-strike")
    _save(models / "xgboost", XGBClassifier(n_estimators=100, max_depth=6).fit(rows, labels))
    _save(models / "forest", RandomForestClassifier(100, max_depth=10, random_state=0).fit(rows, labels))
    names = tuple(f"m{number:02}" for number in range(MODELS))
    for number, name in enumerate(names):
        _save(models / "fleet" / name, LogisticRegression(C=number + 1.0, max_iter=1000).fit(rows, labels))
        shutil.copytree(models / "fleet" / name, models / name)  # where the plain server looks
    (models / "endpoints.yaml").write_text(
        "endpoints:\n"
        "  logistic: {variants: {v: {model: logistic, weight: 1}}}\n"
        "  forest: {variants: {v: {model: forest, weight: 1}}}\n"
        "  texts: {variants: {v: {model: texts, weight: 1}}}\n"
        "  xgboost: {variants: {v: {model: xgboost, weight: 1}}}\n"
        "  records: {variants: {v: {model: records, weight: 1}}}\n"
        "  boosting: {variants: {v: {model: boosting, weight: 1}}}\n"
        "  bird-strike: {variants: {v: {model: bird-strike, weight: 1}}}\n"
        "  fleet: {variants: {all: {models: fleet/, weight: 1}}}\n"
    )
    return (
        Scenario("one row, logistic", ("logistic",), 1),
        Scenario("100 rows, logistic", ("logistic",), 100),
        Scenario("one row, forest", ("forest",), 1),
        Scenario("one row, 20 models", names, 1),
        Scenario("one row, signed", ("logistic",), 1, signed=True),
        Scenario("one text, tf-idf and logistic", ("texts",), form="texts"),
        Scenario("one row, XGBoost", ("xgboost",), 1),
        Scenario("one record, logistic", ("records",), form="records"),
        Scenario("one record, boosting", ("boosting",), form="records"),
        Scenario("one record, a script", ("bird-strike",), form="scripts"),
    )


def fit_texts() -> Any:
    """A classifier of texts that knows about 20,000 words, some of them much more often used than others."""
    random = np.random.default_rng(0)
    texts = [_text(random) for _ in range(4000)]
    labels = random.integers(0, 4, len(texts))
    return make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=30)).fit(texts, labels)


def _text(random: np.random.Generator) -> str:
    return " ".join(f"Word{min(number, 30_000)}" for number in random.zipf(1.3, 40))


def _save(folder: Path, model: Any) -> None:
    folder.mkdir(parents=True)
    joblib.dump(model, folder / "model.joblib")


def shots(scenario: Scenario, server: str, models: Path) -> tuple[Shot, ...]:
    """A scenario's requests in a server's own form, with the right answers."""
    body, content_type, given = _asked(scenario)
    found = []
    for name in scenario.models:
        headers = {"Content-Type": content_type}
        path = f"/{scenario.form}/{name}"
        if server.startswith("sagebird"):
            fleet = len(scenario.models) > 1
            path = f"/endpoints/{'fleet' if fleet else name}/invocations"
            headers |= {"X-Amzn-SageMaker-Target-Model": name} if fleet else {}
        answers: tuple[str, ...] = (ANSWER.decode(),)
        if server not in ("nginx", "bare"):
            answers = _right(scenario, models / name, given)
        each = signed_headers(name, headers, body, _SIGNED_HEADS) if scenario.signed else [headers]
        found += [Shot(path, body, some, answers) for some in each]
    return tuple(found)


def _asked(scenario: Scenario) -> tuple[str, str, Any]:
    """A body, its type, and what the model is given of it."""
    random = np.random.default_rng(0)
    if scenario.form == "rows":
        values = random.normal(size=(scenario.rows, COLUMNS)).round(3)
        return "\n".join(",".join(map(str, row)) for row in values.tolist()), "text/csv", values
    if scenario.form == "texts":
        text = _text(random)
        return text, "text/plain", [text]
    record = RECORD if scenario.form == "records" else STRIKE
    return json.dumps(record), "application/json", pd.DataFrame([record])


def _right(scenario: Scenario, folder: Path, given: Any) -> tuple[str, ...]:
    """The answer, as FastAPI and as AWS's containers write it."""
    if scenario.form == "scripts":
        answer, _ = load_script(folder).answer(json.dumps(STRIKE), "application/json", "application/json")
        return (answer,)
    labels = str(joblib.load(folder / "model.joblib").predict(given).tolist())
    return labels.replace(" ", ""), labels


@contextmanager
def running(server: str, folder: Path, models: Path, gateways: int) -> Iterator[Family]:
    """A server with so many processes that take calls, ready."""
    place = folder / f"{server}-{gateways}".replace(" ", "-")
    place.mkdir()
    with _start(server, place, models, gateways) as family:
        yield family


def _start(server: str, place: Path, models: Path, gateways: int) -> Family:
    log = place / "log"
    if server == "nginx":
        return Family(_nginx(place, gateways), log, "/")
    if server == "bare":
        return Family(["-m", "tests.bench.bare", str(gateways)], log, "/")
    if server == "plain":
        start = (
            "import os, uvicorn; uvicorn.run('tests.bench.plain:app', port=int(os.environ['SAGEBIRD_PORT']),"
        )
        start += f" workers={gateways}, log_level='warning')"
        return Family(["-c", start], log, "/", MODELS=str(models))
    environment = {
        "SAGEBIRD_DATA": str(place / "data"),
        "SAGEBIRD_MODELS": str(models),
        "SAGEBIRD_GATEWAYS": str(gateways),
        "SAGEBIRD_FAST_PATH": "off" if "ASGI" in server else "on",
    }
    return Family(["-m", "service.cli", "serve"], log, "/readyz", **environment)


def contestants() -> tuple[str, ...]:
    """The servers that can be measured here."""
    found = ("bare", "plain", "sagebird", "sagebird ASGI")
    return (("nginx",) if shutil.which("nginx") or os.path.exists("/usr/sbin/nginx") else ()) + found


def _nginx(place: Path, workers: int) -> Callable[[int], list[str]]:
    def program(port: int) -> list[str]:
        (place / "conf").write_text(
            _NGINX.format(folder=place, port=port, workers=workers, answer=ANSWER.decode())
        )
        return [
            shutil.which("nginx") or "/usr/sbin/nginx",
            "-c",
            str(place / "conf"),
            "-e",
            str(place / "errors"),
        ]

    return program
