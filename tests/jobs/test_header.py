"""Header lines of CSV inputs: known once for each file, by the model's names, and never predicted."""

import gzip
import shutil
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from service.hosting.host import Call
from service.hosting.runtimes.table import Loading, load_model
from tests.jobs.conftest import ECHO, IRIS, Bench
from tests.jobs.conftest import Container as RunningContainer

CSV: dict[str, Any] = {
    "content_type": "text/csv",
    "accept": "text/csv",
    "split_type": "Line",
    "assemble_with": "Line",
}
INSISTED = CSV | {"content_type": "text/csv; header=present"}
NAMES = "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)"
ROWS = "5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n"


def saved(folder: Path, model: Any) -> Path:
    place = folder / "model"
    place.mkdir()
    joblib.dump(model, place / "model.joblib")
    return place


def wordy(folder: Path) -> Path:
    """A model of cities and ages; the city alone tells."""
    table = pd.DataFrame({"age": [20, 30, 40], "city": ["Berlin", "Rome", "Paris, centre"]})
    words = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["city"]), remainder="passthrough"
    )
    return saved(
        folder, make_pipeline(words, DecisionTreeClassifier(random_state=0)).fit(table, ["b", "r", "p"])
    )


@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
@pytest.mark.parametrize("options", [CSV, INSISTED, {**CSV, "split_type": "None", "assemble_with": "None"}])
def test_a_header_is_known_in_each_file_and_not_predicted(
    bench: Bench, options: dict[str, Any], strategy: str
) -> None:
    bench.put("in-order.csv", f"{NAMES}\n{ROWS}")
    bench.put("windows.csv", f"\ufeff{NAMES}\r\n{ROWS}".replace("\n", "\r\n").replace("\r\r", "\r"))
    bench.put(
        "turned.csv",
        "petal width (cm),petal length (cm),sepal width (cm),sepal length (cm)\n0.2,1.4,3.5,5.1\n",
    )
    if options is not INSISTED:
        bench.put("bare.csv", ROWS)
    if options["split_type"] == "Line":
        options = {**options, "batch_strategy": strategy}

    assert bench.run(**options).reason is None
    assert bench.out("in-order.csv") == bench.out("windows.csv") == b"0\n2\n"
    assert bench.out("turned.csv") == b"0\n"
    assert options["content_type"] == INSISTED["content_type"] or bench.out("bare.csv") == b"0\n2\n"


def test_words_of_a_large_file_are_those_of_single_calls(bench: Bench) -> None:
    rows = '30,Rome\n50,"Paris, centre"\n,Berlin\n' * 40_000
    bench.put("ordered.csv", rows)
    bench.put("turned.csv", "city,age\n" + 'Rome,30\n"Paris, centre",50\nBerlin,\n' * 40_000)
    outcome = bench.run(wordy(bench.folder), processes=2, **CSV)

    assert outcome.reason is None
    assert bench.out("ordered.csv") == bench.out("turned.csv") == b"r\np\nb\n" * 40_000
    assert [report.rows_in for report in outcome.files] == [120_000, 120_000]


def test_a_packed_file_may_have_a_header_and_a_filter_may_pick_from_it(bench: Bench) -> None:
    bench.put("a.csv", gzip.compress(b'id,city,age\n7,Rome,30\n8,"Paris, centre",50\n'))
    options: dict[str, Any] = {
        "compression_type": "Gzip",
        "input_filter": "$[1:]",
        "join_source": "Input",
        "output_filter": "$[0,-1]",
    }
    assert bench.run(wordy(bench.folder), **CSV, **options).reason is None
    assert bench.out("a.csv") == b"7,r\n8,p\n"


@pytest.mark.parametrize(
    ("body", "options", "reason"),
    [
        (
            ROWS,
            INSISTED,
            "a.csv: the header lacks the column 'sepal length (cm)'; the model's columns are sepal",
        ),
        (f"{NAMES},id\n", INSISTED, "a.csv: the header has the unknown column 'id'"),
        ("petal width (cm),petal length (cm)\n1,2\n", CSV, "a.csv, record 1: the header lacks the column"),
        (f"{NAMES}\n1,2,3,4\n1,2,x,4\n", CSV, "a.csv, record 2: column 3: 'x' is not a number."),
    ],
)
def test_a_wrong_header_fails_its_file_by_name(
    bench: Bench, body: str, options: dict[str, Any], reason: str
) -> None:
    bench.put("a.csv", body)
    assert reason in str(bench.run(**options).files[0].error)


READS_HEADERS = """
import csv, io
def model_fn(model_dir): return None
def input_fn(data, content_type):
    return [row["y"] for row in csv.DictReader(io.StringIO(data if isinstance(data, str) else data.decode()))]
def predict_fn(data, model):
    if "bad" in data:
        raise ValueError("a bad row")
    return data
def output_fn(rows, accept): return "".join(row + "\\n" for row in rows), "text/csv"
"""
ONE_EACH: dict[str, Any] = {"batch_strategy": "SingleRecord"}


@pytest.mark.parametrize("more", [{}, ONE_EACH, {"input_filter": "$[1:]"}, {"compression_type": "Gzip"}])
def test_a_script_that_reads_bytes_gets_an_announced_header_with_each_request(
    bench: Bench, more: dict[str, Any]
) -> None:
    body = b"\xef\xbb\xbfx,y\r\n1,2\r\n3,4\r\n\r\n"
    bench.put("a.csv", gzip.compress(body) if "compression_type" in more else body)
    outcome = bench.run(bench.model(READS_HEADERS), **INSISTED, **more)
    assert (outcome.reason, outcome.files[0].rows_in, outcome.rows_out) == (None, 2, 2)
    assert bench.out("a.csv") == b"2\n4\n"


def test_a_header_goes_with_each_request_of_a_large_file_and_of_a_search(bench: Bench) -> None:
    rows = "1," + "2" * 99 + "\n"
    bench.put("a.csv", "x,y\n" + rows * 12_000 + "3,bad\n" + rows)
    options = {**INSISTED, "max_payload_in_mb": 1}
    model = bench.model(READS_HEADERS)
    assert "a.csv, record 12001: a bad row" in str(bench.run(model, **options).files[0].error)
    outcome = bench.run(model, quarantine=True, **options)
    assert (outcome.reason, outcome.files[0].rows_in, outcome.rows_out) == (None, 12_002, 12_001)
    rejected = bench.folder / "out" / "a.csv.rejected"
    assert rejected.read_bytes().startswith(b'{"record":12001,')


def test_a_script_gets_the_content_type_of_its_job(bench: Bench) -> None:
    bench.put("a.csv", "x\n1\n")
    model = bench.model(
        "def model_fn(model_dir): return None\n"
        "def transform_fn(model, data, content_type, accept): return content_type, accept\n"
    )
    bench.run(model, **INSISTED)
    assert bench.out("a.csv") == b"text/csv; header=present\n"
    bench.run(model, insists_on_header=True, **CSV)
    assert bench.out("a.csv") == b"text/csv\n"


def test_a_container_gets_an_announced_header_with_each_request(
    bench: Bench, container: RunningContainer
) -> None:
    bench.put("a.csv", "x,y\n1,2\n3,4\n")
    assert bench.run(container.url, **INSISTED, **ONE_EACH).reason is None
    assert container.bodies() == [b"x,y\n1,2", b"x,y\n3,4"]
    assert {call[3]["Content-Type"] for call in container.calls if call[0] == "POST"} == {
        "text/csv; header=present"
    }


def test_a_first_line_that_nobody_announced_is_data_for_a_script(bench: Bench) -> None:
    bench.put("a.csv", "x,y\n1,2\n")
    assert bench.run(bench.model(ECHO), **CSV).reason is None
    assert bench.out("a.csv") == b"x,y\n1,2\n"


def test_an_announced_header_is_left_out_for_a_script_that_gets_plain_rows_as_by_an_endpoint(
    bench: Bench,
) -> None:
    script = "def predict_fn(data, model): return data[:, 0]\n"
    model = bench.model(script + "def model_fn(model_dir): return None\n")
    bench.put("a.csv", "y,x\n1,2\n")
    assert bench.run(model, **INSISTED).reason is None
    assert bench.out("a.csv") == b"1.0\n"
    served = load_model(model, {}, Loading(containers=bench.containers))
    assert served.answer(Call(b"y,x\n1,2\n", "text/csv; header=present", None)).body == b"[1.0]"


def test_a_script_without_input_and_prediction_of_its_own_knows_headers_by_name(bench: Bench) -> None:
    model = bench.model("def output_fn(prediction, accept): return f'{prediction[0]}!\\n', accept\n")
    shutil.copy(IRIS / "model.joblib", model)
    names = "petal width (cm),petal length (cm),sepal width (cm),sepal length (cm)"
    bench.put("a.csv", f"{names}\n0.2,1.4,3.5,5.1\n2.3,5.2,3.0,6.7\n")
    for options in (CSV, INSISTED):
        assert bench.run(model, **options, **ONE_EACH).reason is None
        assert bench.out("a.csv") == b"0!\n2!\n"


def test_a_line_of_plain_text_is_a_text(bench: Bench) -> None:
    texts = ["good film", "bad film", "good day", "bad day"]
    learnt = make_pipeline(TfidfVectorizer(), DecisionTreeClassifier()).fit(texts, ["+", "-", "+", "-"])
    bench.put("a.txt", "good, film\nbad one\n")
    options = {**CSV, "content_type": "text/plain"}
    assert bench.run(saved(bench.folder, learnt), **options).reason is None
    assert bench.out("a.txt") == b"+\n-\n"


def test_a_file_of_nothing_but_a_header_has_no_answers(bench: Bench) -> None:
    bench.put("a.csv", f"{NAMES}\n")
    assert bench.run(IRIS, **CSV).reason is None
    assert bench.out("a.csv") == b""
