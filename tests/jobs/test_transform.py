"""Whole jobs: inputs in, outputs out, and what becomes of bad ones."""

import gzip
import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import mstats
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from service.domain.transform.split import split_record_io
from service.errors import ModelFault, NotAcceptable, ObjectFault, ValidationFault
from service.hosting.containers.opener import Containers
from service.hosting.host import Call
from service.hosting.runtimes.table import load_model
from tests.domain.transform.test_split import record_io, tf_record
from tests.jobs.conftest import ECHO, IRIS, Bench

CSV: dict[str, Any] = {
    "content_type": "text/csv",
    "accept": "text/csv",
    "split_type": "Line",
    "assemble_with": "Line",
}
LINES = CSV | {"content_type": "application/jsonlines", "accept": "application/jsonlines"}
BYTES: dict[str, Any] = {"content_type": "application/octet-stream"}
ROW, OTHER = "5.1,3.5,1.4,0.2\n", "6.7,3.0,5.2,2.3\n"


def flowers(count: int, seed: int = 3) -> tuple[str, np.ndarray[Any, Any]]:
    rows = np.random.default_rng(seed).uniform(0.1, 7.0, size=(count, 4)).round(2)
    return "".join(",".join(map(str, row)) + "\n" for row in rows.tolist()), rows


# ---- inputs and outputs


@pytest.mark.provenance("documented")
def test_each_input_has_one_output_with_its_path_and_ending(bench: Bench) -> None:
    bench.put("a.csv", ROW + OTHER)
    bench.put("sub/deeper/b.csv", OTHER)
    bench.put("no-newline.csv", ROW.rstrip())

    outcome = bench.run(**CSV)

    assert (outcome.status, outcome.reason) == ("Completed", None)
    assert bench.written() == ["a.csv.out", "no-newline.csv.out", "sub/deeper/b.csv.out"]
    assert (bench.out("a.csv"), bench.out("sub/deeper/b.csv"), bench.out("no-newline.csv")) == (
        b"0\n2\n",
        b"2\n",
        b"0\n",
    )
    assert [(report.rows_in, report.rows_out) for report in outcome.files] == [(2, 2), (1, 1), (1, 1)]


@pytest.mark.provenance("documented")
def test_a_manifest_names_the_inputs(bench: Bench) -> None:
    for key in ("p/a.csv", "p/sub/b.csv", "p/not-listed.csv"):
        file = bench.folder / "s3" / "bucket" / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(ROW)
    manifest = bench.folder / "s3" / "bucket" / "list.json"
    manifest.write_text('[{"prefix": "s3://bucket/p/"}, "a.csv", "sub/b.csv"]')

    bench.run(source="s3://bucket/list.json", data_type="ManifestFile", **CSV)

    assert bench.written() == ["a.csv.out", "sub/b.csv.out"]


def test_a_manifest_cannot_lead_out_of_its_prefix(bench: Bench) -> None:
    for name in ("../x", "/etc/passwd"):
        bench.put("list.json", json.dumps([{"prefix": str(bench.folder) + "/in/"}, name]))
        with pytest.raises(ValidationFault, match="below its prefix"):
            bench.run(source=str(bench.folder / "in" / "list.json"), data_type="ManifestFile", **CSV)


def test_outputs_inside_the_input_folder_are_not_inputs_of_the_next_run(bench: Bench) -> None:
    bench.put("a.csv", ROW)

    first = bench.run(target="in/out", **CSV)
    second = bench.run(target="in/out", **CSV)

    assert [len(outcome.files) for outcome in (first, second)] == [1, 1]
    with pytest.raises(ValidationFault, match="same place"):
        bench.run(target="in", **CSV)


@pytest.mark.provenance("documented")
def test_gzip_inputs_are_unpacked(bench: Bench) -> None:
    text, rows = flowers(3000)
    bench.put("a.csv.gz", gzip.compress(text.encode()))
    bench.put("broken.csv.gz", gzip.compress(text.encode())[:-30])

    outcome = bench.run(compression_type="Gzip", **CSV)

    assert bench.written() == ["a.csv.gz.out"]
    assert bench.out("a.csv.gz").decode().split() == [
        *map(str, joblib.load(IRIS / "model.joblib").predict(rows))
    ]
    assert "broken.csv.gz: " in str(outcome.reason)
    assert "is not a whole gzip file" in str(outcome.reason)


@pytest.mark.parametrize("split", ["None", "Line", "RecordIO", "TFRecord"])
def test_an_empty_input_has_an_empty_output(bench: Bench, split: str) -> None:
    bench.put("empty", b"")

    outcome = bench.run(bench.model(ECHO), split_type=split)

    assert outcome.status == "Completed"
    assert bench.out("empty") == b""


# ---- splitting, batching, assembling


def test_without_a_split_a_file_is_one_request(bench: Bench) -> None:
    bench.put("a.csv", ROW + OTHER)
    bench.put("b.json", "[[5.1,3.5,1.4,0.2]]")

    bench.run(content_type="application/json", accept="application/json")

    assert bench.written() == ["b.json.out"]
    assert bench.out("b.json") == b"[0]"
    assert bench.run(content_type="text/csv").failed[0].name == "b.json"
    assert bench.out("a.csv") == b"[0, 2]"


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    ("kind", "frame"), [("RecordIO", record_io), ("TFRecord", tf_record), ("Line", lambda data: data + b"\n")]
)
def test_records_reach_the_model_whole_and_single_ones_bare(bench: Bench, kind: str, frame: Any) -> None:
    datas = [b"one", b"three", b"seventeen"]
    stream = b"".join(map(frame, datas))
    bench.put("a", stream)
    model = bench.model(ECHO)

    bench.run(model, split_type=kind, **BYTES)
    assert bench.out("a") == stream
    bench.run(model, split_type=kind, batch_strategy="SingleRecord", assemble_with="Line", **BYTES)
    assert bench.out("a") == b"one\nthree\nseventeen\n"
    bench.run(model, split_type=kind, batch_strategy="SingleRecord", **BYTES)
    assert bench.out("a") == b"".join(datas)


MEASURE = """
def model_fn(model_dir): return None
def transform_fn(model, data, content_type, accept):
    return str(len(data)), accept
"""


@pytest.mark.provenance("documented")
def test_a_request_holds_as_many_records_as_the_payload_allows(bench: Bench) -> None:
    line = b"x" * 299_999 + b"\n"
    bench.put("a", line * 10)
    model = bench.model(MEASURE)

    bench.run(model, split_type="Line", assemble_with="Line", max_payload_in_mb=1)
    assert bench.out("a") == b"900000\n" * 3 + b"300000\n"
    bench.run(model, split_type="Line", assemble_with="Line")
    assert bench.out("a") == b"3000000\n"
    bench.run(model, split_type="Line", assemble_with="Line", batch_strategy="SingleRecord")
    assert bench.out("a") == b"299999\n" * 10
    bench.put("a", gzip.compress(line * 10))
    bench.run(model, split_type="Line", assemble_with="Line", max_payload_in_mb=1, compression_type="Gzip")
    assert bench.out("a") == b"900000\n" * 3 + b"300000\n"


@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
@pytest.mark.parametrize("compression", ["None", "Gzip"])
def test_a_record_over_the_payload_fails_its_file_by_number(
    bench: Bench, strategy: str, compression: str
) -> None:
    data = b"short\n" * 100 + b"x" * 1_100_000 + b"\nshort\n"
    bench.put("a", gzip.compress(data) if compression == "Gzip" else data)
    bench.put("b", gzip.compress(b"fine\n") if compression == "Gzip" else b"fine\n")

    outcome = bench.run(
        bench.model(ECHO),
        split_type="Line",
        batch_strategy=strategy,
        max_payload_in_mb=1,
        compression_type=compression,
    )

    assert str(outcome.reason).startswith("1 of 2 files failed: a, record 101: has ")
    assert "over MaxPayloadInMB (1 MB)" in str(outcome.reason)
    assert bench.written() == ["b.out"]


@pytest.mark.parametrize("compression", ["None", "Gzip"])
def test_a_file_over_the_payload_is_told_to_be_split(bench: Bench, compression: str) -> None:
    data = b"x" * 1_100_000
    bench.put("a", gzip.compress(data) if compression == "Gzip" else data)

    outcome = bench.run(bench.model(ECHO), max_payload_in_mb=1, compression_type=compression)

    assert "over MaxPayloadInMB (1 MB): split it" in str(outcome.reason)


def test_no_payload_limit_sends_any_file_whole(bench: Bench) -> None:
    data = b"x" * 8_000_000
    bench.put("a", data)

    bench.run(bench.model(MEASURE), max_payload_in_mb=0)

    assert bench.out("a") == b"8000000"


@given(
    st.lists(st.binary(max_size=30).map(lambda data: data.replace(b"\n", b"")), min_size=1, max_size=30),
    st.sampled_from(["MultiRecord", "SingleRecord"]),
    st.sampled_from(["Line", "None"]),
    st.booleans(),
)
@settings(max_examples=40)
@example([b"\r\r"], "SingleRecord", "Line", False)
def test_what_the_model_repeats_comes_out_as_it_went_in(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[bytes],
    strategy: str,
    assemble: str,
    packed: bool,
    containers: Containers,
) -> None:
    bench = Bench(tmp_path_factory.mktemp("echo"), containers)
    stream = b"\n".join(lines) + b"\n"
    bench.put("a", gzip.compress(stream) if packed else stream)

    outcome = bench.run(
        bench.model(ECHO),
        split_type="Line",
        assemble_with=assemble,
        batch_strategy=strategy,
        compression_type="Gzip" if packed else "None",
        accept="text/csv",
        **BYTES,
    )

    bare = [line.removesuffix(b"\r") for line in lines] if strategy == "SingleRecord" else lines
    separator = b"" if strategy == "SingleRecord" and assemble == "None" else b"\n"
    assert bench.out("a") == separator.join(bare) + separator
    assert outcome.files[0].rows_in == len(lines)


# ---- built-in models, exactly


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_predictions_are_scikit_learns_own_row_by_row(bench: Bench, processes: int) -> None:
    random = np.random.default_rng(5)
    rows = random.normal(size=(60_000, 6)).round(4)
    forest = RandomForestClassifier(5, max_depth=6, random_state=0).fit(
        rows[:500], rows[:500, 0] > rows[:500, 1]
    )
    regression = LinearRegression().fit(rows[:500], rows[:500] @ random.normal(size=6))
    text = "".join(",".join(map(repr, row)) + "\n" for row in rows.tolist())
    bench.put("big.csv", text)
    for number in range(10):
        bench.put(f"{number}.csv", text[: 1 + text.index("\n", 5000 * (number + 1))])

    for model in (forest, regression):
        folder = bench.folder / type(model).__name__
        folder.mkdir()
        joblib.dump(model, folder / "model.joblib")
        outcome = bench.run(folder, processes=processes, **CSV)
        assert outcome.status == "Completed"
        expected = model.predict(rows)
        for name in ("big.csv", "3.csv"):
            found = bench.out(name).decode().split()
            if model is forest:
                assert found == [str(label) for label in expected[: len(found)]]
            else:
                assert np.allclose(np.array(found, float), expected[: len(found)], rtol=1e-12, atol=1e-12)
        assert len(bench.out("big.csv").decode().split()) == len(rows)


def test_running_twice_gives_the_same_bytes_with_any_number_of_processes(bench: Bench) -> None:
    text, _ = flowers(40_000)
    bench.put("a.csv", text)
    options = CSV | {"accept": "text/csv; output=probabilities"}

    bench.run(processes=1, **options)
    once = bench.out("a.csv")
    bench.run(processes=3, target="again", **options)

    assert once.count(b"\n") == 40_000
    assert bench.out("a.csv", "again") == once


@pytest.mark.parametrize("accept", ["text/csv", "application/jsonlines", "application/json", None])
def test_blocks_give_what_single_requests_give(bench: Bench, accept: str | None) -> None:
    text, _ = flowers(50)
    bench.put("a.csv", text)
    model = load_model(IRIS, {})
    alone = [model.answer(Call(line.encode(), "text/csv", accept)).body for line in text.splitlines()]

    for strategy in ("SingleRecord", "MultiRecord"):
        bench.run(
            content_type="text/csv",
            accept=accept,
            split_type="Line",
            assemble_with="Line",
            batch_strategy=strategy,
        )
        if accept in ("application/json", None) and strategy == "MultiRecord":
            assert json.loads(bench.out("a.csv")) == [json.loads(body)[0] for body in alone]
        else:
            assert bench.out("a.csv") == b"".join(
                body if body.endswith(b"\n") else body + b"\n" for body in alone
            )


@given(
    st.lists(
        st.lists(
            st.sampled_from(["1", "-0", "2.5", "1e3", "x", "", " 3", "nan", '"4"', "+5"]),
            min_size=3,
            max_size=5,
        ).map(",".join),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(["\n", "\r\n"]),
)
@settings(max_examples=60)
def test_any_csv_is_judged_as_its_single_rows_are(
    tmp_path_factory: pytest.TempPathFactory, rows: list[str], ending: str, containers: Containers
) -> None:
    bench = Bench(tmp_path_factory.mktemp("any"), containers)
    bench.put("a.csv", ending.join(rows) + ending)
    model = load_model(IRIS, {})
    answers: list[bytes | None] = []
    for row in rows:
        try:
            answers.append(model.answer(Call(row.encode(), "text/csv", "text/csv")).body)
        except ModelFault:
            answers.append(None)

    outcome = bench.run(quarantine=True, **CSV)
    strict = bench.run(target="strict", **CSV)

    good = [answer for answer in answers if answer is not None]
    assert bench.out("a.csv") == b"".join(good)
    assert outcome.files[0].rejected == len(answers) - len(good)
    if None in answers:
        assert f"a.csv, record {answers.index(None) + 1}: " in str(strict.reason)
    else:
        assert bench.out("a.csv", "strict") == b"".join(good)


# ---- filters and joins


@pytest.mark.provenance("documented")
def test_csv_is_filtered_joined_and_filtered_again(bench: Bench) -> None:
    bench.put("a.csv", f"id1,{ROW}id2,{OTHER}")
    job = CSV | {"input_filter": "$[1:]", "join_source": "Input"}

    bench.run(**job)
    assert bench.out("a.csv") == b"id1,5.1,3.5,1.4,0.2,0\nid2,6.7,3.0,5.2,2.3,2\n"
    bench.run(output_filter="$[0,-1]", **job)
    assert bench.out("a.csv") == b"id1,0\nid2,2\n"
    bench.run(output_filter="$[-1]", **(job | {"join_source": "None"}))
    assert bench.out("a.csv") == b"0\n2\n"


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n\n"])
def test_every_line_of_an_input_that_is_not_split_is_filtered_and_joined(bench: Bench, ending: str) -> None:
    bench.put(
        "a.csv", f"7,{ROW}8,{OTHER}9,{ROW.strip()}".replace("\n", ending[:2].strip("\n") + "\n") + ending
    )
    job = CSV | {"split_type": "None", "assemble_with": "None"}

    bench.run(input_filter="$[1:]", **job)
    assert bench.out("a.csv") == b"0\n2\n0\n"
    bench.run(input_filter="$[1:]", join_source="Input", output_filter="$[0,-1]", **job)
    assert bench.out("a.csv") == b"7,0\n8,2\n9,0\n"


def test_a_newline_in_quotes_ends_no_row_of_an_input_that_is_not_split(bench: Bench) -> None:
    bench.put("a.csv", f'"an\nid",{ROW}8,{OTHER}')

    bench.run(input_filter="$[1:]", **CSV | {"split_type": "None"})

    assert bench.out("a.csv") == b"0\n2\n"


def test_every_json_line_of_an_input_that_is_not_split_is_joined(bench: Bench) -> None:
    bench.put("a.jsonl", '{"id":"\\"","f":[5.1,3.5,1.4,0.2]}\n{"id":8,"f":[6.7,3.0,5.2,2.3]}\n')
    job = LINES | {"split_type": "None", "assemble_with": "None"}

    bench.run(input_filter="$.f", join_source="Input", output_filter="$['id','SageMakerOutput']", **job)

    assert [json.loads(line) for line in bench.out("a.jsonl").splitlines()] == [
        {"id": '"', "SageMakerOutput": 0},
        {"id": 8, "SageMakerOutput": 2},
    ]


def test_a_quote_that_cannot_be_read_fails_the_record(bench: Bench) -> None:
    bench.put("a.csv", f'a"b,{ROW}')

    outcome = bench.run(input_filter="$[1:]", **CSV)

    words = 'Failed to parse input as CSV: bare " in non quoted field found near: a"b,5.1,3.5,1.4,0.2'
    assert outcome.files[0].error == f"a.csv, record 1: {words}."


def test_a_join_keeps_carriage_returns_out_of_the_row(bench: Bench) -> None:
    bench.put("a.csv", ROW.replace("\n", "\r\n") * 2)

    bench.run(join_source="Input", **CSV)

    assert bench.out("a.csv") == b"5.1,3.5,1.4,0.2,0\n" * 2


@pytest.mark.provenance("documented")
@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
def test_json_lines_are_filtered_joined_and_filtered_again(bench: Bench, strategy: str) -> None:
    records = [{"id": n, "features": [5.1, 3.5, 1.4, 0.2]} for n in range(3)]
    bench.put("a.jsonl", "".join(json.dumps(record) + "\n" for record in records))
    job = LINES | {"input_filter": "$.features", "join_source": "Input", "batch_strategy": strategy}

    bench.run(**job)
    assert [json.loads(line) for line in bench.out("a.jsonl").splitlines()] == [
        record | {"SageMakerOutput": 0} for record in records
    ]
    bench.run(output_filter="$['id','SageMakerOutput']", **job)
    assert bench.out("a.jsonl") == b"".join(b'{"id":%d,"SageMakerOutput":0}\n' % n for n in range(3))


@pytest.mark.provenance("documented")
def test_a_whole_json_file_is_joined_to_its_answer(bench: Bench) -> None:
    bench.put("a.json", '{"instances": [[5.1,3.5,1.4,0.2]]}')

    bench.run(content_type="application/json", accept="application/json", join_source="Input")

    assert json.loads(bench.out("a.json")) == {"instances": [[5.1, 3.5, 1.4, 0.2]], "SageMakerOutput": [0]}


@pytest.mark.provenance("documented")
def test_answers_that_do_not_match_the_records_cannot_be_joined(bench: Bench) -> None:
    bench.put("a.csv", "1\n2\n3\n")
    model = bench.model(ECHO.replace("return data", "return data.split(chr(10), 1)[1]"))

    outcome = bench.run(model, join_source="Input", **CSV)

    assert "cannot be matched" in str(outcome.reason)
    assert bench.written() == []


@given(st.data())
@settings(max_examples=40)
def test_a_filtered_join_matches_each_record_to_its_own_answer(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, containers: Containers
) -> None:
    bench = Bench(tmp_path_factory.mktemp("join"), containers)
    width = data.draw(st.integers(1, 4))
    cell = st.text(alphabet="abc123 .", max_size=3)
    rows = data.draw(st.lists(st.lists(cell, min_size=width, max_size=width), min_size=1, max_size=12))
    picked = data.draw(st.lists(st.integers(-width, width - 1), min_size=1, max_size=3))
    bench.put("a.csv", "".join(",".join(row) + "\n" for row in rows))

    bench.run(
        bench.model(ECHO),
        input_filter=f"$[{','.join(map(str, picked))}]",
        join_source="Input",
        batch_strategy=data.draw(st.sampled_from(["MultiRecord", "SingleRecord"])),
        **CSV,
    )

    while rows and rows[-1] == [""]:  # a blank line at the end
        rows.pop()
    assert bench.out("a.csv").decode() == "".join(
        ",".join([*row, *(row[at] for at in picked)]) + "\n" for row in rows
    )


# ---- failures


@pytest.mark.provenance("documented")
@pytest.mark.parametrize("processes", [0, 2])
def test_a_bad_record_fails_its_file_and_no_other(bench: Bench, processes: int) -> None:
    text, _ = flowers(5000)
    lines = text.splitlines(keepends=True)
    bench.put("a.csv", ROW)
    bench.put("b.csv", "".join([*lines[:4321], "1,2,oops,4\n", *lines[:2000]]))
    bench.put("c.csv", OTHER)

    outcome = bench.run(processes=processes, **CSV)

    assert outcome.status == "Failed"
    assert outcome.reason == "1 of 3 files failed: b.csv, record 4322: column 3: 'oops' is not a number."
    assert bench.written() == ["a.csv.out", "c.csv.out"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1,2,3\n", "record 3: X has 3 features, but LogisticRegression is expecting 4 features as input."),
        ("\n1,2,3,4\n", "record 3: is blank."),
        (
            "a,b,c,d\n",
            "record 3: column 1: 'a' is not a number; a header row is not accepted unless it holds the "
            "model's columns: sepal length (cm), sepal width (cm), petal length (cm), petal width (cm).",
        ),
        ("1,2,,4\n", "record 3: column 3 is blank."),
        ("1,2,nan,4\n", "record 3: Input X contains NaN."),
    ],
)
def test_the_reason_names_file_record_and_fault(bench: Bench, line: str, reason: str) -> None:
    bench.put("a.csv", ROW + OTHER + line)
    bench.put("b.csv", ROW + OTHER + line + ROW)

    outcome = bench.run(**CSV)

    assert [report.error for report in outcome.files] == [f"a.csv, {reason}", f"b.csv, {reason}"]


@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
@pytest.mark.parametrize("blank", ["\n", "\r\n", "\n\r\n\n"])
@pytest.mark.parametrize("packed", [False, True])
def test_blank_lines_at_the_end_of_a_file_are_no_records(
    bench: Bench, strategy: str, blank: str, packed: bool
) -> None:
    for name, text in (("a.csv", ROW + OTHER + blank), ("b.csv", f"\ufeff{ROW}{blank}"), ("c.csv", blank)):
        bench.put(name, gzip.compress(text.encode()) if packed else text)
    kind = "Gzip" if packed else "None"
    for model in (IRIS, bench.model(ECHO)):
        outcome = bench.run(model, compression_type=kind, batch_strategy=strategy, **CSV)
        assert [(report.rows_in, report.rows_out) for report in outcome.files] == [(2, 2), (1, 1), (0, 0)]


def test_the_row_is_named_where_a_record_has_several(bench: Bench) -> None:
    bench.put("a.csv", ROW + "1,2,x,4\n")

    whole = bench.run(**{**CSV, "split_type": "None"})

    assert whole.files[0].error == "a.csv, record 1: Row 2, column 3: 'x' is not a number."


def test_a_filter_that_finds_nothing_names_the_record(bench: Bench) -> None:
    bench.put("a.csv", "1,2,3\n1,2\n")

    outcome = bench.run(bench.model(ECHO), input_filter="$[2]", **CSV)

    assert outcome.files[0].error == "a.csv, record 2: there is no column 2: there are 2, counted from 0."


def test_code_that_fails_on_a_record_is_named_with_its_message(bench: Bench) -> None:
    bench.put("a.csv", "".join(f"{n}\n" for n in range(200)))
    script = ECHO.replace("return data", "assert '150' not in data.split(), 'a bad day'\n    return data")

    outcome = bench.run(bench.model(script), max_retries=0, **CSV)

    assert str(outcome.files[0].error).startswith("a.csv, record 151: a bad day\n")


@pytest.mark.parametrize("processes", [0, 2])
def test_quarantine_sets_bad_records_aside_and_lands_the_others(bench: Bench, processes: int) -> None:
    text, _ = flowers(3000)
    lines = text.splitlines(keepends=True)
    for place, bad in ((2500, "1,2\n"), (1000, "\n"), (0, "w,x,y,z\n")):
        lines.insert(place, bad)
    bench.put("a.csv", "".join(lines))
    bench.put("clean.csv", text)

    outcome = bench.run(quarantine=True, processes=processes, **CSV)

    assert outcome.status == "Completed"
    assert bench.written() == ["a.csv.out", "a.csv.rejected", "clean.csv.out"]
    assert bench.out("a.csv") == bench.out("clean.csv")
    rejected = [
        json.loads(line) for line in (bench.folder / "out" / "a.csv.rejected").read_text().splitlines()
    ]
    assert [(each["record"], each["data"]) for each in rejected] == [
        (1, "w,x,y,z"),
        (1002, ""),
        (2503, "1,2"),
    ]
    assert "expecting 4 features" in rejected[2]["reason"]
    assert [(report.rows_in, report.rows_out, report.rejected) for report in outcome.files] == [
        (3003, 3000, 3),
        (3000, 3000, 0),
    ]
    bench.put("a.csv", text)
    bench.run(quarantine=True, processes=processes, **CSV)
    assert bench.written() == ["a.csv.out", "clean.csv.out"], "the old rejects would be taken for new ones"


def test_quarantine_also_covers_filters_joins_and_binary_records(bench: Bench) -> None:
    bench.put("a.csv", "1,a\n2\n3,c\n")
    bench.run(bench.model(ECHO), quarantine=True, input_filter="$[1]", join_source="Input", **CSV)
    assert bench.out("a.csv") == b"1,a,a\n3,c,c\n"

    (bench.folder / "in" / "a.csv").unlink()
    bench.put("b", record_io(b"good") + record_io(b"\xffbad") + record_io(b"fine"))
    script = ECHO.replace("return data", "data.decode()\n    return data")
    outcome = bench.run(
        bench.model(script),
        quarantine=True,
        split_type="RecordIO",
        batch_strategy="SingleRecord",
        max_retries=0,
        **BYTES,
    )
    assert outcome.status == "Completed"
    assert bench.out("b") == b"goodfine"
    (line,) = (bench.folder / "out" / "b.rejected").read_text().splitlines()
    assert "data_base64" in json.loads(line)
    assert len(list(split_record_io([(bench.folder / "in" / "b").read_bytes()], 0))) == 3


def test_the_report_tells_rows_and_speed_of_each_file(bench: Bench) -> None:
    bench.put("a.csv", ROW * 3)
    bench.put("b.csv", "x\n")

    bench.run(report=True, **CSV)

    report = json.loads((bench.folder / "out" / "_report.json").read_text())
    assert (report["status"], report["rows_in"], report["rows_out"], report["rejected"]) == (
        "Failed",
        3,
        3,
        0,
    )
    first, second = report["files"]
    assert (first["input"], first["output"], first["rows_in"], first["error"]) == (
        "a.csv",
        "a.csv.out",
        3,
        None,
    )
    assert (second["output"], second["rows_out"]) == (None, 0)
    assert second["error"].startswith("b.csv, record 1: ")
    assert {"seconds", "rows_per_s"} <= first.keys() & report.keys()


def test_progress_is_told_and_adds_up(bench: Bench) -> None:
    text, _ = flowers(60_000)
    bench.put("a.csv", text)
    bench.put("b.csv", ROW)

    bench.run(**CSV)

    first, last = bench.told[0], bench.told[-1]
    assert (first.files, first.rows, first.size_bytes) == (0, 0, 0)
    assert (last.files, last.rows, last.size_bytes) == (2, 60_001, last.total_bytes)
    assert len(bench.told) > 3
    sizes = [(each.files, each.rows, each.size_bytes) for each in bench.told]
    assert sizes == sorted(sizes)


# ---- stop, and go on


@pytest.mark.parametrize("processes", [0, 2])
@pytest.mark.parametrize("after", [0, 1, 2, 3, 5, 8])
def test_a_stop_leaves_whole_outputs_and_nothing_else(bench: Bench, after: int, processes: int) -> None:
    text, _ = flowers(100_000)
    for name in ("a.csv", "b.csv", "c.csv"):
        bench.put(name, text)
    asked = iter(range(1000))

    outcome = bench.run(stop=lambda: next(asked) >= after, processes=processes, max_payload_in_mb=1, **CSV)

    assert outcome.status == "Stopped"
    assert bench.written() == [f"{report.name}.out" for report in outcome.files]
    assert len(outcome.files) < 3
    for report in outcome.files:
        assert bench.out(report.name).count(b"\n") == 100_000


# ---- what ends a job


def test_a_job_that_cannot_begin_says_why(bench: Bench) -> None:
    with pytest.raises(ObjectFault, match="There is no file or folder"):
        bench.run(**CSV)
    (bench.folder / "in").mkdir()
    with pytest.raises(ObjectFault, match="holds no files"):
        bench.run(**CSV)
    bench.put("a.csv", ROW)
    with pytest.raises(ModelFault, match="no model found"):
        bench.run(bench.folder / "in", **CSV)
    with pytest.raises(NotAcceptable, match="names nothing that can be written"):
        bench.run(**(CSV | {"accept": "image/png"}))


def test_an_output_that_cannot_be_written_ends_the_job(bench: Bench) -> None:
    bench.put("a.csv", ROW)
    (bench.folder / "out").write_text("a file in the way")

    with pytest.raises(ObjectFault, match="cannot be written"):
        bench.run(**CSV)


def test_an_input_that_vanishes_fails_alone(bench: Bench) -> None:
    bench.put("a.csv", ROW)
    bench.put("b.csv", ROW)

    def remove_b() -> bool:
        Path(bench.folder / "in" / "b.csv").unlink(missing_ok=True)
        return False

    outcome = bench.run(stop=remove_b, **CSV)

    assert bench.written() == ["a.csv.out"]
    assert "b.csv: " in str(outcome.reason)
    assert "cannot be read: No such file or directory." in str(outcome.reason)


def test_ten_thousand_small_files_all_land(memory_path: Path, containers: Containers) -> None:
    bench = Bench(memory_path, containers)
    (bench.folder / "in").mkdir()
    for number in range(10_000):
        (bench.folder / "in" / f"{number:05}.csv").write_text((ROW, OTHER)[number % 2])

    outcome = bench.run(processes=2, **CSV)

    assert (outcome.status, len(outcome.files)) == ("Completed", 10_000)
    assert (bench.out("00000.csv"), bench.out("09999.csv")) == (b"0\n", b"2\n")
    assert len(bench.written()) == 10_000


# ---- records together, and one by one


def _answer_one_by_one(model: Path, lines: list[str]) -> bytes:
    loaded = load_model(model, {})
    return b"".join(loaded.answer(Call(line.encode(), "text/csv", "text/csv")).body for line in lines)


def _batches(lines: list[str], most_bytes: int) -> list[str]:
    found = [""]
    for line in lines:
        if len(found[-1]) + len(line) > most_bytes:
            found.append("")
        found[-1] += line
    return found


@pytest.fixture(params=["cuts the extremes of its batch", "adds up columns", "row by row"])
def any_model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    rows = flowers(400)[1]
    answers = rows @ [0.1, 2.3, -0.7, 1.1]
    made = {
        "cuts the extremes of its batch": make_pipeline(
            FunctionTransformer(mstats.winsorize, kw_args={"limits": 0.05, "axis": 0}), LinearRegression()
        ),
        "adds up columns": LinearRegression(),
        "row by row": RandomForestRegressor(5, random_state=0),
    }[request.param]
    place = tmp_path / "own"
    place.mkdir()
    joblib.dump(made.fit(rows, answers), place / "model.joblib")
    return place


@pytest.mark.provenance("documented")
def test_a_single_record_gets_what_it_gets_alone(bench: Bench, any_model: Path) -> None:
    text, _ = flowers(150, seed=5)
    bench.put("a.csv", text)

    bench.run(any_model, batch_strategy="SingleRecord", **CSV)

    assert bench.out("a.csv") == _answer_one_by_one(any_model, text.splitlines(keepends=True))


@pytest.mark.provenance("documented")
def test_many_records_are_as_many_as_fit_into_a_payload(bench: Bench, any_model: Path) -> None:
    text, _ = flowers(70_000, seed=5)
    bench.put("a.csv", text)

    bench.run(any_model, max_payload_in_mb=1, **CSV)

    batches = _batches(text.splitlines(keepends=True), 2**20)
    assert len(batches) > 1
    assert bench.out("a.csv") == _answer_one_by_one(any_model, batches)
