"""What containers of XGBoost say to rows whose raw scores are known, and how they write that."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from service.errors import NotCompilable
from service.hosting.programs.probes import rows_beside
from service.hosting.programs.xgboost_trees import (
    EXPONENTIAL,
    Booster,
    Margins,
    exponential,
    likeliest,
    sigmoid,
    softmax,
)
from service.hosting.runtimes.file_programs import FORMS, CallHeaders, FileProgram, Form, Predict
from service.hosting.runtimes.xgboost_files import read_model
from service.media.types import CSV, JSON


def read_booster(file: Path, most_file_bytes: int, most_bytes: int) -> FileProgram:
    """What the container of the algorithm makes of a file. Raises NotCompilable, OSError."""
    return _program(read_model(file, most_file_bytes, most_bytes)[0], "", _FORMS)


def read_estimator(file: Path, most_file_bytes: int, most_bytes: int) -> FileProgram:
    """What a pickled estimator says that is asked itself. Raises NotCompilable, OSError."""
    return _program(*read_model(file, most_file_bytes, most_bytes), FORMS)


def _program(booster: Booster, estimator: str, forms: Mapping[CallHeaders, Form]) -> FileProgram:
    rows = rows_beside(booster.thresholds, booster.features, np.float32)
    return FileProgram(predict_of(booster, estimator), booster.features, rows, forms)


def _as_lines(predictions: Any) -> bytes:
    return "\n".join(map(str, predictions.tolist())).encode()


def _as_scores(predictions: Any) -> bytes:
    return json.dumps({"predictions": [{"score": each} for each in predictions.tolist()]}).encode()


_LINES: Final = Form(_as_lines, f"{CSV}; charset=utf-8", lambda value: str(value).encode())
_FORMS: Final[Mapping[CallHeaders, Form]] = MappingProxyType(
    {
        **dict.fromkeys(((CSV, None), (CSV, CSV), (CSV, "*/*")), _LINES),
        (CSV, JSON): Form(_as_scores, JSON),
    }
)


def predict_of(booster: Booster, estimator: str) -> Predict:
    """What `predict` of an estimator of XGBoost says, or of a Booster. Raises NotCompilable."""
    labels = estimator.endswith("Classifier")
    answer = (_LABELS if labels else _ANSWERS).get(booster.objective)
    if answer is None:
        raise NotCompilable(f"there is no program for {booster.objective}")
    return _after(booster.margins, answer)


def _after(margins: Margins, answer: Predict) -> Predict:
    return lambda rows: answer(margins(rows))


def _hinge(margins: Any) -> Any:
    return (margins[:, 0] > 0).astype(np.float32)


_ANSWERS: Final[Mapping[str, Predict]] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                *("binary:logitraw", "reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror"),
                *("reg:squaredlogerror", "rank:pairwise", "rank:ndcg", "rank:map"),
            ),
            lambda margins: margins[:, 0],
        ),
        **dict.fromkeys(EXPONENTIAL, lambda margins: exponential(margins[:, 0])),
        **dict.fromkeys(("binary:logistic", "reg:logistic"), lambda margins: sigmoid(margins[:, 0])),
        "binary:hinge": _hinge,
        "multi:softprob": softmax,
        "multi:softmax": lambda margins: margins.argmax(axis=1).astype(np.float32),
    }
)
_LABELS: Final[Mapping[str, Predict]] = MappingProxyType(
    {
        "binary:logistic": lambda margins: (sigmoid(margins[:, 0]) > 0.5).astype(np.int64),
        "multi:softprob": likeliest,
    }
)
