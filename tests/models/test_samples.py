"""The sample models: they train alike twice, score what their cards say, refuse nonsense in a sentence."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import yaml

MODELS = Path(__file__).resolve().parents[2] / "models"
FLOORS = {
    "bird-strike": 0.74,
    "breast-cancer": 0.94,
    "diabetes": 0.33,
    "digits": 0.96,
    "iris-forest": 0.92,
    "iris-logistic": 0.94,
}
JSON, CSV = "application/json", "text/csv"
ROW = {"wildlife_size": "large", "phase_of_flight": "climb", "time_of_day": "dusk", "speed_knots": 250}


def load(path: Path) -> ModuleType:
    name = "sample_" + re.sub(r"\W", "_", f"{path.parent.name}_{path.stem}")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def scripts() -> dict[str, ModuleType]:
    return {name: load(MODELS / name / "train.py") for name in FLOORS}


@pytest.fixture(scope="module")
def trained(scripts: dict[str, ModuleType]) -> dict[str, Any]:
    return {name: script.train() for name, script in scripts.items()}


@pytest.fixture(scope="module")
def handler() -> ModuleType:
    return load(MODELS / "bird-strike" / "inference.py")


def run_main(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    module.main()


def test_every_sample_folder_has_a_floor_here() -> None:
    assert {script.parent.name for script in MODELS.glob("*/train.py")} == set(FLOORS)


@pytest.mark.parametrize("name", FLOORS)
def test_training_again_into_another_folder_predicts_the_same(
    name: str,
    scripts: dict[str, ModuleType],
    trained: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_main(scripts[name], monkeypatch, "--output", str(tmp_path / "new"))

    rows, _ = scripts[name].held_out()
    again = joblib.load(tmp_path / "new" / "model.joblib")
    np.testing.assert_array_equal(again.predict(rows), trained[name].predict(rows))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.joblib"]
    assert re.fullmatch(rf"{name}: .+ \d\.\d{{3}} on \d+ held-out rows\n", capsys.readouterr().out)


@pytest.mark.parametrize(("name", "floor"), FLOORS.items())
def test_held_out_score_reaches_its_floor(
    name: str, floor: float, scripts: dict[str, ModuleType], trained: dict[str, Any]
) -> None:
    assert scripts[name].score(trained[name]) >= floor


@pytest.mark.parametrize("name", FLOORS)
def test_card_states_the_score_that_training_reaches(
    name: str, scripts: dict[str, ModuleType], trained: dict[str, Any]
) -> None:
    stated = re.search(r"held-out score \| \D+ (\d\.\d{3}) ", (MODELS / name / "README.md").read_text())

    # other library versions may move a row or two
    assert stated is not None
    assert float(stated[1]) == pytest.approx(scripts[name].score(trained[name]), abs=0.03)


@pytest.mark.parametrize("name", FLOORS)
def test_held_out_rows_are_a_quarter_that_training_never_sees(
    name: str, scripts: dict[str, ModuleType]
) -> None:
    rows, answers = scripts[name].held_out()
    everything, _ = scripts[name].load_data()
    training, _, _, _ = scripts[name]._split()

    assert len(rows) == len(answers) == -(-len(everything) // 4)
    assert sorted([*rows.index, *training.index]) == list(everything.index)


@pytest.mark.parametrize("name", FLOORS)
def test_example_is_one_real_row_that_predicts(
    name: str, scripts: dict[str, ModuleType], trained: dict[str, Any]
) -> None:
    everything, answers = scripts[name].load_data()

    example = pd.read_csv(MODELS / name / "example.csv", header=None, names=list(everything.columns))

    assert list(trained[name].feature_names_in_) == list(everything.columns)
    assert len(everything.merge(example)) >= 1
    (prediction,) = trained[name].predict(example)
    assert prediction in set(answers) or answers.min() <= prediction <= answers.max()


# --- bird-strike: mixed columns, gaps, and its own inference.py


def predict(handler: ModuleType, model: Any, body: str | bytes, content_type: str) -> pd.DataFrame:
    answer = handler.predict_fn(handler.input_fn(body, content_type), model)
    assert all(type(damage) is str and type(probability) is float for damage, probability in answer)
    return pd.DataFrame(answer, columns=["damage", "probability"])


def test_handler_allows_exactly_what_the_model_was_trained_on(
    handler: ModuleType, scripts: dict[str, ModuleType], trained: dict[str, Any]
) -> None:
    script = scripts["bird-strike"]
    allowed = {name: list(words) for name, words in handler.KINDS.items()}

    assert allowed == {**script.ORDINAL, **script.NOMINAL}
    assert list(handler.COLUMNS) == list(trained["bird-strike"].feature_names_in_)


def test_bigger_birds_do_more_damage(handler: ModuleType, trained: dict[str, Any]) -> None:
    sizes = ("small", "medium", "large")

    answer = predict(
        handler, trained["bird-strike"], json.dumps([{**ROW, "wildlife_size": size} for size in sizes]), JSON
    )

    assert answer["probability"].is_monotonic_increasing
    assert list(answer["damage"])[::2] == ["no", "yes"]


def test_held_out_rows_through_the_handler_equal_the_bare_model(
    handler: ModuleType, scripts: dict[str, ModuleType], trained: dict[str, Any]
) -> None:
    rows, _ = scripts["bird-strike"].held_out()
    expected = trained["bird-strike"].predict_proba(rows)[:, 1]

    from_csv = predict(handler, trained["bird-strike"], rows.to_csv(index=False), CSV)
    from_json = predict(handler, trained["bird-strike"], rows.to_json(orient="records"), JSON)

    assert rows["speed_knots"].isna().any()
    np.testing.assert_array_equal(from_csv["probability"], expected)
    np.testing.assert_array_equal(from_json["probability"], expected)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, json.dumps(ROW)),
        (JSON, json.dumps([ROW])),
        (JSON, json.dumps({"instances": [ROW]})),
        (JSON, json.dumps({**ROW, "speed_knots": "250"})),
        ("application/json; charset=utf-8", json.dumps([ROW]).encode()),
        (CSV, "large,climb,dusk,250"),
        (CSV, "large,climb,dusk,250\r\n\r\n"),
        (CSV, '"large", climb ,dusk,250.0\n'),
        (CSV, "wildlife_size,phase_of_flight,time_of_day,speed_knots\nlarge,climb,dusk,250\n"),
        (CSV, "speed_knots,time_of_day,phase_of_flight,wildlife_size\n250,dusk,climb,large\n"),
        ("Text/CSV; charset=utf-8", b"\xef\xbb\xbflarge,climb,dusk,250\n"),
    ],
)
def test_every_way_to_write_a_row_gives_the_same_frame(
    handler: ModuleType, content_type: str, body: str | bytes
) -> None:
    expected = handler.input_fn(json.dumps(ROW), JSON)

    pd.testing.assert_frame_equal(handler.input_fn(body, content_type), expected)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, json.dumps(dict.fromkeys(ROW))),
        (JSON, json.dumps(dict.fromkeys(ROW, ""))),
        (CSV, ",,,"),
        (CSV, " , , , \n"),
    ],
)
def test_row_of_nothing_but_gaps_still_predicts(
    handler: ModuleType, trained: dict[str, Any], content_type: str, body: str
) -> None:
    answer = predict(handler, trained["bird-strike"], body, content_type)

    assert handler.input_fn(body, content_type).isna().all(axis=None)
    assert 0 < answer["probability"].item() < 1


HOURS = "is not allowed; use one of dawn, day, dusk, night."
NOT_A_NUMBER = "is not a number; leave it blank if unknown."
NAMES = "wildlife_size, phase_of_flight, time_of_day, speed_knots."


def refusal(handler: ModuleType, body: str | bytes, content_type: str) -> str:
    with pytest.raises(ValueError, match=r"^[A-Z].+\.$") as caught:
        handler.input_fn(body, content_type)
    assert getattr(caught.value, "status_code", None) == 400
    return str(caught.value)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("wildlife_size", "huge", '"huge" is not allowed; use one of small, medium, large.'),
        ("time_of_day", 7, f"7 {HOURS}"),
        ("time_of_day", ["day"] * 20, f'["day", "day", "day", "day", "day", "... {HOURS}'),
        ("speed_knots", "fast", f'"fast" {NOT_A_NUMBER}'),
        ("speed_knots", float("inf"), f"Infinity {NOT_A_NUMBER}"),
        ("speed_knots", True, f"true {NOT_A_NUMBER}"),
        ("speed_knots", [90], f"[90] {NOT_A_NUMBER}"),
    ],
)
def test_bad_value_is_refused_by_row_and_column_with_what_is_allowed(
    handler: ModuleType, column: str, value: object, reason: str
) -> None:
    body = json.dumps([ROW, {**ROW, column: value}])

    assert refusal(handler, body, JSON) == f"Row 2, column {column}: {reason}"


def test_bad_value_in_csv_is_counted_without_the_header(handler: ModuleType) -> None:
    lines = "wildlife_size,phase_of_flight,time_of_day,speed_knots\nsmall,climb,day,90\nsmall,climb,noon,90\n"

    assert refusal(handler, lines, CSV) == f'Row 2, column time_of_day: "noon" {HOURS}'


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            json.dumps([ROW, {**ROW, "colour": "red"}]),
            'Row 2 has an unknown column "colour": the columns are ',
        ),
        ('{"wildlife_size": "small"}', "Row 1 lacks the column phase_of_flight: the columns are "),
        ("[[1, 2]]", "Row 1 is not a record: send an object with the columns "),
    ],
)
def test_bad_record_is_refused_with_the_names_of_the_columns(
    handler: ModuleType, body: str, sentence: str
) -> None:
    assert refusal(handler, body, JSON) == sentence + NAMES


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            "wildlife_size,time_of_day\nsmall,day\n",
            "The header lacks the column phase_of_flight: the columns are ",
        ),
        (
            "time_of_day,time_of_day\nday,day\n",
            "The header has the column time_of_day twice: the columns are ",
        ),
        ("small,climb,day", "Row 1 has 3 cells, not 4: "),
    ],
)
def test_bad_table_is_refused_with_the_names_of_the_columns(
    handler: ModuleType, body: str, sentence: str
) -> None:
    assert refusal(handler, body, CSV) == sentence + NAMES


@pytest.mark.parametrize(
    ("content_type", "body", "sentence"),
    [
        (CSV, 'small,"climb', "The request is not CSV: unexpected end of data."),
        (CSV, "", "The request holds no rows."),
        (JSON, "[]", "The request holds no rows."),
        (JSON, "{", "The request is not JSON: "),
        (JSON, "[" * 100_000, "The request is not JSON: "),
        (JSON, "3", 'The request must be a record, a list of records or {"instances": [records]}.'),
        ("text/csv; charset=latin-1", b"\xff", "The request is not UTF-8 text."),
    ],
)
def test_unreadable_body_is_refused_in_one_sentence(
    handler: ModuleType, content_type: str, body: str | bytes, sentence: str
) -> None:
    assert refusal(handler, body, content_type).startswith(sentence)


@pytest.mark.parametrize("accept", [None, "", "*/*", JSON, "image/png, application/json;q=0.5"])
def test_answers_are_json_records_unless_csv_is_asked_for(handler: ModuleType, accept: str | None) -> None:
    prediction = [handler.Strike("yes", 0.75), handler.Strike("no", 0.25)]

    body, content_type = handler.output_fn(prediction, accept)

    assert content_type == JSON
    assert json.loads(body) == {
        "predictions": [{"damage": "yes", "probability": 0.75}, {"damage": "no", "probability": 0.25}]
    }


def test_answers_as_csv_are_lines_without_a_header(handler: ModuleType) -> None:
    prediction = [handler.Strike("yes", 0.75), handler.Strike("no", 0.25)]

    assert handler.output_fn(prediction, CSV) == ("yes,0.75\nno,0.25\n", CSV)


def test_other_types_are_refused_with_their_own_status(handler: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"^Content-Type image/png is not read here") as unread:
        handler.input_fn(b"", "image/png")
    with pytest.raises(ValueError, match=r"^Accept image/png is not written here") as unwritten:
        handler.output_fn([], "image/png")

    assert getattr(unread.value, "status_code", None) == 415
    assert getattr(unwritten.value, "status_code", None) == 406


def test_saved_model_answers_the_example_records(
    handler: ModuleType, trained: dict[str, Any], tmp_path: Path
) -> None:
    joblib.dump(trained["bird-strike"], tmp_path / "model.joblib")

    model = handler.model_fn(str(tmp_path))
    answer = predict(handler, model, (MODELS / "bird-strike" / "example.json").read_text(), JSON)

    assert list(answer["damage"]) == ["yes", "no"]


# --- train_all.py and endpoints.yaml


def test_git_keeps_nothing_that_it_is_told_to_ignore() -> None:
    """What the first start writes must not be in the repository: any other Python would change it."""
    words = ["git", "-C", str(MODELS.parent), "ls-files", "--cached", "--ignored", "--exclude-standard"]
    listed = subprocess.run(words, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no clone")

    assert listed.stdout.splitlines() == []


@pytest.fixture
def train_all() -> ModuleType:
    return load(MODELS / "train_all.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sample = tmp_path / "samples" / "tiny"
    sample.mkdir(parents=True)
    (sample / "train.py").write_text(
        "from pathlib import Path\n"
        "Path(__file__).with_name('model.joblib').write_text('fitted')\n"
        "print('tiny: trained')\n"
    )
    return tmp_path / "samples"


def test_train_all_trains_what_is_missing_and_then_skips_it(
    train_all: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = [train_all.main(["--folder", str(folder)]) for _ in range(2)]

    assert codes == [0, 0]
    assert capsys.readouterr().out == "tiny: trained\ntiny: up to date\n"
    built = sorted(path.name for path in (folder / "tiny").iterdir())
    assert built == [".built", "model.joblib", "train.py"]


@pytest.mark.parametrize("change", ["train.py", "inference.py", "data.csv", ".built", "model.joblib"])
def test_train_all_trains_again_when_anything_it_depends_on_changed(
    change: str, train_all: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_all.main(["--folder", str(folder)])
    changed = folder / "tiny" / change
    if change == "model.joblib":
        changed.unlink()
    else:
        changed.write_text((changed.read_text() if changed.exists() else "") + "\n# changed\n")

    assert train_all.main(["--folder", str(folder)]) == 0

    assert capsys.readouterr().out == "tiny: trained\n" * 2


def test_train_all_trains_again_for_another_scikit_learn(
    train_all: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_all.main(["--folder", str(folder)])
    built = folder / "tiny" / ".built"
    built.write_text(json.dumps({**json.loads(built.read_text()), "scikit-learn": "0.1"}))

    train_all.main(["--folder", str(folder)])

    assert capsys.readouterr().out == "tiny: trained\n" * 2


def test_train_all_force_trains_what_is_up_to_date(
    train_all: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_all.main(["--folder", str(folder)])

    train_all.main(["--folder", str(folder), "--force"])

    assert capsys.readouterr().out == "tiny: trained\n" * 2


def test_train_all_reports_a_failure_and_still_trains_the_rest(
    train_all: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken").mkdir()
    (folder / "broken" / "train.py").write_text("raise SystemExit('no data today')\n")

    code = train_all.main(["--folder", str(folder)])

    told = capsys.readouterr()
    assert code == 1
    assert told.out == "tiny: trained\n"
    assert told.err == "broken: failed\nno data today\n"
    assert not (folder / "broken" / ".built").exists()


def test_train_all_builds_a_real_sample(train_all: ModuleType, tmp_path: Path) -> None:
    names = shutil.ignore_patterns("*.joblib", ".*", "__pycache__")
    shutil.copytree(MODELS / "iris-logistic", tmp_path / "iris-logistic", ignore=names)

    assert train_all.main(["--folder", str(tmp_path)]) == 0

    model = joblib.load(tmp_path / "iris-logistic" / "model.joblib")
    flower = pd.DataFrame([[5.1, 3.5, 1.4, 0.2]], columns=list(model.feature_names_in_))
    assert model.predict(flower).tolist() == [0]


def test_endpoints_name_only_samples_that_exist() -> None:
    document = yaml.safe_load((MODELS / "endpoints.yaml").read_text())

    variants = [v for endpoint in document["endpoints"].values() for v in endpoint["variants"].values()]

    assert document["default_endpoint"] in document["endpoints"]
    assert {v["model"] for v in variants if "model" in v} <= set(FLOORS)
    assert all((MODELS / v["models"]).is_dir() for v in variants if "models" in v)
