"""Many models that are each about as big as wished, and that give themselves away by what they answer."""

from pathlib import Path

import joblib
import numpy as np
from sklearn.neighbors import KNeighborsRegressor

from tests.harness.load import Shot

_COLUMNS = 64
_ROW = ",".join(["0.5"] * _COLUMNS)


def make_fleet(models: Path, count: int, size_bytes: int) -> None:
    """`count` nearest-neighbour models of about `size_bytes` each, behind the multi-model endpoint fleet."""
    rows = size_bytes // (_COLUMNS * 8 + 8)
    random = np.random.default_rng(0)
    for number in range(count):
        model = KNeighborsRegressor(n_neighbors=1, algorithm="brute")
        model.fit(random.random((rows, _COLUMNS)), np.full(rows, float(number)))
        folder = models / f"model-{number:02}"
        folder.mkdir(parents=True)
        joblib.dump(model, folder / "model.joblib")
    (models / "endpoints.yaml").write_text("endpoints: {fleet: {variants: {all: {models: ./}}}}\n")


def file_bytes(models: Path) -> int:
    """Size of one of the models' files, which are all alike."""
    return (models / "model-00" / "model.joblib").stat().st_size


def shots_at_fleet(count: int) -> tuple[Shot, ...]:
    """One request to each model, and what only it answers."""
    return tuple(
        Shot(
            "/endpoints/fleet/invocations",
            _ROW,
            {"Content-Type": "text/csv", "X-Amzn-SageMaker-Target-Model": f"model-{number:02}"},
            (f"[{float(number)}]",),
        )
        for number in range(count)
    )
