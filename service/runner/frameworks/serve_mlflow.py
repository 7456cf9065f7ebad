"""Folders that MLflow saved, called as MLflow's own scoring server is.

Models of scikit-learn, XGBoost and LightGBM are loaded without MLflow; any other flavour by it.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import sys
from collections.abc import Callable
from typing import Any

from _sagebird_frameworks import Refusal, library, model_files, unreadable
from _sagebird_mlflow import Signature, read_input

_NATIVE = ("mlflow.sklearn", "mlflow.xgboost", "mlflow.lightgbm")


class MLflowModel:
    """A model and its signature."""

    def __init__(self, predict: Callable[[Any], Any], signature: Signature | None) -> None:
        self._predict = predict
        self.signature = signature
        names = signature.names if signature else None
        if names:
            self.feature_names_in_ = names
            self.n_features_in_ = len(names)

    def predict(self, data: Any) -> Any:
        """What it says of data that fit its signature. Raises Refusal."""
        given = self.signature.enforced(data) if self.signature else data
        try:
            return self._predict(given)
        except (ValueError, TypeError) as error:
            raise Refusal(str(error).strip()) from error


def model_fn(model_dir: str) -> MLflowModel:
    """Load the folder's model by the loader that its MLmodel names."""
    path = model_files(model_dir)[0]
    yaml = library("yaml", path, "pyyaml")
    library("pandas", path)
    try:
        with open(path, encoding="utf-8") as file:
            document = yaml.safe_load(file)
        flavors = document["flavors"]
        told = flavors["python_function"]
        loader = told["loader_module"]
        inputs = (document.get("signature") or {}).get("inputs")
        signature = Signature(json.loads(inputs)) if inputs else None
    except Exception as error:
        raise unreadable(path, "an MLflow model with the flavour python_function", error) from error
    if told.get("code"):
        sys.path.insert(0, os.path.join(model_dir, told["code"]))
    own = flavors.get(loader.rpartition(".")[2], {})
    if loader not in _NATIVE:
        mlflow = library("mlflow.pyfunc", path, "mlflow")
        return MLflowModel(mlflow.load_model(model_dir).predict, signature)
    try:
        return MLflowModel(_LOADERS[loader](model_dir, own, told), signature)
    except Refusal:
        raise
    except Exception as error:
        raise unreadable(path, f"a model of {loader}", error) from error


def _load_sklearn(model_dir: str, own: dict[str, Any], told: dict[str, Any]) -> Callable[[Any], Any]:
    path = os.path.join(model_dir, own.get("pickled_model") or told["model_path"])
    library("sklearn", path, "scikit-learn")
    predict: Callable[[Any], Any] = getattr(_estimator(path), told.get("predict_fn") or "predict")
    return predict


def _load_xgboost(model_dir: str, own: dict[str, Any], told: dict[str, Any]) -> Callable[[Any], Any]:
    path = os.path.join(model_dir, own.get("data") or told["data"])
    xgboost = library("xgboost", path)
    found = _made(own.get("model_class", "xgboost.core.Booster"))
    found.load_model(path)
    found.set_params(n_jobs=1) if hasattr(found, "set_params") else found.set_param({"nthread": 1})
    if not isinstance(found, xgboost.Booster):
        return found.predict  # type: ignore[no-any-return]
    return lambda data: found.predict(xgboost.DMatrix(data, nthread=1))


def _load_lightgbm(model_dir: str, own: dict[str, Any], told: dict[str, Any]) -> Callable[[Any], Any]:
    path = os.path.join(model_dir, own.get("data") or told["data"])
    lightgbm = library("lightgbm", path)
    plain = own.get("model_class", "lightgbm.basic.Booster") == "lightgbm.basic.Booster"
    found = lightgbm.Booster(model_file=path) if plain else _estimator(path)
    return found.predict  # type: ignore[no-any-return]


_LOADERS = {
    "mlflow.sklearn": _load_sklearn,
    "mlflow.xgboost": _load_xgboost,
    "mlflow.lightgbm": _load_lightgbm,
}


def _estimator(path: str) -> Any:
    if path.endswith(".skops"):
        return importlib.import_module("serve_skops").load_skops(path)
    with open(path, "rb") as file:
        return pickle.load(file)  # noqa: S301 - the model's own code may do here whatever it likes


def _made(name: str) -> Any:
    module, _, kind = name.rpartition(".")
    return getattr(importlib.import_module(module), kind)()


def transform_fn(model: MLflowModel, body: Any, content_type: str, accept: str) -> tuple[str, str]:
    """Answer a call."""
    text = body if isinstance(body, str) else _decoded(body)
    answer = model.predict(read_input(text, content_type, model.signature))
    return json.dumps({"predictions": _plain(answer)}, default=_plain), "application/json"


def _decoded(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise Refusal(f"The body is not UTF-8: {error}.") from error


def _plain(value: Any) -> Any:
    """Frames as records, all else as lists."""
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return value.to_dict(orient="records")
    if hasattr(value, "tolist"):
        return value.tolist()
    return value if isinstance(value, (list, dict, str, int, float, bool)) or value is None else str(value)
