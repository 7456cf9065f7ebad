"""Models of other libraries answer what these libraries say themselves."""

import io
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from service.errors import BadPayload, ModelFailure, ModelFault
from service.hosting.containers.opener import Containers
from service.hosting.host import Call, Model
from service.hosting.runtimes.table import Loading, load_model
from tests.harness import onnx
from tests.hosting.runtimes.frameworks.conftest import Load, Rows

CSV, JSON, NPY = "text/csv", "application/json", "application/x-npy"
NAMES = ["length", "width", "height", "weight"]


def ask(model: Model, document: Any) -> Any:
    return json.loads(model.answer(Call(json.dumps(document).encode(), JSON, None)).body)


def as_npy(rows: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, rows)
    return buffer.getvalue()


def assert_same_in_all_forms(model: Model, rows: Rows, wanted: Any) -> None:
    """200 rows as JSON, CSV and npy."""
    lines = "\n".join(",".join(map(repr, row)) for row in rows.tolist()).encode()
    for kind, body in ((JSON, json.dumps(rows.tolist()).encode()), (CSV, lines), (NPY, as_npy(rows))):
        found = np.array(json.loads(model.answer(Call(body, kind, None)).body))
        np.testing.assert_array_equal(found, np.asarray(wanted))


def fault(model: Model, document: Any) -> tuple[int, str]:
    with pytest.raises(ModelFault) as caught:
        ask(model, document)
    return caught.value.status, caught.value.message


# ---- LightGBM


@pytest.mark.parametrize("objective", ["binary", "regression", "multiclass"])
def test_lightgbm_answers_as_its_booster(
    tmp_path: Path, rows: Rows, target: Any, load: Load, objective: str
) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    parameters = {"objective": objective, "num_threads": 1, "verbose": -1}
    if objective == "multiclass":
        parameters["num_class"] = 3
    label = target > 0 if objective == "binary" else target
    booster = lightgbm.train(parameters, lightgbm.Dataset(rows, label=label), 8)
    booster.save_model(tmp_path / "model.txt")
    (tmp_path / "README.txt").write_text("a tree model")

    model = load(tmp_path)

    assert model.traits.description == "LightGBM model"
    assert_same_in_all_forms(model, rows, booster.predict(rows))
    assert fault(model, [[1, 2]]) == (400, "X has 2 features, but Booster is expecting 4 features as input.")


def test_lightgbm_knows_its_columns_and_their_words(tmp_path: Path, load: Load) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    random = np.random.default_rng(4)
    frame = pd.DataFrame({"size": random.normal(size=200), "colour": random.choice(["red", "green"], 200)})
    frame["colour"] = frame["colour"].astype("category")
    label = frame["size"] + (frame["colour"] == "red")
    parameters = {"objective": "regression", "num_threads": 1, "verbose": -1, "min_data_in_leaf": 2}
    booster = lightgbm.train(parameters, lightgbm.Dataset(frame, label=label), 8)
    booster.save_model(tmp_path / "model.txt")

    model = load(tmp_path)

    records = frame.astype({"colour": str}).to_dict(orient="records")
    assert ask(model, records) == booster.predict(frame).tolist()
    rows = model.answer(Call(b"colour,size\nred,0.5\n", CSV, None)).body
    known = pd.Categorical(["red"], categories=frame["colour"].cat.categories)
    assert json.loads(rows) == booster.predict(pd.DataFrame({"size": [0.5], "colour": known})).tolist()
    interface = model.interface()
    assert interface is not None
    assert [column.name for column in interface.columns] == ["size", "colour"]
    assert fault(model, [{"size": 1}])[0] == 400


# ---- CatBoost


def test_catboost_answers_as_its_model(tmp_path: Path, rows: Rows, target: Any, load: Load) -> None:
    catboost = pytest.importorskip("catboost")
    quiet = {"iterations": 5, "thread_count": 1, "verbose": False, "allow_writing_files": False}
    words = np.array(["low", "middle", "high"])[target]
    classifier = catboost.CatBoostClassifier(**quiet).fit(rows, words)
    regressor = catboost.CatBoostRegressor(**quiet).fit(rows, target)
    for name, model in (("classifier", classifier), ("regressor", regressor)):
        (tmp_path / name).mkdir()
        model.save_model(str(tmp_path / name / "model.cbm"))

    assert_same_in_all_forms(load(tmp_path / "classifier"), rows, classifier.predict(rows))
    assert_same_in_all_forms(load(tmp_path / "regressor"), rows, regressor.predict(rows))


def test_catboost_reads_words(tmp_path: Path, load: Load) -> None:
    catboost = pytest.importorskip("catboost")
    random = np.random.default_rng(4)
    frame = pd.DataFrame(
        {
            "size": random.normal(size=200),
            "colour": random.choice(["red", "green"], 200),
            "floor": random.integers(1, 5, 200),
        }
    )
    label = frame["size"] + (frame["colour"] == "red") + frame["floor"]
    model = catboost.CatBoostRegressor(
        iterations=5,
        thread_count=1,
        verbose=False,
        allow_writing_files=False,
        cat_features=["colour", "floor"],
    ).fit(frame, label)
    model.save_model(str(tmp_path / "model.cbm"))

    found = ask(load(tmp_path), frame.to_dict(orient="records"))

    assert found == model.predict(frame).tolist()


# ---- ONNX


@pytest.fixture
def linear(tmp_path: Path) -> Path:
    weights = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    (tmp_path / "model.onnx").write_bytes(onnx.linear(weights, np.array([0.1, 0, -0.1], np.float32)))
    return tmp_path


def outputs(folder: Path, rows: Rows) -> Any:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    return session.run(None, {"rows": rows.astype(np.float32)})


def test_onnx_answers_by_its_first_output(linear: Path, rows: Rows, load: Load) -> None:
    labels, _ = outputs(linear, rows)
    model = load(linear)

    assert_same_in_all_forms(model, rows, labels)
    assert fault(model, [[1, 2]])[0] == 400


def test_onnx_reports_nothing_to_its_makers(linear: Path, rows: Rows, load: Load) -> None:
    """What does so has a thread for it, and a file for what it could not send."""
    outputs(linear, rows)
    process: Any = load(linear).traits.elsewhere

    assert (process._lease.loaded.threads, process._lease.loaded.descriptors) == (1, ())


def test_onnx_answers_by_the_outputs_that_are_asked_for(linear: Path, rows: Rows, load: Load) -> None:
    labels, scores = outputs(linear, rows)

    one = load(linear, {"ONNX_OUTPUTS": "scores"})
    both = load(linear, {"ONNX_OUTPUTS": "scores,label"})

    assert ask(one, rows.tolist()) == scores.tolist()
    assert ask(both, rows.tolist()) == {"scores": scores.tolist(), "label": labels.tolist()}
    with pytest.raises(ModelFailure, match="ONNX_OUTPUTS names nothing, and its outputs are label, scores"):
        load(linear, {"ONNX_OUTPUTS": "nothing"})


def test_onnx_inputs_can_be_columns(tmp_path: Path, load: Load) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "any-name.onnx").write_bytes(onnx.sum_of_columns(["first", "second"]))

    model = load(tmp_path)

    assert ask(model, [{"second": 2, "first": 1}, {"first": 3, "second": 4}]) == [[3.0], [7.0]]
    assert json.loads(model.answer(Call(b"1,2\n", CSV, None)).body) == [[3.0]]


# ---- skops


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(StandardScaler(), LogisticRegression()),
        RandomForestClassifier(n_estimators=5, random_state=1),
        HistGradientBoostingClassifier(max_iter=5, random_state=1),
        GaussianProcessClassifier(random_state=1),
        KNeighborsClassifier(),
        MLPClassifier(max_iter=2, random_state=1),
    ],
    ids=lambda each: type(each).__name__,
)
def test_skops_answers_as_the_estimator(
    tmp_path: Path, rows: Rows, target: Any, load: Load, estimator: Any
) -> None:
    skops = pytest.importorskip("skops.io")
    with warnings.catch_warnings(category=ConvergenceWarning, action="ignore"):
        estimator.fit(rows, np.array(["low", "middle", "high"])[target])
    skops.dump(estimator, tmp_path / "model.skops")

    assert_same_in_all_forms(load(tmp_path), rows, estimator.predict(rows))


def test_skops_makes_nothing_that_is_not_trusted(tmp_path: Path, rows: Rows, load: Load) -> None:
    skops = pytest.importorskip("skops.io")
    skops.dump(FunctionTransformer(print).fit(rows), tmp_path / "model.skops")

    with pytest.raises(
        ModelFailure, match=r"^model\.skops holds builtins\.print, which sagebird does not trust"
    ):
        load(tmp_path)


# ---- pickles


@pytest.mark.parametrize("most_bytes", [0, 2**30])
def test_pickled_estimators_of_other_libraries_are_loaded_by_no_gateway(
    tmp_path: Path, rows: Rows, target: Any, containers: Containers, most_bytes: int
) -> None:
    xgboost = pytest.importorskip("xgboost")
    estimator = make_pipeline(StandardScaler(), xgboost.XGBClassifier(n_estimators=5, n_jobs=1))
    joblib.dump(estimator.fit(rows, target), tmp_path / "model.joblib")
    loading = Loading(most_bytes, containers=containers)

    model = load_model(tmp_path, {}, loading)

    assert_same_in_all_forms(model, rows, estimator.predict(rows))
    assert (model.traits.elsewhere is not None) == bool(most_bytes)


# ---- TorchScript


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_torchscript_is_called_as_a_function(tmp_path: Path, rows: Rows, load: Load) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Softmax(dim=1)).eval()
    torch.jit.trace(module, torch.zeros(1, 4)).save(str(tmp_path / "model.pt"))
    with torch.no_grad():
        wanted = module(torch.from_numpy(rows).float()).numpy()

    np.testing.assert_allclose(np.array(ask(load(tmp_path), rows.tolist())), wanted, rtol=1e-6)


# ---- what is not installed, and what cannot be read


@pytest.mark.parametrize(
    ("file", "content", "library"),
    [
        ("model.pt", None, "torch"),
        ("model.onnx", b"", "onnxruntime"),
        ("model.cbm", b"", "catboost"),
        ("model.skops", b"", "skops"),
        ("model.txt", b"tree\n", "lightgbm"),
        ("model.json", b'{"learner": {}}', "xgboost"),
    ],
)
def test_a_library_that_is_missing_is_named_with_what_installs_it(
    tmp_path: Path, load: Load, file: str, content: bytes | None, library: str
) -> None:
    if content is None:
        with zipfile.ZipFile(tmp_path / file, "w") as archive:
            archive.writestr("model/constants.pkl", b"")
    else:
        (tmp_path / file).write_bytes(content)
    hidden = tmp_path / "code"  # a module of the model's own, which is found first
    hidden.mkdir()
    (hidden / f"{library}.py").write_text(f"raise ModuleNotFoundError('no', name={library!r})")

    with pytest.raises(ModelFailure) as caught:
        load(tmp_path)

    assert caught.value.message == (
        f"{file} needs the Python package {library}, which is not installed: `sagebird install {library}` "
        "adds it for all models, or name it in the model's code/requirements.txt"
    )


@pytest.mark.parametrize(
    ("file", "library", "kind"),
    [
        ("model.onnx", "onnxruntime", "ONNX"),
        ("model.cbm", "catboost", "CatBoost"),
        ("model.skops", "skops", "skops"),
        ("model.txt", "lightgbm", "LightGBM"),
    ],
)
def test_a_file_that_is_damaged_is_named(
    tmp_path: Path, load: Load, file: str, library: str, kind: str
) -> None:
    pytest.importorskip(library)
    (tmp_path / file).write_bytes(b"tree\nversion=v4\nnonsense")

    with pytest.raises(ModelFailure, match=rf"^{file} cannot be loaded as {kind}: "):
        load(tmp_path)


def test_several_files_need_one_with_the_models_name(tmp_path: Path, load: Load) -> None:
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / name).write_bytes(b"")

    with pytest.raises(
        ModelFailure, match=r"^several ONNX files, and none is named model\.onnx: a\.onnx, b\.onnx$"
    ):
        load(tmp_path)


def test_a_pickle_comes_before_files_of_other_frameworks(
    tmp_path: Path, rows: Rows, target: Any, load: Load
) -> None:
    joblib.dump(LogisticRegression().fit(rows, target), tmp_path / "model.joblib")
    (tmp_path / "model.onnx").write_bytes(b"")

    model = load(tmp_path)

    assert model.traits.description == "LogisticRegression (scikit-learn)"
    with pytest.raises(BadPayload):
        ask(model, [[1, 2]])
