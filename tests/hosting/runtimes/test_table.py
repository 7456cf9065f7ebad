"""From a folder to answers."""

import io
import json
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn.base
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from service.errors import BadPayload, ModelFailure, ModelFault, NotAcceptable, UnsupportedContentType
from service.hosting.containers.opener import Containers
from service.hosting.footprint import SMALLEST_BYTES
from service.hosting.host import Answer, Call, Model
from service.hosting.runtimes.table import Loading, load_model

ROWS = np.random.default_rng(3).normal(size=(20, 2))
TARGET = (ROWS.sum(axis=1) > 0).astype(int)
BODY = b"[[1.0, 2.0]]"


@pytest.fixture(scope="module")
def classifier() -> Any:
    return LogisticRegression().fit(ROWS, TARGET)


@pytest.fixture
def folder(tmp_path: Path, classifier: Any) -> Path:
    joblib.dump(classifier, tmp_path / "model.joblib")
    return tmp_path


Load = Callable[..., Model]


@pytest.fixture
def load(containers: Containers) -> Load:
    """Loads what may have code of its own."""

    def load(folder: Path, environment: dict[str, str] | None = None, code_dir: Path | None = None) -> Model:
        return load_model(folder, environment or {}, Loading(containers=containers), code_dir)

    return load


def put(folder: Path, name: str, text: str) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def ask(
    model: Model, body: bytes = BODY, content_type: str | None = None, accept: str | None = None
) -> Answer:
    return model.answer(Call(body, content_type, accept))


def as_csv(rows: Any) -> bytes:
    return "".join(",".join(map(repr, row)) + "\n" for row in rows.tolist()).encode()


def as_npy(rows: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, rows)
    return buffer.getvalue()


FORMS: dict[str, tuple[Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    "text/csv": (as_csv, lambda body: np.loadtxt(io.BytesIO(body), delimiter=",")),
    "application/json": (lambda rows: json.dumps(rows.tolist()).encode(), json.loads),
    "application/jsonlines": (
        lambda rows: "".join(json.dumps(row) + "\n" for row in rows.tolist()).encode(),
        lambda body: [json.loads(line) for line in body.splitlines()],
    ),
    "application/x-npy": (as_npy, lambda body: np.load(io.BytesIO(body))),
}


@pytest.mark.parametrize("accept", FORMS)
@pytest.mark.parametrize("content_type", FORMS)
def test_answers_equal_the_estimators(folder: Path, classifier: Any, content_type: str, accept: str) -> None:
    write, read = FORMS[content_type][0], FORMS[accept][1]
    model = load_model(folder, {})
    answer = ask(model, write(ROWS), content_type, accept)
    assert np.array_equal(read(answer.body), classifier.predict(ROWS))
    assert answer == Answer(answer.body, accept)
    chances = ask(model, write(ROWS), content_type, f"{accept}; output=probabilities")
    assert np.array_equal(read(chances.body), classifier.predict_proba(ROWS))


def test_a_plain_model_is_described(folder: Path) -> None:
    model = load_model(folder, {})
    assert model.traits.in_place
    assert model.traits.warnings == ()
    assert model.traits.description == "LogisticRegression (scikit-learn)"
    assert model.traits.size_bytes == SMALLEST_BYTES


def test_a_big_model_is_measured(tmp_path: Path) -> None:
    joblib.dump(
        make_pipeline(FunctionTransformer(kw_args={"table": np.zeros(500_000)})), tmp_path / "model.joblib"
    )
    assert 4_000_000 <= load_model(tmp_path, {}).traits.size_bytes < 4_100_000


def test_the_environment_sets_the_default_accept(folder: Path) -> None:
    model = load_model(folder, {"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv"})
    assert ask(model) == Answer(b"1\n", "text/csv")
    assert ask(model, accept="application/json") == Answer(b"[1]", "application/json")


def test_faults_of_a_plain_model(folder: Path) -> None:
    model = load_model(folder, {})
    with pytest.raises(UnsupportedContentType):
        ask(model, content_type="text/html")
    with pytest.raises(NotAcceptable):
        ask(model, accept="text/html")
    with pytest.raises(BadPayload, match="X has 1 features"):
        ask(model, b"[[1]]")


@pytest.mark.parametrize(
    ("most_bytes", "told"), [(1 << 24, "; compiled: predict, predict_proba"), (0, "")], ids=["on", "off"]
)
def test_the_estimator_of_a_script_is_compiled(
    containers: Containers, folder: Path, most_bytes: int, told: str
) -> None:
    put(folder, "inference.py", "def predict_fn(data, model):\n    return model.predict(data).tolist()")
    limited = replace(containers, memory_bytes=1 << 30)
    model = load_model(folder, {}, Loading(most_program_bytes=most_bytes, containers=limited))
    assert model.traits.description == f"inference.py: predict_fn{told}"
    assert ask(model) == Answer(b"[1]", "application/json")


@pytest.mark.parametrize("place", ["code/inference.py", "inference.py"])
def test_a_script_serves_the_model(load: Load, folder: Path, place: str) -> None:
    put(folder, place, "def predict_fn(data, model):\n    return {'label': int(model.predict(data)[0])}")
    model = load(folder)
    assert not model.traits.in_place
    assert model.traits.description == "inference.py: predict_fn"
    assert ask(model) == Answer(b'{"label": 1}', "application/json")


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ("'1', 'text/plain\\nX-Evil: 1'", "Content-Type .text/plain"),
        ("'1', 'text/plain; name=\u20ac'", "Content-Type"),
        (
            "context.set_response_header('X-Amzn-SageMaker-Custom-Attributes', 'a\\r\\nb') or '1'",
            "Custom-Attributes",
        ),
        ("context.set_response_header('X-Amzn-SageMaker-New-Session-Id', chr(0)) or '1'", "New-Session-Id"),
        ("context.set_response_status(99) or '1'", "status 99"),
        ("context.set_response_status('teapot') or '1'", "status 'teapot'"),
    ],
)
def test_what_http_cannot_carry_is_the_models_failure(
    load: Load, folder: Path, returned: str, words: str
) -> None:
    put(folder, "inference.py", f"def output_fn(prediction, accept, context):\n    return {returned}")
    with pytest.raises(ModelFault, match=words) as caught:
        ask(load(folder))
    assert caught.value.status == 500


@pytest.mark.parametrize("error", ["Fatal", "KeyboardInterrupt", "GeneratorExit", "asyncio.CancelledError"])
@pytest.mark.parametrize(
    "script",
    [
        "def model_fn(model_dir):\n    raise {}('on purpose')",
        "def input_fn(body, content_type):\n    raise {}('on purpose')",
        "def output_fn(prediction, accept):\n    raise {}('on purpose')",
        "class Lazy:\n    def tolist(self):\n        raise {}('on purpose')\n    to_numpy = tolist\n\n"
        "def output_fn(prediction, accept):\n    return Lazy()",
    ],
)
def test_whatever_user_code_raises_is_the_models_failure(
    load: Load, folder: Path, script: str, error: str
) -> None:
    put(
        folder,
        "inference.py",
        "import asyncio\nclass Fatal(BaseException):\n    pass\n" + script.format(error),
    )
    with pytest.raises(ModelFault, match="on purpose") as caught:
        ask(load(folder))
    assert caught.value.status == 500


def test_an_error_keeps_a_status_that_is_one(load: Load, folder: Path) -> None:
    put(
        folder,
        "inference.py",
        "def transform_fn(model, body, content_type, accept):\n"
        "    error = OSError('busy')\n"
        "    error.status_code = eval(body)\n"
        "    raise error\n",
    )
    model = load(folder)
    for status, kept in ((400, 400), (503, 503), (599, 599), (399, 500), (600, 500), ('"404"', 500)):
        with pytest.raises(ModelFault, match=r"^busy") as caught:
            ask(model, str(status).encode(), "text/csv")
        assert caught.value.status == kept


def test_a_folder_of_data_hides_no_installed_package(load: Load, folder: Path) -> None:
    put(folder, "code/inference.py", "import numpy\ndef predict_fn(data, model):\n    return numpy.__name__")
    put(folder, "code/numpy/notes.txt", "")
    assert ask(load(folder)).body == b'"numpy"'


def test_code_wins_over_the_top(load: Load, folder: Path) -> None:
    put(folder, "inference.py", "def predict_fn(data, model):\n    return 'top'")
    put(folder, "code/inference.py", "def predict_fn(data, model):\n    return 'code'")
    assert ask(load(folder)).body == b'"code"'


def test_a_script_at_the_top_finds_modules_in_code(load: Load, folder: Path) -> None:
    put(folder, "inference.py", "import more\ndef predict_fn(data, model):\n    return more.X")
    put(folder, "code/more.py", "X = 9")
    assert ask(load(folder)).body == b"9"


def test_the_environment_names_the_script(load: Load, folder: Path) -> None:
    put(folder, "code/src/serve.py", "import near\ndef predict_fn(data, model):\n    return near.X")
    put(folder, "code/src/near.py", "X = 4")
    model = load(folder, {"SAGEMAKER_PROGRAM": "src/serve.py"})
    assert model.traits.description == "serve.py: predict_fn"
    assert ask(model).body == b"4"


def test_an_empty_script_name_is_none(folder: Path) -> None:
    assert load_model(folder, {"SAGEMAKER_PROGRAM": ""}).traits.in_place


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("absent.py", "SAGEMAKER_PROGRAM names absent.py, which is neither in code/ nor at the top"),
        ("../evil.py", "must name a script of the model, not '../evil.py'"),
        ("/etc/evil.py", "must name a script of the model, not '/etc/evil.py'"),
    ],
)
def test_a_script_that_is_not_there_is_told(folder: Path, name: str, sentence: str) -> None:
    with pytest.raises(ModelFailure, match=sentence):
        load_model(folder, {"SAGEMAKER_PROGRAM": name})


def test_code_apart_from_the_model_comes_before_the_models_own(
    load: Load, folder: Path, tmp_path: Path
) -> None:
    code = tmp_path / "sourcedir"
    put(folder, "code/inference.py", "def predict_fn(data, model):\n    return [0]")
    put(code, "inference.py", "from part import N\ndef predict_fn(data, model):\n    return [N]")
    put(code, "part.py", "N = 7")
    assert ask(load(folder, code_dir=code)).body == b"[7]"
    assert ask(load(folder)).body == b"[0]"


def test_a_script_without_functions_leaves_all_to_the_default_ones(load: Load, folder: Path) -> None:
    put(folder, "code/inference.py", "VERSION = 1")
    model = load(folder)
    assert not model.traits.in_place
    assert model.traits.description == "inference.py"
    assert ask(model) == Answer(b"[1]", "application/json")


def test_load_functions_are_called_in_order_with_the_context(load: Load, folder: Path) -> None:
    put(
        folder,
        "code/inference.py",
        "import os\nseen = []\n"
        "def pre_model_fn(model_dir):\n    seen.append(['pre', model_dir])\n"
        "def model_fn(model_dir, context):\n"
        "    seen.append(['model', context.system_properties['model_dir'], context.environment['LEVEL']])\n"
        "    return 'the model'\n"
        "def model_warmup_fn(model_dir, model):\n    seen.append(['warm', model, 'LEVEL' in os.environ])\n"
        "def predict_fn(data, model):\n    return seen\n",
    )
    model = load(folder, {"LEVEL": "3"})
    where = str(folder)
    assert json.loads(ask(model).body) == [
        ["pre", where],
        ["model", where, "3"],
        ["warm", "the model", True],
    ]
    assert model.traits.description == "inference.py: pre_model_fn, model_fn, model_warmup_fn, predict_fn"
    assert SMALLEST_BYTES <= model.traits.size_bytes < 2**20


def test_default_prediction_of_what_model_fn_returns(load: Load, folder: Path) -> None:
    put(
        folder,
        "code/inference.py",
        "import joblib\ndef model_fn(d):\n    return joblib.load(d + '/model.joblib')",
    )
    model = load(folder, {"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv"})
    assert ask(model) == Answer(b"1\n", "text/csv")
    assert ask(model, accept="application/json") == Answer(b"[1]", "application/json")


def test_what_model_fn_returns_must_predict(load: Load, folder: Path) -> None:
    put(folder, "code/inference.py", "def model_fn(d):\n    return {'a': 1}")
    with pytest.raises(ModelFault, match=r"neither predict nor transform: .*define predict_fn"):
        load(folder)


def test_headers_travel_both_ways(load: Load, folder: Path) -> None:
    put(
        folder,
        "code/inference.py",
        "NAME = 'X-Amzn-SageMaker-Custom-Attributes'\n"
        "def transform_fn(model, data, content_type, accept, context):\n"
        "    context.set_response_header(0, NAME, context.get_request_header(0, NAME).upper())\n"
        "    context.set_response_status(201)\n"
        "    given = set(context.request_headers) - {'Host', 'Content-Length'}\n"
        "    return ','.join(sorted(given)), 'text/plain'\n",
    )
    answer = load(folder).answer(Call(b"", "a/b", "c/d", custom_attributes="trace=1", target_model="m"))
    names = b"Accept,Content-Type,X-Amzn-SageMaker-Custom-Attributes,X-Amzn-SageMaker-Target-Model"
    assert answer == Answer(names, "text/plain", "TRACE=1", 201)


def test_each_gateway_counts_its_part_of_a_container(containers: Containers, folder: Path) -> None:
    put(folder, "inference.py", "def model_fn(d):\n    return bytearray(b'x' * 2**25)\npredict_fn = max")
    sizes = [
        load_model(folder, {}, Loading(containers=replace(containers, sharers=sharers))).traits.size_bytes
        for sharers in (1, 4)
    ]
    assert 2**25 <= sizes[0] < 2**26
    assert sizes[1] == pytest.approx(sizes[0] / 4, rel=0.05)


def test_an_error_in_model_fn_fails_the_load(load: Load, folder: Path) -> None:
    put(folder, "code/inference.py", "def model_fn(d):\n    return open(d + '/weights.bin')")
    with pytest.raises(ModelFault, match=r"No such file or directory.*weights.bin'\nTraceback"):
        load(folder)


@pytest.mark.parametrize("beside", ["code", "sourcedir"])
def test_a_requirement_that_is_missing_is_told_and_only_an_import_of_it_fails(
    load: Load, folder: Path, beside: str
) -> None:
    put(folder, f"{beside}/inference.py", "def predict_fn(data, model):\n    return 1")
    put(folder, f"{beside}/requirements.txt", "sagebird-test-nowhere==1.0\n")
    model = load(folder, code_dir=folder / beside)
    assert ask(model).body == b"1"
    assert "sagebird-test-nowhere" in model.traits.warnings[0]


@pytest.mark.provenance("documented")
def test_requirements_at_the_top_are_not_read(folder: Path) -> None:
    put(folder, "requirements.txt", "sagebird-test-nowhere==1.0\n")
    assert load_model(folder, {}).traits.in_place
    assert load_model(folder, {}).traits.warnings == ()


def test_version_drift_reaches_people(
    load: Load, tmp_path: Path, classifier: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sklearn.base, "__version__", "1.2.0")
        joblib.dump(classifier, tmp_path / "model.joblib")
    assert "scikit-learn==1.2.0" in load(tmp_path).traits.warnings[0]
    put(
        tmp_path,
        "inference.py",
        "import joblib\ndef model_fn(d):\n    return joblib.load(d + '/model.joblib')",
    )
    assert "scikit-learn==1.2.0" in load(tmp_path).traits.warnings[0]


OWN_CLASS = "class Scaled:\n    def predict(self, rows):\n        return rows[:, 0] * FACTOR\n"
PICKLED = b"cpreprocess\nScaled\n)\x81."  # protocol 2: preprocess.Scaled.__new__()


def test_two_models_with_clashing_modules_load_at_once(load: Load, tmp_path: Path) -> None:
    together = threading.Barrier(2, timeout=10)

    def load_and_ask(factor: int) -> bytes:
        folder = tmp_path / str(factor)
        put(folder, "code/preprocess.py", f"FACTOR = {factor}\n{OWN_CLASS}")
        put(
            folder,
            "code/inference.py",
            "import numpy as np\nfrom preprocess import FACTOR\n"
            "def input_fn(body, content_type):\n    return np.array([[FACTOR]])\n",
        )
        (folder / "model.pkl").write_bytes(PICKLED)
        together.wait()
        model = load(folder)
        together.wait()
        return ask(model).body

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(load_and_ask, [2, 5])) == [b"[4]", b"[25]"]


@pytest.mark.parametrize("place", ["code/preprocess.py", "preprocess.py", "preprocess/__init__.py"])
def test_classes_in_code_and_beside_the_model_serve_without_a_script(
    load: Load, tmp_path: Path, place: str
) -> None:
    put(tmp_path, place, f"FACTOR = 3\n{OWN_CLASS}")
    (tmp_path / "model.pkl").write_bytes(PICKLED)
    model = load(tmp_path)
    assert not model.traits.in_place
    assert model.traits.description == "Scaled"
    assert ask(model).body == b"[3.0]"


def test_modules_beside_two_models_are_not_each_others(load: Load, tmp_path: Path) -> None:
    models = []
    for factor in (2, 5):
        put(tmp_path / str(factor), "preprocess.py", f"FACTOR = {factor}\n{OWN_CLASS}")
        (tmp_path / str(factor) / "model.pkl").write_bytes(PICKLED)
        models.append(load(tmp_path / str(factor)))
    assert [ask(model).body for model in models] == [b"[2.0]", b"[5.0]"]
    assert "preprocess" not in sys.modules


def test_a_training_script_beside_the_model_is_not_run(folder: Path) -> None:
    put(folder, "train.py", "raise SystemExit")
    assert load_model(folder, {}).traits.in_place


def test_an_unused_code_folder_leaves_the_model_built_in(folder: Path) -> None:
    put(folder, "code/train.py", "raise SystemExit")
    assert load_model(folder, {}).traits.in_place


def test_a_missing_class_names_the_module(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(PICKLED)
    with pytest.raises(
        ModelFailure, match=r"^model.pkl needs the Python module 'preprocess', which is not here"
    ):
        load_model(tmp_path, {})


def test_loading_changes_neither_the_environment_nor_the_folder(load: Load, folder: Path) -> None:
    put(folder, "code/inference.py", "import more\ndef predict_fn(data, model):\n    return 1")
    put(folder, "code/more.py", "")
    before, files = dict(os.environ), sorted(folder.rglob("*"))
    ask(load(folder, {"SAGEMAKER_REGION": "moon-1"}))
    assert dict(os.environ) == before
    assert sorted(folder.rglob("*")) == files


def test_an_empty_folder_says_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ModelFailure, match=r"no model found: looked for code/inference.py"):
        load_model(tmp_path, {})
