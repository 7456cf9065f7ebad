"""Jobs over files of words, gaps and numbers, for compiled pipelines: answered as single calls are."""

import csv
import io
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from service.hosting.host import Call
from service.hosting.runtimes.table import load_model
from tests.hosting.programs.tables import NUMBERS, WORDS, labels, training
from tests.jobs.conftest import Bench

CSV: dict[str, Any] = {
    "content_type": "text/csv",
    "accept": "text/csv",
    "split_type": "Line",
    "assemble_with": "Line",
}
_NAMES = [*NUMBERS, *WORDS]


def logistic() -> Any:
    """Gaps filled, words one-hot, of which it refuses those that it does not know."""
    words = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    columns = make_column_transformer((numbers, NUMBERS), (words, WORDS))
    return make_pipeline(columns, LogisticRegression(max_iter=200))


def boosting() -> Any:
    """Words as numbers, whatever they are, and gaps as they are."""
    words = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer(("passthrough", NUMBERS), (words, WORDS))
    return make_pipeline(columns, HistGradientBoostingClassifier(max_iter=10, random_state=0))


@pytest.fixture(scope="module", params=[logistic, boosting])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a pipeline."""
    folder = tmp_path_factory.mktemp("model")
    joblib.dump(request.param().fit(training()[_NAMES], labels()), folder / "model.joblib")
    return folder


def rows(count: int) -> list[list[Any]]:
    """Rows of the training table, None for gaps."""
    table = training()[_NAMES].to_numpy(dtype=object)
    places = np.random.default_rng(5).integers(0, len(table), count)
    return [[None if cell != cell else cell for cell in row] for row in table[places].tolist()]


def as_csv(table: list[list[Any]], end: str = "\n") -> bytes:
    """As `csv` writes it; None is a blank cell."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end).writerows(table)
    return text.getvalue().encode()


def test_rows_get_what_single_calls_are_answered(bench: Bench, model: Path) -> None:
    table = rows(3000)
    bench.put("plain.csv", as_csv(table))
    bench.put("named.csv", as_csv([_NAMES, *table]))
    bench.put("backwards.csv", as_csv([[*reversed(row)] for row in [_NAMES, *table]]))
    bench.put("windows.csv", as_csv(table, "\r\n"))
    bench.put("quoted.csv", as_csv(table).replace(b"Rome", b'"Rome"'))
    bench.put("one.csv", as_csv(table[:1]).rstrip())
    bench.put("empty.csv", b"")

    outcome = bench.run(model, large=True, **CSV)

    assert outcome.reason is None
    assert "compiled: predict" in outcome.model
    loaded = load_model(model, {})
    expected = loaded.answer(Call(as_csv(table), "text/csv", "text/csv")).body
    single = [loaded.answer(Call(as_csv([row]), "text/csv", "text/csv")).body for row in table[::100]]
    assert expected.splitlines(keepends=True)[::100] == single
    for name in ("plain.csv", "named.csv", "backwards.csv", "windows.csv", "quoted.csv"):
        assert bench.out(name) == expected, name
    assert bench.out("one.csv") == single[0]
    assert bench.out("empty.csv") == b""


def test_what_has_to_be_refused_is_so_with_its_record(bench: Bench, model: Path) -> None:
    table = rows(1000)
    bench.put("ragged.csv", as_csv([*table[:700], table[700][:-1], *table[701:]]))
    bench.put("wide.csv", as_csv([[*row, 1] for row in table]))
    bench.put("letters.csv", as_csv([*table[:300], ["x", *table[300][1:]], *table[301:]]))
    bench.put("bytes.csv", as_csv(table[:400]) + b"\xff" + as_csv(table[400:]))
    bench.put(
        "open.csv", as_csv(table[:200]) + as_csv(table[200:201]).replace(b",", b',"', 1) + as_csv(table[201:])
    )
    bench.put("blank.csv", as_csv(table[:800]) + b"\n" + as_csv(table[800:]))

    reasons = {report.name: str(report.error) for report in bench.run(model, large=True, **CSV).failed}

    assert "ragged.csv, record 701: " in reasons["ragged.csv"]
    assert "X has 8 features" in reasons["wide.csv"]
    assert "letters.csv, record 301: " in reasons["letters.csv"]
    assert "'x' is not a number" in reasons["letters.csv"]
    assert "not UTF-8 text" in reasons["bytes.csv"]
    assert "open.csv, record 201: " in reasons["open.csv"]
    assert "blank.csv, record 801: " in reasons["blank.csv"]
    assert len(reasons) == 6


def test_a_word_that_is_refused_is_named_with_its_record_and_what_is_known(
    bench: Bench, tmp_path: Path
) -> None:
    model = tmp_path / "strict"
    model.mkdir()
    joblib.dump(logistic().fit(training()[_NAMES], labels()), model / "model.joblib")
    table = rows(2000)
    table[1234][4] = "Atlantis"
    bench.put("a.csv", as_csv(table))

    failed = bench.run(model, large=True, **CSV)
    kept = bench.run(model, large=True, quarantine=True, **CSV)

    assert str(failed.reason).startswith("1 of 1 files failed: a.csv, record 1235: ")
    assert "column 'city': 'Atlantis' is none of the words it knows: 'Berlin', " in str(failed.reason)
    assert kept.status == "Completed"
    assert kept.files[0].rejected == 1
    assert bench.out("a.csv").count(b"\n") == 1999
