"""What the built-in input and output functions read and write, for scripts and for models without one."""

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from tests.runner.conftest import FLOWERS, Deploy

SHOWN = """
import numpy as np
def model_fn(model_dir): return {}
def predict_fn(data, model):
    if not isinstance(data, np.ndarray): return {"kind": type(data).__name__, "data": data}
    return {"kind": str(data.dtype), "shape": list(data.shape), "data": data}
"""
MODEL = """
import joblib, os
def model_fn(model_dir): return joblib.load(os.path.join(model_dir, "model.joblib"))
"""


def npy(values: Any, **more: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array(values, **more))
    return file.getvalue()


@pytest.mark.parametrize(
    ("body", "kind", "dtype", "shape", "data"),
    [
        (b"[[1, 2], [3, 4]]", None, "float64", [2, 2], [[1.0, 2.0], [3.0, 4.0]]),
        (b"[[[1, 2]]]", "application/json", "float64", [1, 1, 2], [[[1.0, 2.0]]]),
        (b"5", "application/json", "float64", [], 5.0),
        (b"[1, 2]", "application/json", "float64", [2], [1.0, 2.0]),
        (b'[[true, "3.5", false]]', "application/json", "float64", [1, 3], [[1.0, 3.5, 0.0]]),
        (b'{"instances": [[1], [2]]}', "application/json", "float64", [2, 1], [[1.0], [2.0]]),
        (b'["a", "b"]', "application/json", "<U1", [2], ["a", "b"]),
        (b'[[1, "b"]]', "application/json", "object", [1, 2], [[1, "b"]]),
        (b"[16777217]", "application/json", "float64", [1], [16777217.0]),
        (b"1,2\n3,4\n", "text/csv", "float64", [2, 2], [[1.0, 2.0], [3.0, 4.0]]),
        (b"1.5,2", "text/csv", "float64", [1, 2], [[1.5, 2.0]]),
        (b"1.5,2", "text/csv; charset=utf-8", "float64", [1, 2], [[1.5, 2.0]]),
        (b"7", "text/csv", "float64", [1, 1], [[7.0]]),
        (b'"1","2"\r\n3,true\r\n', "text/csv", "float64", [2, 2], [[1.0, 2.0], [3.0, 1.0]]),
        (b"[1]\n[2]\n", "application/jsonlines", "float64", [2, 1], [[1.0], [2.0]]),
        (npy([[True]]), "application/x-npy", "bool", [1, 1], [[True]]),
        (npy([[[0, 255]]], dtype="uint8"), "application/x-npy", "uint8", [1, 1, 2], [[[0, 255]]]),
        (npy([0.5], dtype="float32"), "application/x-npy", "float32", [1], [0.5]),
        (npy(["good"]), "application/x-npy", "<U4", [1], ["good"]),
    ],
)
def test_arrays_reach_predict_fn_with_their_shape(
    serving: Any, body: bytes, kind: str | None, dtype: str, shape: list[int], data: Any
) -> None:
    reply = serving(SHOWN).call(body, kind)
    assert reply.status == 200, reply.text
    assert reply.json == {"kind": dtype, "shape": shape, "data": data}


def test_records_reach_predict_fn_as_they_are(serving: Any) -> None:
    assert serving(SHOWN).call([{"a": 1}]).json == {"kind": "list", "data": [{"a": 1}]}
    assert serving(SHOWN).call({"a": 1}).json == {"kind": "list", "data": [{"a": 1}]}


def test_null_is_nan(serving: Any) -> None:
    assert "[[NaN, 1.0]]" in serving(SHOWN).call([[None, 1]]).text
    assert "[[NaN, 1.0]]" in serving(SHOWN).call(b",1", "text/csv").text


@pytest.mark.parametrize(
    ("body", "kind", "status", "sentence"),
    [
        (b"{", "application/json", 400, "The body is not application/json: Expecting"),
        (b"", "application/json", 400, "The body is empty."),
        (b"\n", "text/csv", 400, "There is no row."),
        (b"\xff", "application/json", 400, "The body is not application/json: 'utf-8' codec"),
        (b"[[1], [2, 3]]", "application/json", 400, "The rows are not alike"),
        (b"1,2\n3\n", "text/csv", 400, "The rows have not the same length."),
        (b'a,"b\n', "text/csv", 400, "The body is not text/csv: unexpected end of data"),
        (b"no npy", "application/x-npy", 400, "The body is not application/x-npy"),
        (npy([{}], dtype=object), "application/x-npy", 400, "The body holds pickled objects"),
        (npy([1.0] * 9)[:-8], "application/x-npy", 400, "The body is not application/x-npy"),
        (b"<a/>", "text/xml", 415, "Content-Type 'text/xml' is not read; send application/json, text/csv"),
        (
            b"1",
            "application/x-www-form-urlencoded",
            415,
            "Content-Type 'application/x-www-form-urlencoded', which",
        ),
        (b"words", "text/plain", 415, "Content-Type 'text/plain' is not read"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(
    serving: Any, body: bytes, kind: str, status: int, sentence: str
) -> None:
    reply = serving(SHOWN).call(body, kind)
    assert (reply.status, reply.text[: len(sentence)]) == (status, sentence)


def test_a_script_with_model_fn_alone_predicts(deploy: Deploy, iris: Any) -> None:
    container = deploy(MODEL, model=iris)
    assert container.call(FLOWERS).text == "[0, 2]"
    assert container.call(FLOWERS[1]).json == [2]
    assert container.call(b"5.1,3.5,1.4,0.2", "text/csv").json == [0]
    assert container.call(npy(FLOWERS), "application/x-npy").json == [0, 2]
    assert container.call(FLOWERS, accept="text/csv").text == "0\n2\n"
    assert container.call(FLOWERS, accept="application/jsonlines").text == "0\n2\n"
    assert np.load(io.BytesIO(container.call(FLOWERS, accept="application/x-npy").body)).tolist() == [0, 2]
    assert container.call(FLOWERS, accept="text/html, text/csv;q=0.5, application/*;q=0.9").json == [0, 2]
    refused = container.call(FLOWERS, accept="text/html")
    assert (refused.status, refused.text.partition(";")[0]) == (
        406,
        "Accept 'text/html' names nothing that can be written",
    )
    chances = container.call(FLOWERS[0], accept="application/json; output=probabilities").json
    assert np.allclose(chances, iris.predict_proba(FLOWERS[:1]))
    both = container.call(FLOWERS, accept='text/csv; output="predicted_label,probabilities"').text
    assert [line.count(",") for line in both.splitlines()] == [3, 3]
    assert container.call(FLOWERS, accept="application/json; output=colour").status == 406
    assert container.call(FLOWERS, accept="application/jsonl").kind == "application/jsonlines"
    short = container.call([[1, 2]])
    assert (short.status, short.text[:48]) == (400, "X has 2 features, but LogisticRegression is expe")
    assert "'Berlin'" in container.call(b"1,2,3,Berlin", "text/csv").text


def test_the_environment_says_what_an_answer_holds(deploy: Deploy, iris: Any) -> None:
    container = deploy(
        MODEL, model=iris, environment={"SAGEMAKER_INFERENCE_OUTPUT": "predicted_label,probabilities"}
    )
    (told,) = container.call(FLOWERS[1]).json["predictions"]
    assert told["predicted_label"] == 2
    assert np.allclose(told["probabilities"], iris.predict_proba(FLOWERS[1:])[0])
    assert container.call(FLOWERS, accept="text/csv; output=predicted_label").text == "0\n2\n"


def test_what_input_fn_returns_goes_to_the_model_untouched(deploy: Deploy) -> None:
    script = """
    import json
    class Model:
        n_features_in_ = 0
        def predict(self, rows): return [type(rows).__name__, len(rows)]
    def model_fn(model_dir): return Model()
    def input_fn(body, kind): return tuple(json.loads(body))
    """
    assert deploy(script).call([[1], [2], [3]]).json == ["tuple", 3]


OUT = """
import json
import numpy as np
class Tensor:
    def __init__(self, values): self.values = np.asarray(values)
    def __array__(self, dtype=None, copy=None): return np.asarray(self.values, dtype=dtype)
    def tolist(self): return self.values.tolist()
class Sparse:
    def toarray(self): return np.eye(2)
class Frame:
    def to_numpy(self): return np.array([[1, "a"]], dtype=object)
VALUES = {
    "labels": np.array([0, 2]), "nan": np.array([np.nan, 1.0]), "scalar": np.float64(1.5),
    "words": np.array(["a", "b, c"], dtype=object), "truths": np.array([True]),
    "rows": np.array([[0.98, 0.02]]), "float32": np.array([[0.1]], dtype="float32"),
    "tensor": Tensor([[0.5, 1.0]]), "sparse": Sparse(), "frame": Frame(), "list": [1, None, "x"], "set": {1},
    "list of arrays": [np.array([1, 2]), np.array([3, 4])], "dict": {"a": np.int64(1)},
}
def model_fn(model_dir): return {}
def input_fn(body, kind): return json.loads(body)
def predict_fn(name, model): return VALUES[name]
"""


@pytest.mark.parametrize(
    ("name", "as_json", "as_csv"),
    [
        ("labels", "[0, 2]", "0\n2\n"),
        ("nan", "[NaN, 1.0]", "nan\n1.0\n"),
        ("words", '["a", "b, c"]', 'a\n"b, c"\n'),
        ("rows", "[[0.98, 0.02]]", "0.98,0.02\n"),
        ("float32", "[[0.10000000149011612]]", "0.1\n"),
        ("scalar", "1.5", "1.5\n"),
        ("tensor", "[[0.5, 1.0]]", "0.5,1.0\n"),
        ("sparse", "[[1.0, 0.0], [0.0, 1.0]]", "1.0,0.0\n0.0,1.0\n"),
        ("frame", '[[1, "a"]]', "1,a\n"),
        ("list of arrays", "[[1, 2], [3, 4]]", "1,2\n3,4\n"),
        ("truths", "[true]", "True\n"),
    ],
)
def test_predictions_are_written_as_aws_writes_them(
    serving: Any, name: str, as_json: str, as_csv: str
) -> None:
    container = serving(OUT)
    plain, csv = container.call(name), container.call(name, accept="text/csv")
    assert (plain.text, plain.kind) == (as_json, "application/json")
    assert (csv.text, csv.kind) == (as_csv, "text/csv")


def test_what_a_form_cannot_hold_is_the_models_fault(serving: Any) -> None:
    container = serving(OUT)
    assert container.call("dict").json == {"a": 1}
    assert container.call("set").status == 500
    assert container.call("set").text.startswith("The model's answer cannot be written as application/json")
    assert container.call("list", accept="application/x-npy").status == 500
    words = container.call("words", accept="application/x-npy").body
    assert np.load(io.BytesIO(words), allow_pickle=False).tolist() == ["a", "b, c"]


def test_a_model_of_texts_takes_texts_in_all_forms(deploy: Deploy) -> None:
    texts = ["good film", "bad film", "good day", "bad day", "great film", "awful day"]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0, 1, 0])
    container = deploy(model=model)
    assert container.call(["good film", "bad film"]).json == [1, 0]
    assert container.call({"instances": ["good film"]}).json == [1]
    assert container.call("good film").json == [1]
    assert container.call([["good film"], ["bad film"]]).json == [1, 0]
    assert container.call(b"good film\nbad film\n", "text/csv").json == [1, 0]
    assert container.call(b"bad film\n", "text/plain").json == [0]
    assert container.call(npy(["good film", "bad film"]), "application/x-npy").json == [1, 0]


def test_a_model_with_columns_takes_words_records_and_a_header(deploy: Deploy) -> None:
    table = pd.DataFrame({"age": [20, 30, 40, 50], "city": ["01", "2", "01", "Paris, centre"]})
    words = make_column_transformer((OneHotEncoder(), ["city"]), remainder="passthrough")
    model = make_pipeline(words, DecisionTreeClassifier(random_state=0)).fit(table, [*"abac"])
    container = deploy(MODEL, model=model)
    assert container.call(b'20,01\n50,"Paris, centre"\n30,2\n', "text/csv").json == ["a", "c", "b"]
    assert container.call(b"city,age\n01,20\n", "text/csv").json == ["a"]
    assert container.call(b"x,y\n20,01\n", "text/csv; header=present").json == ["a"]
    assert container.call([[40, "01"], [30, "2"]]).json == ["a", "b"]
    assert container.call([{"city": "2", "age": 30}]).json == ["b"]
    wrong = container.call([{"city": "2"}])
    assert (wrong.status, wrong.text) == (400, "Record 1 has the columns city; the model's are age, city.")
    assert "expecting 2 features" in container.call(b"1,2,x", "text/csv").text


def test_names_alone_get_a_frame_where_columns_are_chosen_by_name(deploy: Deploy) -> None:
    table = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0.0, 1.0, 0.0]})
    chosen = make_column_transformer(("passthrough", ["b"]))
    model = make_pipeline(chosen, LinearRegression()).fit(table, [0.0, 1.0, 0.0])
    container = deploy(model=model)
    assert container.call([[9, 1]]).json == pytest.approx([1.0])
    assert container.call(b"9,1\n", "text/csv").json == pytest.approx([1.0])


def test_a_model_of_records_gets_them_and_one_without_names_refuses_them(deploy: Deploy, iris: Any) -> None:
    records = [{"a": 1, "city": "x"}, {"a": 2, "city": "y"}]
    model = make_pipeline(DictVectorizer(), LogisticRegression()).fit(records, [0, 1])
    assert deploy(model=model).call(records).json == [0, 1]
    assert "records need a model that was fitted with column names" in deploy(model=iris).call(records).text


def test_a_booster_gets_its_matrix_and_odd_attributes_hinder_nobody(deploy: Deploy) -> None:
    xgboost = """
    class DMatrix:
        def __init__(self, rows): self.rows = rows
    class Booster:
        @property
        def n_features_in_(self): raise RuntimeError("not fitted")
        def predict(self, matrix): return matrix.rows.sum(axis=1)
    """
    script = "import xgboost\ndef model_fn(model_dir): return xgboost.Booster()"
    assert deploy(script, code__xgboost=xgboost).call([[1, 2]]).json == [3.0]


def test_a_torch_module_is_called(deploy: Deploy) -> None:
    torch = """
    import numpy as np
    class Tensor:
        def __init__(self, values): self.values, self.dtype = values, values.dtype
        def float(self): return Tensor(self.values.astype("float32"))
        def tolist(self): return self.values.tolist()
    def from_numpy(values): return Tensor(values)
    class no_grad:
        def __enter__(self): pass
        def __exit__(self, *error): pass
    class nn:
        class Module: pass
    """
    script = """
    import torch
    class Net(torch.nn.Module):
        def __call__(self, x): return [str(x.dtype), x.tolist()]
    def model_fn(model_dir): return Net()
    """
    container = deploy(script, code__torch=torch)
    assert container.call([[1, 2]]).json == ["float32", [[1.0, 2.0]]]
    assert container.call(npy([[1]], dtype="int64"), "application/x-npy").json == ["int64", [[1]]]
