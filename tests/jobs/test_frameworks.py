"""Jobs with models of other libraries than scikit-learn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.jobs.conftest import Bench

CSV: dict[str, Any] = {"content_type": "text/csv", "split_type": "Line", "assemble_with": "Line"}
RECORDS: dict[str, Any] = {"accept": "application/x-recordio-protobuf", "content_type": "text/csv"}


def lines_of(rows: Any) -> str:
    return "".join(",".join(map(repr, row)) + "\n" for row in rows.tolist())


@pytest.fixture
def rows() -> Any:
    return np.random.default_rng(7).normal(size=(50, 4)).round(3)


@pytest.mark.parametrize("accept", ["text/csv", None])
@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
def test_xgboost_writes_a_line_for_each_row(
    bench: Bench, tmp_path: Path, rows: Any, accept: str | None, strategy: str
) -> None:
    xgboost = pytest.importorskip("xgboost")
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(rows, label=rows[:, 0] > 0), 5)
    (tmp_path / "model").mkdir()
    booster.save_model(tmp_path / "model" / "model.json")
    bench.put("a.csv", lines_of(rows))

    outcome = bench.run(tmp_path / "model", accept=accept, batch_strategy=strategy, **CSV)

    assert (outcome.status, outcome.reason) == ("Completed", None)
    wanted = booster.predict(xgboost.DMatrix(rows)).tolist()
    assert [line for line in bench.out("a.csv").decode().split("\n") if line] == [str(one) for one in wanted]


def test_lightgbm_reads_columns_below_a_header(bench: Bench, tmp_path: Path, rows: Any) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    names = ["a", "b", "c", "d"]
    data = lightgbm.Dataset(rows, label=rows[:, 0], feature_name=names)
    quiet = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 2}
    booster = lightgbm.train({"objective": "regression", **quiet}, data, 5)
    (tmp_path / "model").mkdir()
    booster.save_model(tmp_path / "model" / "model.txt")
    bench.put("a.csv", ",".join(names[::-1]) + "\n" + lines_of(rows[:, ::-1]))
    options = CSV | {"content_type": "text/csv; header=present"}

    outcome = bench.run(tmp_path / "model", accept="text/csv", **options)

    assert (outcome.status, outcome.reason) == ("Completed", None)
    found = [float(line) for line in bench.out("a.csv").decode().split()]
    assert found == booster.predict(rows).tolist()


def test_what_is_accepted_is_the_models_own(bench: Bench) -> None:
    """No built-in writer knows that type, and none is asked."""
    model = bench.model(
        "def model_fn(model_dir):\n    return 1\n"
        "def transform_fn(model, data, content_type, accept):\n    return data, accept\n"
    )
    bench.put("a.csv", "1\n2\n")

    outcome = bench.run(model, split_type="Line", batch_strategy="SingleRecord", **RECORDS)

    assert (outcome.status, outcome.reason) == ("Completed", None)
    assert bench.out("a.csv").split() in ([b"12"], [b"1", b"2"])
