"""The two models of the demo, trained on scikit-learn's iris data set: one sees half of each flower."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import joblib
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

OLD_MODEL: Final = "iris-sepals"
NEW_MODEL: Final = "iris-whole"

_MODEL: Final = "model.joblib"
_EXAMPLE: Final = "6.7,3.0,5.2,2.3\n"


class Flower(NamedTuple):
    """Four lengths in cm, and which species it is."""

    lengths: tuple[float, ...]
    species: str


def train_models(folder: Path) -> Sequence[Flower]:
    """Write both models where they are missing; the flowers that they know."""
    iris = load_iris(as_frame=True)
    species = iris.target_names[iris.target]
    sepals = ColumnTransformer([("sepals", "passthrough", list(iris.data.columns[:2]))])
    for name, model in (
        (OLD_MODEL, make_pipeline(sepals, LogisticRegression(max_iter=1000))),
        (NEW_MODEL, LogisticRegression(max_iter=1000)),
    ):
        if not (folder / name / _MODEL).exists():
            _save(model.fit(iris.data, species), folder / name)
    lengths = iris.data.to_numpy().tolist()
    return [Flower(tuple(row), str(name)) for row, name in zip(lengths, species, strict=True)]


def _save(model: Any, folder: Path) -> None:
    """Whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "example.csv").write_text(_EXAMPLE, encoding="utf-8")
    unfinished = folder / f".{_MODEL}.{os.getpid()}"
    joblib.dump(model, unfinished, compress=0)
    unfinished.replace(folder / _MODEL)
