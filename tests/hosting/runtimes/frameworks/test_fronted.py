"""XGBoost models are answered without their containers where these answer the same, by every byte."""

import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from service.errors import ModelFailure
from service.hosting.containers.opener import Containers
from service.hosting.host import Answer, Call, Model
from service.hosting.runtimes.file_programs import FileProgram
from service.hosting.runtimes.fronted import Fronting
from service.hosting.runtimes.table import Loading, choose_runtime, read_contents
from service.hosting.runtimes.xgboost_answers import read_booster
from tests.hosting.runtimes.frameworks.conftest import Rows

xgb = pytest.importorskip("xgboost")

CSV, JSON = "text/csv", "application/json"
_SIZES = (1, 1, 3, 1, 40, 1, 2, 1)  # rows of bodies
_MIB = 1 << 20
Save = Callable[[Rows, Any, Path], None]


def _matrix(rows: Any, label: Any = None) -> Any:
    """In one thread: several wait for one another on a machine that has other things to do."""
    return xgb.DMatrix(rows, label=label, nthread=1)


def _booster(rows: Rows, target: Any, objective: str, **more: Any) -> Any:
    label = target if objective.startswith("multi:") else target > 0
    parameters = {"objective": objective, "nthread": 1, "max_depth": 4, **more}
    return xgb.train(parameters, _matrix(rows, label=label), 8)


def _save_booster(objective: str, name: str, **more: Any) -> Save:
    def save(rows: Rows, target: Any, folder: Path) -> None:
        file = folder / ("model.json" if name.endswith("json") else "model.ubj")
        _booster(rows, target, objective, **more).save_model(file)
        file.rename(folder / name)

    return save


def _save_estimator(kind: str, classes: int) -> Save:
    def save(rows: Rows, target: Any, folder: Path) -> None:
        model = getattr(xgb, kind)(n_estimators=8, max_depth=4, n_jobs=1)
        model.fit(rows, rows[:, 0] if kind == "XGBRegressor" else target.clip(0, classes - 1))
        joblib.dump(model, folder / "model.joblib")

    return save


def _save_lightgbm(rows: Rows, target: Any, folder: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    parameters = {"objective": "multiclass", "num_class": 3, "verbose": -1, "num_threads": 1}
    given = rows.copy()
    given[:, 3] = np.abs(given[:, 3] * 3) // 1
    data = lightgbm.Dataset(given, label=target, categorical_feature=[3])
    lightgbm.train(parameters, data, 8).save_model(folder / "model.txt")


_FRONTED: Mapping[str, Save] = {
    "chance": _save_booster("binary:logistic", "model.json", base_score=0.3),
    "chances": _save_booster("multi:softprob", "xgboost-model", num_class=3),
    "classifier of three": _save_estimator("XGBClassifier", 3),
    "regressor": _save_estimator("XGBRegressor", 0),
    "LightGBM": _save_lightgbm,
}


def _load(folder: Path, containers: Containers, environment: Mapping[str, str] | None = None) -> Model:
    loading = Loading(1024 * _MIB, 64 * _MIB, containers)
    contents = read_contents(folder, environment or {}, loading)
    return choose_runtime(contents, loading.runtimes).load(contents)


def _body(rows: Any) -> bytes:
    return "\n".join(",".join(map(repr, row)) for row in rows.tolist()).replace("nan", "").encode()


@pytest.mark.parametrize("name", _FRONTED)
def test_calls_are_answered_here_as_their_container_answers_them(
    name: str, rows: Rows, target: Any, tmp_path: Path, containers: Containers
) -> None:
    _FRONTED[name](rows, target, tmp_path)
    model = _load(tmp_path, containers)
    front, compiling, elsewhere = model.traits.front, model.traits.compiling, model.traits.elsewhere
    assert front is not None
    assert elsewhere is not None
    assert front.lane((CSV, None), [_body(rows[:1])]) is None
    assert compiling.waits
    verdict = compiling.run(None, None)
    assert verdict is not None
    assert verdict.sentence == "compiled: predict"
    assert compiling.run(None, None) is None
    given = rows.copy()
    given[2, :2] = given[5] = given[50, 3] = np.nan
    _assert_answered_alike(model, CSV, [_body(given[at : at + size]) for at, size in enumerate(_SIZES)])
    documents = [json.dumps(rows[at : at + size].tolist()).encode() for at, size in enumerate(_SIZES)]
    if name.startswith("chance"):  # the container of the algorithm reads no JSON
        assert front.lane((JSON, None), documents) is None
    else:
        _assert_answered_alike(model, JSON, [*documents, b"[1, 2.5, -3, 0]"])
    assert model.traits.description.endswith("; compiled: predict")
    assert (elsewhere.look() or 0) > 0


def _assert_answered_alike(model: Model, kind: str, bodies: list[bytes]) -> None:
    """By what stands in front of its container, and by that: together, one by one, and single rows."""
    assert model.traits.front is not None
    for accept in (None, "*/*", JSON):
        lane = model.traits.front.lane((kind, accept), bodies)
        assert lane is not None
        right = [model.answer(Call(body, kind, accept)) for body in bodies]
        assert lane.answer(bodies) == right
        assert [each for body in bodies for each in lane.answer([body])] == right
        singles = [body for at, body in enumerate(bodies) if at >= len(_SIZES) or _SIZES[at] == 1]
        assert lane.answer(singles) == [right[bodies.index(body)] for body in singles]
        assert lane.answer_rows(None, bodies) is None
        assert not lane.takes_rows(1)


def test_a_model_that_may_not_be_compiled_is_asked_in_its_container(
    rows: Rows, target: Any, tmp_path: Path, containers: Containers
) -> None:
    _FRONTED["chances"](rows, target, tmp_path)
    model = _load(tmp_path, containers, {"SAGEBIRD_COMPILE": "off"})
    assert model.traits.front is None
    assert model.traits.compiling.run(None, None) is None


def _asked_in_place(rows: Rows, target: Any, folder: Path) -> tuple[Path, Callable[[Call], Answer]]:
    """A model's file, and what answers as its container would."""
    booster = _booster(rows, target, "binary:logistic")
    file = folder / "model.ubj"
    booster.save_model(file)

    return file, _asked_of(booster)


def _asked_of(booster: Any) -> Callable[[Call], Answer]:
    def ask(call: Call) -> Answer:
        lines = [line.split(b",") for line in call.body.split(b"\n")]
        given = np.array([[float(cell or b"nan") for cell in line] for line in lines])
        found = booster.predict(_matrix(given)).tolist()
        if call.accept == JSON:
            return Answer(json.dumps({"predictions": [{"score": each} for each in found]}).encode(), JSON)
        return Answer("\n".join(map(str, found)).encode(), f"{CSV}; charset=utf-8")

    return ask


def _fronting(file: Path, ask: Callable[[Call], Answer], most_bytes: int = 64 * _MIB) -> Fronting:
    return Fronting(file, read_booster, ask, most_bytes)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ((CSV, None), b"1,2,3"),
        ((CSV, None), b"1,2,3,nan"),
        ((CSV, None), b"1,2,3, "),
        ((CSV, None), b"1;2;3;4"),
        ((CSV, None), b"1,2,3,1e39"),
        ((CSV, None), b"1,2,,1e39"),
        ((CSV, None), b""),
        ((CSV, None), b"1,2,3,4\n"),
        ((CSV, None), b"\n".join([b"1,2,3,4"] * 6000)),
        ((JSON, None), b"[[1,2,3,4]]"),
        ((None, None), b"1 0:1"),
        ((CSV, "application/jsonlines"), b"1,2,3,4"),
    ],
)
def test_all_other_calls_are_the_containers(
    headers: tuple[str | None, str | None], body: bytes, rows: Rows, target: Any, tmp_path: Path
) -> None:
    front = _fronting(*_asked_in_place(rows, target, tmp_path))
    assert front.run(None, None) is not None
    assert front.lane((CSV, None), [b"1,2,3,4"]) is not None
    assert front.lane(headers, [body]) is None
    assert front.lane(headers, [b"1,2,3,4", body]) is None


def test_a_program_that_fails_later_leaves_all_calls_to_the_container(
    rows: Rows, target: Any, tmp_path: Path
) -> None:
    def read(file: Path, *most: int) -> FileProgram:
        program = read_booster(file, *most)

        def predict(given: Any) -> Any:
            if (given == 77).any():
                raise MemoryError
            return program.predict(given)

        return replace(program, predict=predict)

    file, ask = _asked_in_place(rows, target, tmp_path)
    front = Fronting(file, read, ask, 64 * _MIB)
    front.run(None, None)
    lane = front.lane((CSV, None), [b"1,2,3,77"])
    assert lane is not None
    with pytest.raises(ValueError, match="never read"):
        lane.answer([b"something else"])
    assert front.lane((CSV, None), [b"1,2,3,4"]) is not None
    with pytest.raises(MemoryError):
        lane.answer([b"1,2,3,77"])
    assert front.lane((CSV, None), [b"1,2,3,4"]) is None


def test_models_of_one_column_are_the_containers(rows: Rows, target: Any, tmp_path: Path) -> None:
    verdict = _fronting(*_asked_in_place(rows[:, :1], target, tmp_path)).run(None, None)
    assert verdict is not None
    assert "rows of one number" in verdict.sentence


def test_forms_whose_answers_differ_are_the_containers(rows: Rows, target: Any, tmp_path: Path) -> None:
    file, right = _asked_in_place(rows, target, tmp_path)

    def ask(call: Call) -> Answer:
        answer = right(call)
        return answer if call.accept != CSV else answer._replace(body=answer.body + b"\n")

    front = _fronting(file, ask)
    assert front.run(None, None) is not None
    assert front.lane((CSV, None), [b"1,2,3,4"]) is not None
    assert front.lane((CSV, CSV), [b"1,2,3,4"]) is None


def test_gaps_are_the_containers_where_it_makes_something_else_of_them(
    rows: Rows, target: Any, tmp_path: Path
) -> None:
    file, right = _asked_in_place(rows, target, tmp_path)
    front = _fronting(
        file, lambda call: right(call._replace(body=b"0,0,0,0") if b",," in call.body else call)
    )
    assert front.run(None, None) is not None
    assert front.lane((CSV, None), [b"1,2,3,4"]) is not None
    assert front.lane((CSV, None), [b"1,,3,4"]) is None


def test_a_container_that_answers_otherwise_or_not_at_all_is_asked_each_time(
    rows: Rows, target: Any, tmp_path: Path
) -> None:
    file, right = _asked_in_place(rows, target, tmp_path)

    def otherwise(call: Call) -> Answer:
        return right(call)._replace(body=b"0.5")

    def not_at_all(call: Call) -> Answer:
        raise ModelFailure("gone")

    for ask, reason in ((otherwise, "its program disagrees"), (not_at_all, "gone")):
        front = _fronting(file, ask)
        held = front.held_bytes
        verdict = front.run(None, None)
        assert verdict is not None
        assert verdict.sentence == f"not compiled: {reason}"
        assert front.held_bytes == 0 < held
        assert front.lane((CSV, None), [b"1,2,3,4"]) is None


def test_a_model_too_large_for_programs_has_none(rows: Rows, target: Any, tmp_path: Path) -> None:
    front = _fronting(*_asked_in_place(rows, target, tmp_path), most_bytes=100)
    assert not front.waits
    assert front.run(None, None) is None
    assert front.held_bytes == 0
    assert front.verdict is not None
    assert "too large" in front.verdict.sentence


def test_a_pickled_estimator_below_the_container_of_the_algorithm_is_asked_as_a_booster(
    rows: Rows, target: Any, tmp_path: Path
) -> None:
    model = xgb.XGBClassifier(n_estimators=8, max_depth=4, n_jobs=1).fit(rows, target > 0)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    asked = _asked_of(model.get_booster())
    verdict = _fronting(tmp_path / "model.pkl", asked).run(None, None)
    assert verdict is not None
    assert verdict.sentence == "compiled: predict"
