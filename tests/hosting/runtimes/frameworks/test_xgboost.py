"""XGBoost models answer as AWS's container of its algorithm does. Source: contract A.10."""

import json
import pickle
import struct
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from service.errors import ModelFailure, ModelFault
from service.hosting.host import Answer, Call, Model
from tests.hosting.runtimes.frameworks.conftest import Load, Rows

xgb = pytest.importorskip("xgboost")

CSV, JSON, LINES = "text/csv", "application/json", "application/jsonlines"
RECORDIO = "application/x-recordio-protobuf"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
OUTPUT = "SAGEMAKER_INFERENCE_OUTPUT"


def trained(rows: Rows, target: Any, objective: str = "binary:logistic", **more: Any) -> Any:
    label = target if objective.startswith("multi:") else target > 0
    parameters = {"objective": objective, "nthread": 1, "max_depth": 3, **more}
    return xgb.train(parameters, xgb.DMatrix(rows, label=label), 8)


def expected(booster: Any, rows: Any) -> Any:
    return booster.predict(xgb.DMatrix(rows))


def ask(model: Model, body: bytes, kind: str | None = CSV, accept: str | None = None, **more: str) -> Answer:
    return model.answer(Call(body, kind, accept, **more))


def refused(model: Model, body: bytes, kind: str | None = CSV, accept: str | None = None) -> tuple[int, str]:
    with pytest.raises(ModelFault) as caught:
        ask(model, body, kind, accept)
    return caught.value.status, caught.value.message


def as_csv(rows: Any) -> bytes:
    return "\n".join(",".join(map(repr, row)) for row in rows.tolist()).encode()


def as_libsvm(rows: Any, first: int = 0) -> bytes:
    lines = (" ".join(f"{at}:{cell!r}" for at, cell in enumerate(row, first)) for row in rows.tolist())
    return "\n".join(f"1 {line}" for line in lines).encode()


def field(number: int, value: bytes) -> bytes:
    size = len(value)
    length = bytes([size]) if size < 128 else bytes([size & 0x7F | 0x80, size >> 7])
    return bytes([number << 3 | 2]) + length + value


def as_recordio(rows: Any, keys: bytes = b"", shape: bytes = b"") -> bytes:
    framed = b""
    for row in rows:
        tensor = field(1, np.asarray(row, "<f4").tobytes())
        tensor += (field(2, keys) if keys else b"") + (field(3, shape) if shape else b"")
        record = field(1, field(1, b"values") + field(2, field(2, tensor)))
        framed += struct.pack("<II", 0xCED7230A, len(record)) + record + b"\0" * (-len(record) % 4)
    return framed


def numbers(answer: Answer) -> Any:
    return np.array([float(line) for line in answer.body.decode().split("\n")])


@pytest.fixture(scope="module")
def booster(rows: Rows, target: Any) -> Any:
    return trained(rows, target)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, booster: Any, load: Load) -> Iterator[Model]:
    folder = tmp_path_factory.mktemp("booster")
    booster.save_model(folder / "model.ubj")
    (folder / "model.ubj").rename(folder / "xgboost-model")
    model = load(folder)
    yield weakref.proxy(model)  # pytest keeps what the last test had beyond the end of the containers
    del model


# ---- what it reads


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        (CSV, as_csv),
        ("csv", as_csv),
        ("text/csv; label_size=1", as_csv),
        (CSV, lambda rows: as_csv(rows).replace(b",", b";")),
        (CSV, lambda rows: as_csv(rows).replace(b",", b"\t")),
        (CSV, lambda rows: as_csv(rows).replace(b"\n", b"\r\n") + b"\r\n"),
        (None, as_libsvm),
        ("text/libsvm", as_libsvm),
        ("libsvm", as_libsvm),
        ("text/x-libsvm", lambda rows: as_libsvm(rows, first=1)),
        (RECORDIO, as_recordio),
        (RECORDIO, lambda rows: as_recordio(rows, bytes(range(4)), b"\x04")),
    ],
)
def test_each_form_has_the_librarys_own_answers(
    model: Model, booster: Any, rows: Rows, kind: str | None, written: Callable[[Any], bytes]
) -> None:
    answer = ask(model, written(rows), kind)

    assert answer.content_type == "text/csv; charset=utf-8"
    np.testing.assert_array_equal(numbers(answer), expected(booster, rows).astype(float))


def test_a_blank_cell_is_a_gap(model: Model, booster: Any, rows: Rows) -> None:
    gappy = rows[:1].copy()
    gappy[0, 1] = np.nan

    answer = ask(model, as_csv(gappy).replace(b"nan", b""))

    assert numbers(answer) == expected(booster, gappy)


def test_a_sparse_row_has_gaps(model: Model, booster: Any) -> None:
    gappy = np.array([[0.5, np.nan, np.nan, 2.0], [np.nan] * 4])

    answer = ask(model, b"0 0:0.5 3:2\n1", "text/libsvm")

    np.testing.assert_array_equal(numbers(answer), expected(booster, gappy).astype(float))


def test_nothing_is_answered_by_nothing(model: Model) -> None:
    answer = ask(model, b"", "what/ever", "what/ever")

    assert (answer.status, answer.body) == (204, b"")


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (
            b"1,x,3,4",
            CSV,
            "Loading csv data failed with Exception, please ensure data is in csv format:\n <class",
        ),
        (b"1,2,3,4\n1,2", CSV, "Loading csv data failed with Exception"),
        (
            b"1 a:b",
            "text/libsvm",
            "Loading libsvm data failed with Exception, please ensure data is in libsvm format",
        ),
        (b"1,2,3,4", RECORDIO, "Loading recordio-protobuf data failed with Exception"),
        (as_recordio([[1.0, 2.0]])[:-4], RECORDIO, "cut off"),
        (b"[[1,2,3,4]]", JSON, "application/json is not an accepted ContentType: csv, libsvm, parquet, "),
        (b"PAR1", "application/x-parquet", "Content-type application/x-parquet is not supported."),
        (
            b"1,2,3,4",
            "text/csv; label_size=0",
            "text/csv; label_size=0 is not an accepted csv ContentType. "
            "Optional parameter label_size must be equal to 1",
        ),
    ],
)
def test_what_it_cannot_read_is_unsupported(model: Model, body: bytes, kind: str, said: str) -> None:
    status, message = refused(model, body, kind)

    assert status == 415
    assert said in message


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (
            b"1,2,3",
            CSV,
            "Feature size of csv inference data 3 is not consistent with feature size of trained model 4.",
        ),
        (b"1,2,3,4,5", CSV, "inference data 5 is not consistent"),
        (
            as_recordio([[1.0, 2.0]]),
            RECORDIO,
            "Feature size of recordio-protobuf inference data 2 is not consistent",
        ),
        (
            b"1 0:1 5:2",
            "text/libsvm",
            "Feature size of libsvm inference data 6 is larger than feature size of trained model 4.",
        ),
    ],
)
def test_rows_of_another_width_are_refused(model: Model, body: bytes, kind: str, said: str) -> None:
    status, message = refused(model, body, kind)

    assert status == 400
    assert message.startswith("Unable to evaluate payload provided: ")
    assert said in message


# ---- what it writes


def test_json_has_a_score_each(model: Model, booster: Any, rows: Rows) -> None:
    answer = ask(model, as_csv(rows[:3]), accept="application/json;verbose=1")

    assert answer.content_type == JSON
    assert json.loads(answer.body) == {
        "predictions": [{"score": score} for score in expected(booster, rows[:3]).tolist()]
    }


@pytest.mark.parametrize("accept", ["*/*", CSV, "Text/CSV", None])
def test_csv_is_the_default(model: Model, accept: str | None) -> None:
    assert ask(model, b"1,2,3,4", accept=accept).content_type.startswith(CSV)


def test_other_types_are_not_acceptable(model: Model) -> None:
    assert refused(model, b"1,2,3,4", accept="image/png") == (
        406,
        "Accept type image/png is not supported. Please use supported accept types: "
        "['application/json', 'application/jsonlines', 'application/x-recordio-protobuf', 'text/csv'].",
    )
    assert refused(model, b"1,2,3,4", accept=LINES)[0] == 500


def test_a_body_is_looked_at_before_its_accept(model: Model) -> None:
    assert refused(model, b"1,2", accept="image/png")[0] == 400
    assert refused(model, b"x,y", accept="image/png")[0] == 415


def test_one_of_many_models_answers_in_one_line(model: Model, booster: Any, rows: Rows) -> None:
    wanted = expected(booster, rows[:2]).tolist()

    answer = ask(model, as_csv(rows[:2]), accept=CSV, target_model="a.tar.gz")
    assert answer.body == ",".join(map(str, wanted)).encode()
    answer = ask(model, as_csv(rows[:2]), target_model="a.tar.gz")
    assert (answer.content_type, json.loads(answer.body)) == (JSON, wanted)
    with pytest.raises(ModelFault, match=r"is not an accepted Accept type\. Please choose") as caught:
        ask(model, b"1,2,3,4", accept=LINES, target_model="a.tar.gz")
    assert caught.value.status == 415


def test_a_batch_has_a_line_each(tmp_path: Path, booster: Any, rows: Rows, load: Load) -> None:
    booster.save_model(tmp_path / "model.json")
    model = load(tmp_path, {"SAGEMAKER_BATCH": "true", "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": JSON})

    answer = ask(model, as_csv(rows[:2]))

    assert answer.content_type == JSON
    assert answer.body == "".join(f"{each}\n" for each in expected(booster, rows[:2]).tolist()).encode()


# ---- what is asked for by name


def test_probabilities_and_labels_can_be_asked_for(
    tmp_path: Path, rows: Rows, target: Any, load: Load
) -> None:
    booster = trained(rows, target, "multi:softprob", num_class=3)
    booster.save_model(tmp_path / "model.json")
    model = load(tmp_path, {OUTPUT: "predicted_label, probabilities,labels,predicted_score"})
    wanted = expected(booster, rows[:2])
    best = [int(row.argmax()) for row in wanted]

    found = json.loads(ask(model, as_csv(rows[:2]), accept=JSON).body)["predictions"]
    assert [each["predicted_label"] for each in found] == best
    assert [each["probabilities"] for each in found] == wanted.tolist()
    assert found[0]["labels"] == [0, 1, 2]
    assert np.isnan(found[0]["predicted_score"])
    lines = ask(model, as_csv(rows[:2]), accept=LINES).body.decode().splitlines()
    assert [json.loads(line)["predicted_label"] for line in lines] == best
    first = ask(model, as_csv(rows[:2])).body.decode().split("\n")[0]
    assert first == f'{best[0]},"{wanted[0].tolist()}","[0, 1, 2]",nan'


@pytest.mark.parametrize(
    ("objective", "keys", "wanted"),
    [
        (
            "binary:logistic",
            "probability,raw_scores",
            lambda p: {"probability": p, "raw_scores": [1.0 - p, p]},
        ),
        ("binary:logistic", "predicted_label", lambda p: {"predicted_label": int(p > 0.5)}),
        ("binary:logitraw", "predicted_label,probability", lambda p: {"predicted_label": int(p > 0)}),
        ("binary:hinge", "predicted_label,labels", lambda p: {"predicted_label": p, "labels": [0, 1]}),
        ("multi:softmax", "predicted_label,raw_score", lambda p: {"predicted_label": p, "raw_score": p}),
        ("reg:squarederror", "predicted_score,labels", lambda p: {"predicted_score": p}),
    ],
)
def test_what_can_be_asked_for_depends_on_the_objective(
    tmp_path: Path,
    rows: Rows,
    target: Any,
    load: Load,
    objective: str,
    keys: str,
    wanted: Callable[[float], dict[str, Any]],
) -> None:
    more = {"num_class": 3} if objective.startswith("multi:") else {}
    booster = trained(rows, target, objective, **more)
    booster.save_model(tmp_path / "model.json")
    model = load(tmp_path, {OUTPUT: keys})

    (found,) = json.loads(ask(model, as_csv(rows[:1]), accept=JSON).body)["predictions"]

    told = wanted(expected(booster, rows[:1]).tolist()[0])
    assert {name: found[name] for name in told} == told
    assert all(np.isnan(found[name]) for name in keys.split(",") if name not in told)


def test_selected_answers_can_be_records(tmp_path: Path, booster: Any, rows: Rows, load: Load) -> None:
    booster.save_model(tmp_path / "model.json")
    model = load(tmp_path, {OUTPUT: "probability"})

    answer = ask(model, as_csv(rows[:1]), accept=RECORDIO)

    magic, size = struct.unpack_from("<II", answer.body)
    value = field(2, field(2, field(1, expected(booster, rows[:1]).astype("<f4").tobytes())))
    assert magic == 0xCED7230A
    assert answer.body[8 : 8 + size] == field(2, field(1, b"probability") + value)


# ---- what it loads


def test_pickles_are_loaded(tmp_path: Path, booster: Any, rows: Rows, load: Load) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(booster))

    answer = ask(load(tmp_path), as_csv(rows))

    np.testing.assert_array_equal(numbers(answer), expected(booster, rows).astype(float))


def test_a_pickle_that_is_named_model_comes_before_boosters_beside_it(
    tmp_path: Path, booster: Any, rows: Rows, target: Any, load: Load
) -> None:
    (tmp_path / "part.pkl").write_bytes(pickle.dumps(booster))
    booster.save_model(tmp_path / "part.json")
    assert load(tmp_path).traits.description == "XGBoost model"

    (tmp_path / "model.pkl").write_bytes(pickle.dumps(LogisticRegression().fit(rows, target)))

    assert load(tmp_path).traits.description == "LogisticRegression (scikit-learn)"


def test_a_pickled_estimator_answers_by_its_booster_under_the_name_of_awss_file(
    tmp_path: Path, rows: Rows, target: Any, load: Load
) -> None:
    estimator = xgb.XGBClassifier(n_estimators=5, n_jobs=1).fit(rows, target > 0)
    (tmp_path / "xgboost-model").write_bytes(pickle.dumps(estimator))

    found = numbers(ask(load(tmp_path), as_csv(rows)))

    np.testing.assert_array_equal(found, estimator.predict_proba(rows)[:, 1].astype(float))


def test_several_boosters_are_averaged(tmp_path: Path, rows: Rows, target: Any, load: Load) -> None:
    boosters = [trained(rows, target, seed=seed, subsample=0.5) for seed in (1, 2)]
    for number, booster in enumerate(boosters):
        booster.save_model(tmp_path / f"fold-{number}.json")
    (tmp_path / "example.json").write_text("[[1, 2, 3, 4]]")
    each = [expected(booster, rows) for booster in boosters]

    together = ask(load(tmp_path), as_csv(rows))
    alone = ask(load(tmp_path, {"SAGEMAKER_INFERENCE_ENSEMBLE": "false"}), as_csv(rows))

    np.testing.assert_array_equal(numbers(together), np.mean(each, axis=0).astype(float))
    np.testing.assert_array_equal(numbers(alone), each[0].astype(float))


def test_several_boosters_vote_on_classes(tmp_path: Path, rows: Rows, target: Any, load: Load) -> None:
    boosters = [
        trained(rows, target, "multi:softmax", num_class=3, seed=seed, subsample=0.3) for seed in (1, 2, 3)
    ]
    for number, booster in enumerate(boosters):
        booster.save_model(tmp_path / f"fold-{number}.ubj")
    votes = np.array([expected(booster, rows) for booster in boosters]).astype(int)

    found = numbers(ask(load(tmp_path), as_csv(rows)))

    assert found.tolist() == [float(np.bincount(column).argmax()) for column in votes.T]


def test_the_best_trees_answer_where_training_stopped_early(tmp_path: Path, rows: Rows, load: Load) -> None:
    noise = np.random.default_rng(5).integers(0, 2, 200)
    data = xgb.DMatrix(rows[:100], label=noise[:100])
    parameters = {"objective": "binary:logistic", "nthread": 1}
    watched = [(xgb.DMatrix(rows[100:], label=noise[100:]), "held")]
    booster = xgb.train(parameters, data, 30, evals=watched, early_stopping_rounds=5, verbose_eval=False)
    booster.save_model(tmp_path / "model.json")
    wanted = booster.predict(xgb.DMatrix(rows), iteration_range=(0, booster.best_iteration + 1))

    np.testing.assert_array_equal(numbers(ask(load(tmp_path), as_csv(rows))), wanted.astype(float))


def test_for_awss_image_all_files_are_boosters(tmp_path: Path, booster: Any, rows: Rows, load: Load) -> None:
    booster.save_model(tmp_path / "model.json")
    (tmp_path / ".hidden").write_text("nothing")
    assert ask(load(tmp_path, image=IMAGE), as_csv(rows[:1])).status == 200

    (tmp_path / "notes.txt").write_text("a stray file")

    with pytest.raises(ModelFailure, match=r"Unable to load model: Model notes\.txt cannot be loaded"):
        load(tmp_path, image=IMAGE)


def test_people_see_what_it_is(model: Model) -> None:
    assert model.traits.description == "XGBoost model"
    assert model.traits.default_accept == CSV
