"""Scikit-learn models: finding, loading, predicting."""

import gzip
import io
import json
import lzma
import os
import pickle
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import sklearn.base
from numpy.lib import recfunctions
from sklearn.cluster import DBSCAN, KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.tree._tree import Tree

from service.errors import BadPayload, ModelFailure, ModelTooLarge, NotAcceptable
from service.hosting.runtimes.drift import listen
from service.hosting.runtimes.finding import find_definition, find_file
from service.hosting.runtimes.sklearn import SklearnModel, load
from service.media.codec import Accept, encode
from service.media.types import NPY

ROWS = np.random.default_rng(7).normal(size=(60, 3))
TARGET = (ROWS[:, 0] + ROWS[:, 1] > 0).astype(int)
NAMED = pd.DataFrame(ROWS, columns=["age", "income", "debt"])
JSON = Accept("application/json")
HERE = sklearn.__version__


@pytest.fixture(scope="module")
def classifier() -> Any:
    return LogisticRegression().fit(ROWS, TARGET)


@pytest.fixture(scope="module")
def named_classifier() -> Any:
    return LogisticRegression().fit(NAMED, TARGET)


def wanting(output: str, media_type: str = "application/json") -> Accept:
    return Accept(media_type, tuple(output.split(",")))


def dump_as(version: str, model: object, file: Path) -> None:
    """Save it as another version of scikit-learn would have."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sklearn.base, "__version__", version)
        joblib.dump(model, file)


@pytest.mark.parametrize("name", ["model.joblib", "model.pkl", "churn.joblib", "churn.pkl"])
def test_model_file_is_found_and_loaded(tmp_path: Path, classifier: Any, name: str) -> None:
    if name.endswith(".pkl"):
        (tmp_path / name).write_bytes(pickle.dumps(classifier))
    else:
        joblib.dump(classifier, tmp_path / name, compress=3)
    assert find_file(tmp_path).name == name
    model = load(tmp_path, {})
    assert np.array_equal(model.predict(ROWS, JSON), classifier.predict(ROWS))
    assert model.warnings == ()
    assert model.description == "LogisticRegression (scikit-learn)"


def test_well_known_names_win_and_hidden_files_and_folders_do_not_count(tmp_path: Path) -> None:
    for name in ("model.pkl", "other.joblib", "third.pkl", "._model.joblib"):
        (tmp_path / name).touch()
    assert find_file(tmp_path).name == "model.pkl"
    (tmp_path / "model.joblib").touch()
    assert find_file(tmp_path).name == "model.joblib"


def test_several_files_are_named(tmp_path: Path) -> None:
    for name in ("b.pkl", "a.joblib", ".hidden.pkl"):
        (tmp_path / name).touch()
    with pytest.raises(ModelFailure, match=r"several model files.*: a.joblib, b.pkl$"):
        load(tmp_path, {})


def test_no_file_says_what_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "folder.pkl").mkdir()
    with pytest.raises(
        ModelFailure, match=r"no model found: looked for code/inference.py.*model.joblib, model.pkl"
    ):
        load(tmp_path, {})


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, ["the folder is empty"]),
        ({".hidden": b"", "__pycache__/a.pyc": b""}, ["the folder is empty"]),
        (
            {"model.keras": b"\x08", "labels.txt": b"setosa\n"},
            [
                "here lie labels.txt, model.keras",
                "model.keras (Keras) needs a code/inference.py",
                "with keras",
            ],
        ),
        ({"net.PT": b""}, ["net.PT (weights of PyTorch) needs", "with torch"]),
        ({"pytorch_model.bin": b""}, ["pytorch_model.bin (weights of PyTorch) needs", "with torch"]),
        ({"notes.txt": b"hello"}, ["here lie notes.txt"]),
        ({"clf.sav": b""}, ["clf.sav can be served as model.joblib or model.pkl"]),
        ({"1/saved_model.pb": b""}, ["1/ (a TensorFlow SavedModel) needs"]),
        ({"model/model.joblib": b""}, ["all of it lies in model/, one folder too deep"]),
        ({"model/model.onnx": b""}, ["all of it lies in model/, one folder too deep"]),
        ({"model/booster.txt": b"tree\nversion=v4\n"}, ["one folder too deep"]),
        ({"model/any.json": b'{"learner":{}}'}, ["one folder too deep"]),
        ({"serve.py": b""}, ["serve.py is run if it is named inference.py"]),
        ({f"{number}.dat": b"" for number in range(20)}, ["and 12 more"]),
    ],
)
def test_what_lies_there_is_named_with_what_it_needs(
    tmp_path: Path, files: dict[str, bytes], words: list[str]
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelFailure) as caught:
        load(tmp_path, {})
    assert [word for word in words if word not in caught.value.message] == []


def test_a_class_of_main_is_found_in_the_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickled_instance("__main__", "Thing", 4))
    (tmp_path / "things.py").write_text("class Thing: ...\nclass Other: ...\n")
    (tmp_path / "broken.py").write_text("class Thing(")
    with pytest.raises(ModelFailure, match=r"things.py beside it defines Thing.*from things import Thing"):
        load(tmp_path, {})
    (tmp_path / "more.py").write_text("def Thing(): ...\n")
    with pytest.raises(ModelFailure, match="define Thing in a module"):
        load(tmp_path, {})


@pytest.mark.parametrize(
    "content", [b"", b"not a pickle", b"\x80\x04\x95", b"x\x9c\x01\x02garbage", b"PK\x03\x04", b"ZF0x1"]
)
def test_garbage_is_told_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.joblib").write_bytes(content)
    with pytest.raises(
        ModelFailure, match=r"^model.joblib cannot be read: it is truncated, or no joblib"
    ) as caught:
        load(tmp_path, {})
    assert "\n" not in caught.value.message


def test_a_truncated_file_is_told(tmp_path: Path) -> None:
    joblib.dump(RandomForestClassifier(5, random_state=0).fit(ROWS, TARGET), tmp_path / "model.joblib")
    whole = (tmp_path / "model.joblib").read_bytes()
    (tmp_path / "model.joblib").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelFailure, match="cannot be read: it is truncated"):
        load(tmp_path, {})


def pickled_instance(module: str, name: str, protocol: int) -> bytes:
    made = ModuleType(module)
    made.__dict__[name] = type(name, (), {"__module__": module})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module, made)
        return pickle.dumps(made.__dict__[name](), protocol)


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        ("__main__", r"pickled from a script's __main__, which defined Thing: define Thing in a module"),
        (
            "sagebird_test_gone",
            r"^model.pkl needs the Python module 'sagebird_test_gone', which is not here: put it",
        ),
        ("sklearn.gone", r"needs sklearn.gone, which this server's scikit-learn lacks: fit the model again"),
        ("sklearn.base", r"needs Thing of the Python module 'sklearn.base', which has no such thing here"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_what_a_pickle_lacks_is_named_with_the_fix(
    tmp_path: Path, module: str, sentence: str, protocol: int
) -> None:
    (tmp_path / "model.pkl").write_bytes(pickled_instance(module, "Thing", protocol))
    with pytest.raises(ModelFailure, match=sentence):
        load(tmp_path, {})


class Raising:
    """Raises, when unpickled, what it was made with."""

    def __init__(self, error: type[BaseException], text: str = "") -> None:
        self.error, self.text = error, text

    def __reduce__(self) -> tuple[object, ...]:
        return raise_it, (self.error, self.text)


def raise_it(error: type[BaseException], text: str) -> None:
    raise error(text)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (MemoryError, ModelTooLarge),
        (SystemExit, ModelFailure),
        (BadPayload, BadPayload),
        (OSError, ModelFailure),
    ],
)
def test_what_unpickling_raises_becomes_a_fault(
    tmp_path: Path, error: type[BaseException], raised: type[Exception]
) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Raising(error)))
    with pytest.raises(raised):
        load(tmp_path, {})


def test_version_drift_becomes_a_warning(tmp_path: Path, classifier: Any) -> None:
    dump_as("1.2.0", make_pipeline(StandardScaler(), classifier), tmp_path / "model.joblib")
    for _ in range(2):  # Python shows a warning once; each load must tell it
        assert load(tmp_path, {}).warnings == (
            f"fitted with scikit-learn 1.2.0, this server runs {HERE}: predictions may differ; "
            f"fit the model again with {HERE}, or ask for scikit-learn==1.2.0 in code/requirements.txt "
            "(see SAGEBIRD_ENVIRONMENTS)",
        )


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
def test_a_tree_that_another_version_wrote_and_this_one_cannot_read_names_both(
    tmp_path: Path, protocol: int, pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    class OldPickler(pickle.Pickler):
        def reducer_override(self, thing: Any) -> Any:
            if not isinstance(thing, Tree):
                return NotImplemented
            make, arguments, state = thing.__reduce__()
            names = [name for name in state["nodes"].dtype.names if name != "missing_go_to_left"]
            nodes = recfunctions.repack_fields(state["nodes"][names], align=True)
            return make, arguments, {**state, "nodes": nodes}

    monkeypatch.setattr("sklearn.base.__version__", "1.2.2")
    written = io.BytesIO()
    OldPickler(written, protocol).dump(DecisionTreeClassifier().fit(ROWS, TARGET))
    monkeypatch.undo()
    (tmp_path / "model.joblib").write_bytes(pack(written.getvalue()))

    with pytest.raises(
        ModelFailure, match=f"fitted with scikit-learn 1.2.2, this server runs {HERE}"
    ) as caught:
        load(tmp_path, {})
    assert "truncated" not in caught.value.message


def test_version_drift_is_heard_per_thread_and_whatever_others_do_to_warnings(
    tmp_path: Path, classifier: Any
) -> None:
    versions = [HERE, "1.2.0", "1.3.0", "1.4.0"]
    for version in versions:
        (tmp_path / version).mkdir()
        dump_as(version, classifier, tmp_path / version / "model.joblib")
    together = threading.Barrier(len(versions), timeout=10)

    def load_one(version: str) -> int:
        with warnings.catch_warnings():  # as every predict of scikit-learn does
            together.wait()
            with listen() as heard:
                load(tmp_path / version, {})
            together.wait()
        return len(load(tmp_path / version, {}).warnings) + len(heard)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with ThreadPoolExecutor(len(versions)) as threads:
            assert list(threads.map(load_one, versions)) == [0, 1, 1, 1]


def test_version_drift_is_nobodys_when_nobody_listens(tmp_path: Path, classifier: Any) -> None:
    dump_as("1.2.0", classifier, tmp_path / "model.joblib")
    with listen() as heard:
        pass
    joblib.load(tmp_path / "model.joblib")
    assert heard == set()


def test_version_drift_is_given_as_the_reason_of_a_failed_load(tmp_path: Path, classifier: Any) -> None:
    dump_as("1.2.0", [classifier, Raising(AttributeError, "no _fill_dtype")], tmp_path / "model.joblib")
    with pytest.raises(
        ModelFailure, match=r"\(AttributeError: no _fill_dtype\): fitted with scikit-learn 1.2.0, this"
    ):
        load(tmp_path, {})


def test_version_drift_is_told_when_predicting_fails(classifier: Any) -> None:
    class Stale(LogisticRegression):  # type: ignore[misc]  # scikit-learn has no types
        def predict(self, rows: Any) -> Any:
            raise AttributeError("no attribute 'multi_class'")

    model = SklearnModel(Stale(), warnings=("fitted with another version",))
    with pytest.raises(ModelFailure, match=r"^fitted with another version\nno attribute 'multi_class'\n"):
        model.predict(ROWS, JSON)


@pytest.mark.parametrize(
    "media_type", ["application/json", "text/csv", "application/jsonlines", "application/x-npy"]
)
def test_rows_are_predicted_as_the_estimator_does(classifier: Any, media_type: str) -> None:
    model = SklearnModel(classifier)
    assert np.array_equal(model.predict(ROWS, Accept(media_type)), classifier.predict(ROWS))
    assert np.array_equal(
        model.predict(ROWS, wanting("probabilities", media_type)), classifier.predict_proba(ROWS)
    )
    assert np.array_equal(
        model.predict(ROWS, wanting("predicted_label", media_type)), classifier.predict(ROWS)
    )


@pytest.mark.parametrize("output", ["predicted_label,probabilities", "probabilities,predicted_label"])
def test_label_and_probabilities_together(classifier: Any, output: str) -> None:
    model = SklearnModel(classifier)
    label = int(classifier.predict(ROWS[:1])[0])
    chances = classifier.predict_proba(ROWS[:2]).tolist()
    answer = model.predict(ROWS[:2], wanting(output))
    assert answer["predictions"][0] == {"predicted_label": label, "probabilities": chances[0]}
    lines = model.predict(ROWS[:2], wanting(output, "application/jsonlines"))
    assert lines == answer["predictions"]
    assert encode(lines, "application/jsonlines").count(b"\n") == 2
    columns = encode(model.predict(ROWS[:2], wanting(output, "text/csv")), "text/csv")
    assert columns.decode().splitlines()[0] == f"{label},{chances[0][0]},{chances[0][1]}"
    with pytest.raises(NotAcceptable, match="do not fit one array"):
        model.predict(ROWS, wanting(output, "application/x-npy"))


def test_labels_and_probabilities_of_several_targets() -> None:
    forest = RandomForestClassifier(3, random_state=0).fit(ROWS, np.column_stack([TARGET, 1 - TARGET]))
    model = SklearnModel(forest)
    both = "predicted_label,probabilities"
    first = model.predict(ROWS[:2], wanting(both))["predictions"][0]
    parts = [part[0].tolist() for part in forest.predict_proba(ROWS[:2])]
    assert first == {"predicted_label": forest.predict(ROWS[:1])[0].tolist(), "probabilities": parts}
    row = model.predict(ROWS[:2], wanting(both, "text/csv"))[0]
    assert row == [*first["predicted_label"], *parts[0], *parts[1]]


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_of_several_targets_are_in_the_order_of_the_samples(classes: int) -> None:
    targets = np.column_stack([TARGET, np.arange(len(TARGET)) % classes])
    forest = RandomForestClassifier(3, random_state=0).fit(ROWS, targets)
    model = SklearnModel(forest)
    parts = forest.predict_proba(ROWS[:4])
    by_sample = [[part[row].tolist() for part in parts] for row in range(4)]

    whole = encode(model.predict(ROWS[:4], wanting("probabilities")), "application/json")
    lines = encode(
        model.predict(ROWS[:4], wanting("probabilities", "application/jsonlines")), "application/jsonlines"
    )
    table = encode(model.predict(ROWS[:4], wanting("probabilities", "text/csv")), "text/csv")

    assert json.loads(whole) == by_sample
    assert [json.loads(line) for line in lines.splitlines()] == by_sample
    assert np.array_equal(np.loadtxt(table.decode().splitlines(), delimiter=","), np.hstack(parts))
    if classes == 2:
        array = encode(model.predict(ROWS[:4], wanting("probabilities", NPY)), NPY)
        assert np.load(io.BytesIO(array)).tolist() == by_sample


def test_text_labels_stay_text() -> None:
    model = SklearnModel(LogisticRegression().fit(ROWS, np.where(TARGET, "stays", "leaves")))
    answer = model.predict(ROWS[:1], wanting("predicted_label,probabilities"))
    assert answer["predictions"][0]["predicted_label"] in {"stays", "leaves"}


def test_the_environment_chooses_the_output_and_accept_wins(tmp_path: Path, classifier: Any) -> None:
    joblib.dump(classifier, tmp_path / "model.joblib")
    model = load(tmp_path, {"SAGEMAKER_INFERENCE_OUTPUT": "probabilities"})
    assert model.predict(ROWS, JSON).shape == (60, 2)
    assert model.predict(ROWS, wanting("predicted_label")).shape == (60,)


def test_no_probabilities_is_told() -> None:
    regression = LinearRegression().fit(ROWS, ROWS[:, 0])
    with pytest.raises(NotAcceptable, match="LinearRegression gives no probabilities"):
        SklearnModel(regression).predict(ROWS, wanting("probabilities"))
    with pytest.raises(
        ModelFailure, match="asks for probabilities, but LinearRegression gives no probabilities"
    ):
        SklearnModel(regression, ("probabilities",))


def test_an_unknown_output_fails_at_load(tmp_path: Path, classifier: Any) -> None:
    joblib.dump(classifier, tmp_path / "model.joblib")
    with pytest.raises(ModelFailure, match=r"SAGEMAKER_INFERENCE_OUTPUT knows .* not 'raw_score'"):
        load(tmp_path, {"SAGEMAKER_INFERENCE_OUTPUT": "predicted_label, raw_score"})


@pytest.mark.parametrize("columns", [1, 2, 4])
def test_a_wrong_number_of_features_is_told_as_scikit_learn_does(classifier: Any, columns: int) -> None:
    rows = np.zeros((2, columns))
    with pytest.raises(ValueError, match="features") as own:
        classifier.predict(rows)
    with pytest.raises(BadPayload) as ours:
        SklearnModel(classifier).predict(rows, JSON)
    assert ours.value.message == str(own.value)


def test_refused_values_are_the_callers_fault_in_one_line(classifier: Any) -> None:
    with pytest.raises(BadPayload, match=r"^Input X contains NaN.$"):
        SklearnModel(classifier).predict(np.array([[1.0, np.nan, 2.0]]), JSON)


def test_an_unfitted_model_is_the_models_fault() -> None:
    with pytest.raises(ModelFailure, match="not fitted"):
        SklearnModel(LogisticRegression()).predict(ROWS, JSON)


def test_records_are_put_in_the_models_order(named_classifier: Any) -> None:
    records = [{"debt": row[2], "age": row[0], "income": row[1]} for row in ROWS.tolist()]
    predicted = SklearnModel(named_classifier).predict(records, JSON)
    assert np.array_equal(predicted, named_classifier.predict(NAMED))


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (
            {"age": 1, "income": 2},
            "record 2 lacks the column 'debt'; the model's columns are age, income, debt",
        ),
        (
            {"age": 1, "income": 2, "debt": 3, "city": 4},
            "record 2 has the unknown column 'city'; the model's columns",
        ),
    ],
)
def test_wrong_columns_are_named(named_classifier: Any, record: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadPayload, match=sentence):
        SklearnModel(named_classifier).predict([{"age": 1, "income": 2, "debt": 3}, record], JSON)


@pytest.mark.parametrize("value", ["tall", None, {"a": 1}])
def test_wrong_values_in_records_are_the_callers_fault(named_classifier: Any, value: object) -> None:
    with pytest.raises(BadPayload):
        SklearnModel(named_classifier).predict([{"age": value, "income": 2, "debt": 3}], JSON)


def test_records_need_column_names(classifier: Any) -> None:
    with pytest.raises(BadPayload, match="fitted with column names, and LogisticRegression was not"):
        SklearnModel(classifier).predict([{"age": 1}], JSON)


def test_rows_for_a_named_model_give_no_warning(named_classifier: Any) -> None:
    model = SklearnModel(named_classifier)
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # put in front of the model's own filter
            for _ in range(2):
                assert np.array_equal(model.predict(ROWS, JSON), named_classifier.predict(NAMED))


@pytest.fixture
def mixed() -> Iterator[Any]:
    """A model that takes its columns by name."""
    columns = ColumnTransformer([("scale", StandardScaler(), ["age", "debt"])], remainder="drop")
    return make_pipeline(columns, LogisticRegression()).fit(NAMED, TARGET)  # type: ignore[no-any-return]


def test_rows_get_names_where_the_model_needs_them(mixed: Any) -> None:
    model = SklearnModel(mixed)
    for _ in range(2):
        assert np.array_equal(model.predict(ROWS, JSON), mixed.predict(NAMED))
    with pytest.raises(BadPayload, match="X has 2 features, but Pipeline is expecting 3 features as input"):
        model.predict(ROWS[:, :2], JSON)


def test_transformers_transform_and_clusterers_predict() -> None:
    scaler = StandardScaler().fit(ROWS)
    assert np.array_equal(SklearnModel(scaler).predict(ROWS, JSON), scaler.transform(ROWS))
    clusters = KMeans(2, random_state=0, n_init=1).fit(ROWS)
    assert np.array_equal(SklearnModel(clusters).predict(ROWS, JSON), clusters.predict(ROWS))
    encoder = OneHotEncoder().fit([[0], [1]])
    assert (
        encode(SklearnModel(encoder).predict(np.array([[1.0]]), JSON), "application/json") == b"[[0.0, 1.0]]"
    )


@pytest.mark.parametrize("model", [{"weights": [1]}, DBSCAN()])
def test_what_neither_predicts_nor_transforms_fails_at_load(tmp_path: Path, model: object) -> None:
    joblib.dump(model, tmp_path / "model.joblib")
    with pytest.raises(ModelFailure, match="neither predict nor transform"):
        load(tmp_path, {})


def test_other_classes_are_described_by_their_package() -> None:
    class Home:
        def predict(self, rows: Any) -> Any:
            return rows[:, 0]

    Home.__module__ = "preprocess"
    assert SklearnModel(Home()).description == "Home (preprocess)"
    assert SklearnModel(FunctionTransformer()).description == "FunctionTransformer (scikit-learn)"


def test_a_definition_is_looked_for_in_sources_that_can_be_read_only(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("class Mine: ...\n")
    (tmp_path / "broken.py").write_text("class Mine: (\n")
    (tmp_path / "huge.py").write_bytes(b"class Mine: ...\n" + b"#" * (2 << 20))
    os.mkfifo(tmp_path / "endless.py")

    assert find_definition([tmp_path], "Mine") == tmp_path / "good.py"
    assert find_definition([tmp_path], "Yours") is None
