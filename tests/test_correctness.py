"""What the server answers is what scikit-learn says: every sample model, every format, 1 and 2 gateways."""

import importlib.util
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

from tests.conftest import ROOT, RunningServer, StartServer
from tests.harness import web

_NAMES = ("iris-logistic", "iris-forest", "breast-cancer", "diabetes", "digits")
_CLASSIFIERS = ("iris-logistic", "iris-forest", "breast-cancer", "digits")


@dataclass(frozen=True)
class Sample:
    """A sample model as scikit-learn has it, and rows that its training never saw."""

    name: str
    model: Any
    rows: pd.DataFrame

    @property
    def labels(self) -> list[Any]:
        return list(self.model.predict(self.rows).tolist())

    @property
    def probabilities(self) -> "np.ndarray[Any, Any]":
        return np.asarray(self.model.predict_proba(self.rows))


def _load(name: str) -> Sample:
    folder = ROOT / "models" / name
    spec = importlib.util.spec_from_file_location(f"train_{name.replace('-', '_')}", folder / "train.py")
    assert spec is not None
    assert spec.loader is not None
    train = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(train)
    return Sample(name, joblib.load(folder / "model.joblib"), train.held_out()[0])


@pytest.fixture(scope="module")
def sample_of() -> Callable[[str], Sample]:
    known: dict[str, Sample] = {}

    def find(name: str) -> Sample:
        if name not in known:
            known[name] = _load(name)
        return known[name]

    return find


@pytest.fixture(scope="module")
def alone(start_server: StartServer) -> Iterator[RunningServer]:
    """One gateway over the sample models."""
    server = start_server(gateways=1)
    server.shared = Path(__file__)  # it is asked for in the middle of a test
    yield server
    server.stop()


@pytest.fixture(params=[1, 2], ids=["1-gateway", "2-gateways"])
def server(request: pytest.FixtureRequest) -> RunningServer:
    name = "alone" if request.param == 1 else "samples"
    found: RunningServer = request.getfixturevalue(name)
    return found


def _call(
    server: RunningServer, model: str, body: bytes | str, content_type: str, accept: str
) -> httpx.Response:
    answer = server.invoke(
        "catalogue",
        body,
        Content_Type=content_type,
        Accept=accept,
        X_Amzn_SageMaker_Target_Model=model,
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == accept.partition(";")[0]
    return answer


def _csv(rows: pd.DataFrame) -> str:
    return str(rows.to_csv(header=False, index=False))


def _npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _values(rows: pd.DataFrame) -> list[list[float]]:
    return [list(row) for row in rows.to_numpy().tolist()]


_BODIES: dict[str, tuple[str, Callable[[pd.DataFrame], bytes | str]]] = {
    "csv": ("text/csv", _csv),
    "csv-crlf-and-charset": ("text/csv; charset=utf-8", lambda rows: _csv(rows).replace("\n", "\r\n")),
    "json-rows": ("application/json", lambda rows: json.dumps(_values(rows))),
    "json-instances-of-rows": ("application/json", lambda rows: json.dumps({"instances": _values(rows)})),
    "json-instances-of-features": (
        "application/json",
        lambda rows: json.dumps({"instances": [{"features": row} for row in _values(rows)]}),
    ),
    "json-instances-of-data": (
        "application/json",
        lambda rows: json.dumps(
            {"instances": [{"data": {"features": {"values": row}}} for row in _values(rows)]}
        ),
    ),
    "json-records": ("application/json", lambda rows: rows.to_json(orient="records", double_precision=15)),
    "jsonlines-rows": (
        "application/jsonlines",
        lambda rows: "\n".join(json.dumps(row) for row in _values(rows)),
    ),
    "jsonlines-records": (
        "application/jsonlines",
        lambda rows: "".join(json.dumps(record) + "\n" for record in rows.to_dict(orient="records")),
    ),
    "npy": ("application/x-npy", lambda rows: _npy(rows.to_numpy())),
    "npy-fortran": ("application/x-npy", lambda rows: _npy(np.asfortranarray(rows.to_numpy(dtype="f8")))),
}


@pytest.mark.parametrize("form", _BODIES)
@pytest.mark.parametrize("name", _NAMES)
def test_every_form_of_request_gives_what_predict_gives(
    name: str, form: str, server: RunningServer, sample_of: Callable[[str], Sample]
) -> None:
    sample = sample_of(name)
    content_type, write = _BODIES[form]
    answer = _call(server, name, write(sample.rows), content_type, "application/json")
    np.testing.assert_allclose(answer.json(), sample.labels, rtol=1e-12)


@pytest.mark.parametrize("name", _NAMES)
def test_every_form_of_answer_gives_what_predict_gives(
    name: str, server: RunningServer, sample_of: Callable[[str], Sample]
) -> None:
    sample = sample_of(name)
    body = _csv(sample.rows)
    lines = _call(server, name, body, "text/csv", "text/csv").text.splitlines()
    np.testing.assert_allclose([float(line) for line in lines], sample.labels, rtol=1e-12)
    lines = _call(server, name, body, "text/csv", "application/jsonlines").text.splitlines()
    np.testing.assert_allclose([json.loads(line) for line in lines], sample.labels, rtol=1e-12)
    array = np.load(io.BytesIO(_call(server, name, body, "text/csv", "application/x-npy").content))
    np.testing.assert_allclose(array, sample.labels, rtol=1e-12)


@pytest.mark.parametrize("name", _CLASSIFIERS)
def test_probabilities_are_those_of_predict_proba(
    name: str, server: RunningServer, sample_of: Callable[[str], Sample]
) -> None:
    sample = sample_of(name)
    body = _npy(sample.rows.to_numpy())
    content_type, output = "application/x-npy", ";output=probabilities"
    answer = _call(server, name, body, content_type, f"application/json{output}")
    np.testing.assert_allclose(answer.json(), sample.probabilities, rtol=1e-12)
    answer = _call(server, name, body, content_type, f"text/csv{output}")
    rows = [[float(cell) for cell in line.split(",")] for line in answer.text.splitlines()]
    np.testing.assert_allclose(rows, sample.probabilities, rtol=1e-12)
    answer = _call(server, name, body, content_type, f"application/x-npy{output}")
    np.testing.assert_allclose(np.load(io.BytesIO(answer.content)), sample.probabilities, rtol=1e-12)


@pytest.mark.parametrize("name", _NAMES)
def test_one_row_by_itself_gives_what_it_gives_among_others(
    name: str, server: RunningServer, sample_of: Callable[[str], Sample]
) -> None:
    sample = sample_of(name)
    for number in range(5):
        row = sample.rows.iloc[[number]]
        expected = sample.labels[number : number + 1]
        for body, content_type in (
            (_csv(row), "text/csv"),
            (json.dumps(_values(row)[0]), "application/json"),
            (_npy(row.to_numpy()[0]), "application/x-npy"),
        ):
            answer = _call(server, name, body, content_type, "application/json")
            np.testing.assert_allclose(answer.json(), expected, rtol=1e-12)


@pytest.mark.parametrize("form", ["records", "instances", "csv", "csv-with-header"])
def test_mixed_columns_with_gaps_give_what_the_pipeline_gives(
    form: str, server: RunningServer, sample_of: Callable[[str], Sample]
) -> None:
    sample = sample_of("bird-strike")
    assert sample.rows.isna().to_numpy().any()
    records = json.loads(sample.rows.to_json(orient="records"))
    body, content_type = {
        "records": (json.dumps(records), "application/json"),
        "instances": (json.dumps({"instances": records}), "application/json"),
        "csv": (_csv(sample.rows), "text/csv"),
        "csv-with-header": (sample.rows.to_csv(index=False), "text/csv"),
    }[form]
    answer = _call(server, "bird-strike", body, content_type, "application/json").json()["predictions"]
    assert [row["damage"] for row in answer] == sample.labels
    yes = list(sample.model.classes_).index("yes")
    np.testing.assert_allclose(
        [row["probability"] for row in answer], sample.probabilities[:, yes], rtol=1e-9
    )


# ---- text labels and shares, over a folder of our own


@pytest.fixture(scope="module")
def species(tmp_path_factory: pytest.TempPathFactory, start_server: StartServer) -> Iterator[RunningServer]:
    """Text labels, and variants of weight 3, 1 and 0."""
    models = tmp_path_factory.mktemp("species")
    rows, numbers = load_iris(return_X_y=True)
    for name in ("big", "small", "idle"):
        forest = RandomForestClassifier(n_estimators=5, random_state=len(name))
        (models / name).mkdir()
        joblib.dump(
            forest.fit(rows, np.array(["setosa", "värsicolor", "vir,ginica"])[numbers]),
            models / name / "m.pkl",
        )
    (models / "endpoints.yaml").write_text(
        """
        default_endpoint: species
        endpoints:
          species:
            variants:
              Big: {model: big, weight: 3}
              Small: {model: small, weight: 1}
              Idle: {model: idle, weight: 0}
        """
    )
    server = start_server(models)
    yield server
    server.stop()


def test_text_labels_come_out_as_scikit_learn_gives_them(species: RunningServer) -> None:
    rows, _ = load_iris(return_X_y=True)
    model = joblib.load(species.models / "big" / "m.pkl")
    labels = model.predict(rows).tolist()
    body = _npy(rows)
    headers = {"Content_Type": "application/x-npy", "X_Amzn_SageMaker_Target_Variant": "Big"}
    assert species.invoke("species", body, **headers).json() == labels
    assert (
        np.load(
            io.BytesIO(species.invoke("species", body, Accept="application/x-npy", **headers).content)
        ).tolist()
        == labels
    )
    lines = species.invoke("species", body, Accept="text/csv", **headers).content.decode()
    assert pd.read_csv(io.StringIO(lines), header=None)[0].tolist() == labels
    both = species.invoke(
        "species", body, Accept="application/json;output=predicted_label+probabilities", **headers
    ).json()["predictions"]
    assert [row["predicted_label"] for row in both] == labels
    np.testing.assert_allclose([row["probabilities"] for row in both], model.predict_proba(rows))


def test_traffic_is_shared_by_weight_and_weight_zero_gets_none(species: RunningServer) -> None:
    calls, z = 2000, 5.0
    with web.client(base_url=species.url, timeout=10, headers={"Content-Type": "text/csv"}) as client:
        variants = Counter(
            client.post("/invocations", content="5.1,3.5,1.4,0.2").headers[
                "x-amzn-invoked-production-variant"
            ]
            for _ in range(calls)
        )
    assert set(variants) == {"Big", "Small"}
    assert abs(variants["Big"] - 0.75 * calls) < z * sqrt(calls * 0.75 * 0.25)


def test_a_target_variant_is_asked_whatever_its_weight(species: RunningServer) -> None:
    for variant in ("Big", "Small", "Idle"):
        for _ in range(10):
            answer = species.invoke(
                "species", "5.1,3.5,1.4,0.2", Content_Type="text/csv", X_Amzn_SageMaker_Target_Variant=variant
            )
            assert answer.headers["x-Amzn-Invoked-Production-Variant"] == variant


def test_an_unknown_variant_is_refused_by_name(species: RunningServer) -> None:
    answer = species.invoke("species", "1,2,3,4", X_Amzn_SageMaker_Target_Variant="Nobody")
    assert answer.status_code == 400
    assert answer.json() == {
        "Message": "Variant 'Nobody' is not found in endpoint species; its variants are Big, Small, Idle."
    }


def test_weights_that_are_all_zero_are_refused_with_a_sentence(
    start_server: StartServer, tmp_path: Path
) -> None:
    (tmp_path / "m").mkdir()
    joblib.dump(RandomForestClassifier(), tmp_path / "m" / "m.pkl")
    (tmp_path / "endpoints.yaml").write_text(
        "endpoints: {e: {variants: {a: {model: m, weight: 0}, b: {model: m, weight: 0}}}}"
    )
    server = start_server(tmp_path, wait=False)
    assert server.process.wait(30) == 3
    assert "endpoints.e" in server.log.read_text()
    assert "weight" in server.log.read_text()
