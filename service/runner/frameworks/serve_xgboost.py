"""XGBoost models, as AWS's XGBoost container serves them where there is no script. Source: contract A.10."""

from __future__ import annotations

import csv
import json
import os
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
from _sagebird_frameworks import Refusal, library, model_files
from _sagebird_recordio import read_features, read_records, record_of

_CSV, _LIBSVM, _PARQUET, _RECORDIO = "csv", "libsvm", "parquet", "recordio-protobuf"
_KINDS = {
    **{"csv": _CSV, "libsvm": _LIBSVM, "parquet": _PARQUET, "recordio-protobuf": _RECORDIO},
    **{"text/csv": _CSV, "text/libsvm": _LIBSVM, "text/x-libsvm": _LIBSVM},
    **{"application/x-parquet": _PARQUET, "application/x-recordio-protobuf": _RECORDIO},
}
_ACCEPTED = ["application/json", "application/jsonlines", "application/x-recordio-protobuf", "text/csv"]
_JSON, _LINES, _RECORDS, _TEXT = _ACCEPTED
_ACCEPT = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"
_OUTPUT = "SAGEMAKER_INFERENCE_OUTPUT"
_TARGET = "X-Amzn-SageMaker-Target-Model"
_MOST_BYTES = 20 << 20
_DELIMITERS = ",\t; :|"


class XGBoostModel:
    """One booster, or several whose answers are averaged."""

    def __init__(self, xgboost: Any, boosters: list[Any]) -> None:
        self.xgboost = xgboost
        self._boosters = boosters
        learner = json.loads(boosters[0].save_config())["learner"]
        self.objective = str(learner["objective"]["name"])
        self.classes = int(learner["learner_model_param"].get("num_class") or 0)
        self.width = int(learner["learner_model_param"]["num_feature"])
        self.n_features_in_ = self.width
        names = boosters[0].feature_names
        if names is not None:
            self.feature_names_in_ = names

    def predict(self, rows: Any) -> Any:
        """What they say of rows, of a matrix or a sparse one."""
        matrix = self.xgboost.DMatrix(rows, nthread=1)
        answers = [self._ask(booster, matrix) for booster in self._boosters]
        if len(answers) == 1:
            return answers[0]
        if self.objective not in ("multi:softmax", "binary:hinge"):
            return np.mean(answers, axis=0)
        return np.apply_along_axis(_most_frequent, 0, np.array(answers))

    def _ask(self, booster: Any, matrix: Any) -> Any:
        """With the trees up to the best, where training stopped early."""
        best = getattr(booster, "best_iteration", None)
        if best is None:
            return booster.predict(matrix, validate_features=False)
        version = tuple(int(part) for part in self.xgboost.__version__.split(".")[:2])
        if version < (1, 4):
            return booster.predict(matrix, ntree_limit=booster.best_ntree_limit, validate_features=False)
        return booster.predict(matrix, iteration_range=(0, int(best) + 1), validate_features=False)


def _most_frequent(votes: Any) -> Any:
    values, counts = np.unique(votes, return_counts=True)
    return values[counts.argmax()]


def model_fn(model_dir: str) -> XGBoostModel:
    """Load all files of the model, or the first alone where an ensemble is not wanted."""
    paths = model_files(model_dir)
    xgboost = library("xgboost", paths[0])
    if os.environ.get("SAGEMAKER_INFERENCE_ENSEMBLE", "true").lower() != "true":
        del paths[1:]
    return XGBoostModel(xgboost, [_load(xgboost, path) for path in paths])


def _load(xgboost: Any, path: str) -> Any:
    try:
        with open(path, "rb") as file:
            found = pickle.load(file)  # noqa: S301 - the model's own code may do here whatever it likes
        booster = found.get_booster() if hasattr(found, "get_booster") else found
        if not isinstance(booster, xgboost.Booster):
            raise TypeError(f"it holds a {type(found).__name__}")
    except Exception as no_pickle:
        booster = xgboost.Booster({"nthread": 1})
        try:
            with open(path, "rb") as file:
                booster.load_model(bytearray(file.read()))
        except Exception as error:
            said = f"Model {os.path.basename(path)} cannot be loaded:\n{no_pickle}\n{error}"
            raise Refusal(f"Unable to load model: {said}", 500) from error
    booster.set_param({"nthread": 1})
    return booster


def execution_parameters_fn() -> bytes:
    """What a batch job is told."""
    most = min(int(os.environ.get("MAX_CONTENT_LENGTH", 6 << 20)), _MOST_BYTES)
    told = {
        "MaxConcurrentTransforms": os.cpu_count(),
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": most >> 20,
    }
    return json.dumps(told).encode()


def transform_fn(
    model: XGBoostModel, body: Any, content_type: str, accept: str, context: Any
) -> tuple[Any, Any]:
    """Answer a call, or refuse it, in the order in which AWS's container looks."""
    data = body.encode() if isinstance(body, str) else body
    if not data:
        return b"", 204
    try:
        rows, kind = _read(data, content_type)
    except Exception as error:
        raise Refusal(str(error), 415) from error
    try:
        _check_width(rows, kind, model.width)
        predictions = model.predict(rows)
    except Exception as error:
        raise Refusal(f"Unable to evaluate payload provided: {error}") from error
    asked = context.get_request_header("Accept") or ""
    if context.get_request_header(_TARGET):
        return _written_for_many(predictions, asked or os.environ.get(_ACCEPT) or _JSON)
    return _written(model, predictions, _accepted(asked))


# ---- in


def _read(data: bytes, content_type: str) -> tuple[Any, str]:
    kind = _kind(content_type)
    if kind not in _READERS:
        raise ValueError(f"Content-type {content_type} is not supported.")
    try:
        return _READERS[kind](data), kind
    except Exception as error:
        between = " " if kind == _RECORDIO else "\n "
        raise ValueError(
            f"Loading {kind} data failed with Exception, please ensure data is in {kind} format:"
            f"{between}{type(error)}{between}{error}"
        ) from error


def _kind(content_type: str) -> str:
    name, *rest = content_type.lower().split(";")
    kind = _KINDS.get(name.strip())
    if kind is None:
        raise ValueError(f"{content_type} is not an accepted ContentType: {', '.join(_KINDS)}.")
    for part in rest if kind == _CSV else ():
        key, _, value = part.partition("=")
        if key.strip() == "label_size" and value.strip(' "') != "1":
            raise ValueError(
                f"{content_type} is not an accepted csv ContentType. "
                "Optional parameter label_size must be equal to 1"
            )
    return kind


def _read_csv(data: bytes) -> Any:
    lines = data.strip().decode("utf-8").replace("\r\n", "\n").split("\n")
    delimiter = _delimiter(lines[0][:512])
    return np.array([[float(cell) if cell else np.nan for cell in line.split(delimiter)] for line in lines])


def _delimiter(sample: str) -> str:
    """As csv.Sniffer would have it; what may be part of a number is none."""
    for preferred in _DELIMITERS:
        if preferred in sample:
            return preferred
    try:
        found = csv.Sniffer().sniff(sample).delimiter
    except csv.Error:
        return ","
    return "," if found.isalnum() or found in ".+-" else found


def _read_libsvm(data: bytes) -> Any:
    lines = data.strip().decode("utf-8").split("\n")
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    for row, line in enumerate(lines):
        for item in line.split():
            column, colon, value = item.partition(":")
            if colon:
                rows.append(row)
                columns.append(int(column))
                values.append(float(value))
    if columns and min(columns) >= 1:  # counted from 1
        columns = [column - 1 for column in columns]
    return _sparse(rows, columns, values, (len(lines), max(columns, default=-1) + 1))


def _sparse(rows: list[int], columns: list[int], values: list[float], shape: tuple[int, int]) -> Any:
    from scipy.sparse import csr_matrix  # which xgboost needs itself

    return csr_matrix((values, (rows, columns)), shape=(shape[0], max(shape[1], 1)))


def _read_recordio(data: bytes) -> Any:
    """Rows of a recordio of protobuf records, dense or sparse; labels are passed over."""
    records = [read_features(record) for record in read_records(data)]
    if not records:
        raise ValueError("there is no record")
    if all(keys is None for _, keys, _ in records):
        return np.vstack([values for values, _, _ in records])
    rows: list[int] = []
    columns: list[int] = []
    cells: list[float] = []
    width = 0
    for row, (values, keys, shape) in enumerate(records):
        places = list(range(len(values))) if keys is None else keys
        rows += [row] * len(places)
        columns += places
        cells += values.tolist()
        width = max([width, *shape[-1:], *(place + 1 for place in places)])
    return _sparse(rows, columns, cells, (len(records), width))


_READERS = {_CSV: _read_csv, _LIBSVM: _read_libsvm, _RECORDIO: _read_recordio}


def _check_width(rows: Any, kind: str, width: int) -> None:
    has = rows.shape[1]
    if width and kind == _LIBSVM and has > width:
        raise ValueError(
            f"Feature size of {kind} inference data {has} is larger than feature size of trained "
            f"model {width}."
        )
    if width and kind != _LIBSVM and has != width:
        raise ValueError(
            f"Feature size of {kind} inference data {has} is not consistent with feature size of trained "
            f"model {width}."
        )


# ---- out


def _accepted(asked: str) -> str:
    kind = asked.split(";")[0].strip()
    if kind in ("", "*/*"):
        return os.environ.get(_ACCEPT) or _TEXT
    if kind.lower() not in _ACCEPTED:
        raise Refusal(
            f"Accept type {kind} is not supported. Please use supported accept types: {_ACCEPTED}.", 406
        )
    return kind.lower()


def _written(model: XGBoostModel, predictions: Any, accept: str) -> tuple[bytes, str]:
    kind = f"{accept}; charset=utf-8" if accept.startswith("text/") else accept  # as flask words it
    if _OUTPUT in os.environ:
        return _written_selected(model, predictions, accept), kind
    plain = predictions.tolist()
    if "SAGEMAKER_BATCH" in os.environ:
        return ("\n".join(map(str, plain)) + "\n").encode(), kind
    if accept == _TEXT:
        return "\n".join(map(str, plain)).encode(), kind
    if accept == _JSON:
        return json.dumps({"predictions": [{"score": each} for each in plain]}).encode(), kind
    raise Refusal(f"{accept} is only written where {_OUTPUT} names what to answer.", 500)


def _written_for_many(predictions: Any, accept: str) -> tuple[bytes, str]:
    """As the container of many models does, one line of all answers. Its CSV is kept as it always was."""
    kind, plain = accept.lower(), predictions.tolist()
    kind = {"csv": _TEXT, "json": _JSON, "*/*": os.environ.get(_ACCEPT) or _JSON}.get(kind, kind)
    if kind == _JSON:
        return json.dumps(plain).encode(), kind
    if kind == _TEXT:
        batch = "SAGEMAKER_BATCH" in os.environ
        return (("\n" if batch else ",").join(map(str, plain)) + ("\n" if batch else "")).encode(), kind
    raise Refusal(
        f"Encoding to accept type {accept} failed with exception: {accept} is not an accepted Accept type. "
        f"Please choose one of the following: ['{_TEXT}', '{_JSON}'].",
        415,
    )


def _written_selected(model: XGBoostModel, predictions: Any, accept: str) -> bytes:
    keys = os.environ[_OUTPUT].replace(" ", "").lower().split(",")
    answers = [_selected(model, prediction, keys) for prediction in predictions]
    if accept == _JSON:
        return json.dumps({"predictions": answers}).encode()
    if accept == _LINES:
        return "".join(json.dumps(each) + "\n" for each in answers).encode()
    if accept == _RECORDS:
        return b"".join(map(record_of, answers))
    if accept != _TEXT:
        raise Refusal(f"Cannot encode selected predictions into accept type '{accept}'.", 500)
    lines = [[each[key] for key in keys] for each in answers]
    cells = (
        ",".join(f'"{cell}"' if isinstance(cell, list) else str(cell) for cell in line) for line in lines
    )
    return ("\n".join(cells) + ("\n" if "SAGEMAKER_BATCH" in os.environ else "")).encode()


def _selected(model: XGBoostModel, prediction: Any, keys: Sequence[str]) -> dict[str, Any]:
    """What SAGEMAKER_INFERENCE_OUTPUT names of one prediction; not a number where it does not apply."""
    objective = model.objective
    plain = prediction.tolist()
    found: dict[str, Any]
    if objective.startswith("reg:"):
        found = {"predicted_score": plain}
    elif objective == "multi:softprob":
        best = int(np.argmax(prediction))
        found = {"predicted_label": best, "probability": plain[best], "probabilities": plain}
        found.update(raw_score=plain[best], raw_scores=plain, labels=list(range(model.classes)))
    elif objective in ("multi:softmax", "binary:logistic", "binary:logitraw", "binary:hinge"):
        both = [1.0 - plain, plain]
        binary = objective.startswith("binary:")
        found = {"raw_score": plain, "raw_scores": both}
        found["labels"] = [0, 1] if binary else list(range(model.classes))
        bounds = {"binary:logistic": 0.5, "binary:logitraw": 0}
        found["predicted_label"] = int(plain > bounds[objective]) if objective in bounds else plain
        if objective == "binary:logistic":
            found.update(probability=plain, probabilities=both)
    else:
        raise Refusal(f"Objective `{objective}` unsupported for selectable inference predictions.", 500)
    return {key: found.get(key, np.nan) for key in keys}
