"""Folders as MLflow saves them, called as its own scoring server is."""

import json
import pickle
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from sklearn.linear_model import LogisticRegression

from service.errors import ModelFailure, ModelFault
from service.hosting.host import Call, Model
from tests.hosting.runtimes.frameworks.conftest import Load, Rows

NAMES = ["length", "width", "height", "weight"]
DOUBLES = [{"type": "double", "name": name, "required": True} for name in NAMES]


def save(folder: Path, flavor: str, own: dict[str, Any], inputs: Any = None, **function: Any) -> Path:
    """An MLmodel as MLflow 2 writes it."""
    told = {"loader_module": f"mlflow.{flavor}", "python_version": "3.11.7", **function}
    document: dict[str, Any] = {"flavors": {"python_function": told, flavor: own}, "mlflow_version": "2.20.0"}
    if inputs is not None:
        document["signature"] = {"inputs": json.dumps(inputs), "outputs": None, "params": None}
    (folder / "MLmodel").write_text(yaml.safe_dump(document))
    return folder


def save_sklearn(folder: Path, estimator: Any, inputs: Any = None, **function: Any) -> Path:
    (folder / "model.pkl").write_bytes(pickle.dumps(estimator))
    own = {"pickled_model": "model.pkl", "serialization_format": "cloudpickle"}
    return save(folder, "sklearn", own, inputs, model_path="model.pkl", **function)


def ask(model: Model, body: Any, kind: str = "application/json") -> Any:
    data = body if isinstance(body, str) else json.dumps(body)
    answer = model.answer(Call(data.encode(), kind, None))
    assert answer.content_type == "application/json"
    return json.loads(answer.body)["predictions"]


def fault(model: Model, body: Any, kind: str = "application/json") -> tuple[int, str]:
    with pytest.raises(ModelFault) as caught:
        ask(model, body, kind)
    return caught.value.status, caught.value.message


@pytest.fixture(scope="module")
def frame(rows: Rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=NAMES)


@pytest.fixture(scope="module")
def estimator(frame: pd.DataFrame, target: Any) -> Any:
    return LogisticRegression().fit(frame, target)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, estimator: Any, load: Load) -> Iterator[Model]:
    """One without a signature."""
    model = load(save_sklearn(tmp_path_factory.mktemp("plain"), estimator))
    yield weakref.proxy(model)  # pytest keeps what the last test had beyond the end of the containers
    del model


def test_all_forms_of_its_protocol_are_read(
    tmp_path: Path, frame: pd.DataFrame, estimator: Any, load: Load
) -> None:
    model = load(save_sklearn(tmp_path, estimator, DOUBLES))
    wanted = estimator.predict(frame).tolist()
    records = frame.to_dict(orient="records")

    assert ask(model, {"dataframe_split": {"columns": NAMES, "data": frame.to_numpy().tolist()}}) == wanted
    assert ask(model, {"dataframe_records": records}, "application/json; charset=utf-8") == wanted
    assert ask(model, {"instances": records, "params": {}}) == wanted
    assert ask(model, {"instances": frame.to_numpy().tolist()}) == wanted
    assert ask(model, {"inputs": frame.to_dict(orient="list")}) == wanted
    assert ask(model, {"inputs": frame.to_numpy().tolist()}) == wanted
    assert ask(model, frame[NAMES[::-1]].to_csv(index=False), "text/csv") == wanted
    assert ask(model, frame.to_csv(index=False, header=False), "text/csv") == wanted
    assert model.traits.description == "MLflow model"


def test_its_signature_is_held(tmp_path: Path, frame: pd.DataFrame, estimator: Any, load: Load) -> None:
    model = load(save_sklearn(tmp_path, estimator, DOUBLES))
    (first,) = frame.head(1).to_dict(orient="records")
    wanted = estimator.predict(frame.head(1)).tolist()

    assert ask(model, {"dataframe_records": [{"more": 1, **dict(reversed(first.items()))}]}) == wanted
    partial = {name: first[name] for name in NAMES[:3]}
    assert fault(model, {"dataframe_records": [{**partial, "other": 1}]}) == (
        400,
        "Model is missing inputs ['weight']. Note that there were extra inputs: ['other'].",
    )
    status, said = fault(model, {"dataframe_records": [{**first, "weight": "heavy"}]})
    assert (status, said[:52]) == (400, "Incompatible input types for column weight. Can not ")


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        ({"rows": [[1]]}, "application/json", 400, "exactly one of the input fields"),
        ({"instances": [], "inputs": []}, "application/json", 400, "it has instances, inputs"),
        ({"dataframe_split": [[1]]}, "application/json", 400, "dataframe_split is an object of data"),
        ({"dataframe_records": {}}, "application/json", 400, "dataframe_records is a list of objects"),
        ({"instances": 1}, "application/json", 400, "instances is a list"),
        ({"instances": [[1], [1, 2]]}, "application/json", 400, "The rows are not alike"),
        ("{", "application/json", 400, "The body is no JSON"),
        ("", "application/json", 400, "The body is empty"),
        ("1,2", "text/plain", 415, "This predictor only supports the following content types"),
    ],
)
def test_what_is_no_input_is_refused(plain: Model, body: Any, kind: str, status: int, said: str) -> None:
    found, message = fault(plain, body, kind)

    assert found == status
    assert said in message


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("long", 3, 3.5),
        ("integer", 3, 2**40),
        ("float", 3, "three"),
        ("string", "three", 3),
        ("boolean", True, 1),
        ("datetime", "2026-01-02T03:04:05", "noon"),
    ],
)
def test_each_type_is_held(tmp_path: Path, load: Load, kind: str, good: Any, bad: Any) -> None:
    echo = "class Echo:\n    def predict(self, data):\n        return [[str(kind) for kind in data.dtypes]]\n"
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "echo.py").write_text(echo)
    (tmp_path / "model.pkl").write_bytes(b"cecho\nEcho\n)\x81.")
    inputs = [
        {"type": kind, "name": "a", "required": True},
        {"type": "double", "name": "b", "required": False},
    ]
    own = {"pickled_model": "model.pkl"}
    model = load(save(tmp_path, "sklearn", own, inputs, model_path="model.pkl", code="code"))

    assert len(ask(model, {"dataframe_records": [{"a": good}]})[0]) == 1
    assert len(ask(model, {"dataframe_records": [{"a": good, "b": 1}]})[0]) == 2
    assert fault(model, {"dataframe_records": [{"a": bad}]})[0] == 400


def test_tensors_are_held_to_their_shape(tmp_path: Path, rows: Rows, target: Any, load: Load) -> None:
    estimator = LogisticRegression().fit(rows, target)
    inputs = [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 4]}}]
    model = load(save_sklearn(tmp_path, estimator, inputs))

    assert ask(model, {"inputs": rows.tolist()}) == estimator.predict(rows).tolist()
    assert fault(model, {"inputs": [[1, 2]]}) == (
        400,
        "Shape of input (1, 2) does not match expected shape (-1, 4).",
    )
    assert fault(model, {"instances": [["x"] * 4]})[0] == 400


def test_probabilities_are_answered_where_the_model_was_logged_so(
    tmp_path: Path, frame: pd.DataFrame, estimator: Any, load: Load
) -> None:
    model = load(save_sklearn(tmp_path, estimator, DOUBLES, predict_fn="predict_proba"))

    found = ask(model, {"dataframe_records": frame.to_dict(orient="records")})

    assert found == estimator.predict_proba(frame).tolist()


def test_xgboost_is_loaded_without_mlflow(
    tmp_path: Path, frame: pd.DataFrame, target: Any, load: Load
) -> None:
    xgboost = pytest.importorskip("xgboost")
    data = xgboost.DMatrix(frame, label=target > 0)
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 5)
    estimator = xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(frame, target)
    for name, model in (("Booster", booster), ("XGBClassifier", estimator)):
        (tmp_path / name).mkdir()
        model.save_model(tmp_path / name / "model.ubj")
        where = "core" if name == "Booster" else "sklearn"
        own = {"data": "model.ubj", "model_class": f"xgboost.{where}.{name}", "model_format": "ubj"}
        save(tmp_path / name, "xgboost", own, DOUBLES, data="model.ubj")
    records = {"dataframe_records": frame.to_dict(orient="records")}

    assert ask(load(tmp_path / "Booster"), records) == booster.predict(data).tolist()
    assert ask(load(tmp_path / "XGBClassifier"), records) == estimator.predict(frame).tolist()


def test_lightgbm_is_loaded_without_mlflow(
    tmp_path: Path, frame: pd.DataFrame, target: Any, load: Load
) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    data = lightgbm.Dataset(frame, label=target)
    booster = lightgbm.train({"objective": "regression", "num_threads": 1, "verbose": -1}, data, 5)
    booster.save_model(tmp_path / "model.lgb")
    own = {"data": "model.lgb", "model_class": "lightgbm.basic.Booster"}

    model = load(save(tmp_path, "lightgbm", own, DOUBLES, data="model.lgb"))

    found = ask(model, {"dataframe_split": {"columns": NAMES, "data": frame.to_numpy().tolist()}})
    assert found == booster.predict(frame).tolist()


def test_any_other_flavour_needs_mlflow(tmp_path: Path, load: Load) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "mlflow.py").write_text("raise ModuleNotFoundError('no', name='mlflow')")
    save(tmp_path, "pyfunc.model", {}, python_model="python_model.pkl")

    with pytest.raises(
        ModelFailure, match=r"^MLmodel needs the Python package mlflow, which is not installed"
    ):
        load(tmp_path)


def test_a_model_of_mlflow_alone_is_loaded_by_it(tmp_path: Path, load: Load) -> None:
    pyfunc = pytest.importorskip("mlflow.pyfunc")

    class Doubled(pyfunc.PythonModel):  # type: ignore[misc,name-defined]  # it may not be there
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return model_input * 2

    folder = tmp_path / "model"
    pyfunc.save_model(folder, python_model=Doubled())

    assert ask(load(folder), {"dataframe_records": [{"a": 1.5}]}) == [{"a": 3.0}]


@pytest.mark.parametrize("text", ["flavors: {}", "a: [", "- 1"])
def test_an_mlmodel_that_says_nothing_is_named(tmp_path: Path, load: Load, text: str) -> None:
    (tmp_path / "MLmodel").write_text(text)

    with pytest.raises(ModelFailure, match=r"^MLmodel cannot be loaded as an MLflow model with the flavour"):
        load(tmp_path)
