"""What a model's code finds around it: environment, folders, modules, streams, AWS's own modules."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.runner.conftest import FLOWERS, Deploy
from tests.runner.containers import PYTHON, ForkServer

ECHO = "def model_fn(model_dir): return {}\n"


def test_the_environment_is_the_containers_and_nothing_else(deploy: Deploy) -> None:
    script = """
    import os, sys
    AT_IMPORT = dict(os.environ)
    def model_fn(model_dir): return os.path.samefile(model_dir, os.environ["SM_MODEL_DIR"])
    def predict_fn(data, model):
        here = dict(os.environ)
        return [AT_IMPORT == here, sorted(set(here) - {"LC_CTYPE"}), here["THRESHOLD"], here["PATH"], model]
    """
    container = deploy(script, environment={"THRESHOLD": "0.7"})
    same, names, threshold, path, is_folder = container.call([[1]]).json
    assert (same, names, threshold) == (True, ["PATH", "SM_MODEL_DIR", "THRESHOLD"], "0.7")
    assert path.split(os.pathsep)[0] == os.path.dirname(PYTHON)
    assert is_folder


def test_folder_arguments_and_modules_are_the_scripts(deploy: Deploy) -> None:
    script = """
    import os, sys
    import handlers, serving, processes, service, calendar
    from lib import part
    def model_fn(model_dir): return {}
    def predict_fn(data, model):
        import importlib
        late = importlib.import_module("late").NAME
        ours = [handlers.NAME, serving.NAME, processes.NAME, service.NAME, late]
        first = [os.path.basename(os.getcwd()), os.path.basename(sys.path[0]), os.path.basename(sys.argv[0])]
        return [ours, first, len(sys.argv), part.NAME, __name__, hasattr(calendar, "month_name")]
    """
    names = ["handlers", "serving", "processes", "service", "late"]
    modules = {f"code__{name}": f"NAME = {name!r}" for name in names}
    container = deploy(script, **modules, code__lib____init__="", code__lib__part="NAME = 'part'")
    assert container.call([[1]]).json == [
        names,
        ["code", "code", "inference.py"],
        1,
        "part",
        "inference",
        True,
    ]


def test_a_models_module_wins_over_an_installed_one_that_was_imported(deploy: Deploy) -> None:
    script = "import threadpoolctl\n" + ECHO + "def predict_fn(data, model): return threadpoolctl.NAME"
    assert deploy(script, code__threadpoolctl="NAME = 'mine'").call([[1]]).json == "mine"


def test_no_bytecode_is_written(deploy: Deploy) -> None:
    script = "import helper\n" + ECHO + "def predict_fn(data, model): return helper.X"
    container = deploy(script, code__helper="X = 1")
    assert container.call([[1]]).json == 1
    assert not [*Path(container.spec["model_dir"]).rglob("*.pyc")]


def test_pickles_find_classes_of_the_scripts_modules_at_load_and_later(deploy: Deploy) -> None:
    script = """
    import os, pickle, rules
    def model_fn(model_dir):
        with open(os.path.join(model_dir, "rule.pkl"), "wb") as file: pickle.dump(rules.Rule(), file)
        return os.path.join(model_dir, "rule.pkl")
    def predict_fn(data, file):
        with open(file, "rb") as opened: return pickle.load(opened).predict(data)
    """
    rules = "class Rule:\n    def predict(self, rows): return [len(row) for row in rows]"
    assert deploy(script, code__rules=rules).call([[1, 2]]).json == [2]


MAIN = b"c__main__\nThing\n."


def test_a_class_of_a_scripts_main_is_lost_as_on_aws_and_the_way_out_is_told(
    start: Deploy, deploy: Deploy
) -> None:
    script = f"import pickle\ndef model_fn(model_dir): return pickle.loads({MAIN!r})\nclass Thing: pass"
    told = start(script).failed()
    assert "was pickled from a script's __main__, which defined Thing: define Thing in a module" in told
    put = (
        script
        + "\nimport __main__\n__main__.Thing = Thing\ndef predict_fn(data, model): return model.__name__"
    )
    assert deploy(put).call([[1]]).json == "Thing"


def test_a_train_and_serve_script_serves(deploy: Deploy, iris: Any) -> None:
    script = """
    import argparse, os, joblib
    from sagemaker_containers import entry_point
    from sagemaker_containers.beta.framework import content_types, encoders, env, modules, transformer, worker
    from sagemaker_xgboost_container.data_utils import get_dmatrix
    def model_fn(model_dir): return joblib.load(os.path.join(model_dir, "model.joblib"))
    if __name__ == "__main__":
        raise SystemExit("training")
    """
    assert deploy(script, model=iris).call(FLOWERS).json == [0, 2]


def test_prints_and_logs_go_to_the_containers_streams(deploy: Deploy) -> None:
    script = """
    import logging, sys
    print("loading")
    LOG, OWN = logging.getLogger("mine"), logging.getLogger("own")
    OWN.addHandler(logging.StreamHandler(sys.stdout))
    def model_fn(model_dir): return {}
    def predict_fn(data, model):
        print("größe \\ud800"); LOG.info("informed"); LOG.debug("hidden")
        OWN.info("once"); print("warned", file=sys.stderr)
        return 1
    """
    container = deploy(script, environment={"LANG": "C"})
    container.call([[1]])
    said = container.said()
    assert said.startswith("loading\ngröße \\ud800\n")
    assert "INFO - mine - informed\n" in said
    assert said.endswith("once\nwarned\n")
    assert said.count("once") == 1
    assert "hidden" not in said


def test_opt_ml_model_is_each_containers_own_or_the_reason_says_what_to_use(start: Deploy, iris: Any) -> None:
    link, script = (
        Path("/opt/ml/model"),
        """
    import joblib
    def model_fn(model_dir): return joblib.load("/opt/ml/model/model.joblib")
    """,
    )
    was_there = os.path.lexists(link)
    try:
        containers = [start(script, model=model) for model in (iris, {"other": 1}, iris)]
        told = [container.told() for container in containers]
    finally:
        if not was_there and os.path.islink(link):
            link.unlink()
            link.parent.rmdir()
    if "loaded" in told[0]:
        assert [sorted(each)[0] for each in told] == ["loaded", "failed", "loaded"]
        assert told[0]["loaded"]["kind"] == "LogisticRegression"
        assert "the model is a dict" in told[1]["failed"]["message"]
    else:
        assert "use model_dir, which model_fn is given" in told[0]["failed"]["message"]


def test_what_is_no_source_among_a_models_files_holds_nothing_up(
    given: Deploy, fork_server: ForkServer
) -> None:
    container = given(ECHO + "def predict_fn(data, model): return data\n")
    code = Path(container.spec["code_dirs"][0])
    os.mkfifo(code / "endless.py")
    (code / "folder.py").mkdir()
    (code / "away.py").symlink_to(code / "nowhere")
    assert fork_server.start(container).loaded()["kind"] == "dict"


STANDINS = """
import json, os
from sagemaker_containers.beta.framework import content_types, encoders, errors, transformer, worker
from sagemaker_inference import decoder, encoder, default_inference_handler, utils
from sagemaker_inference import content_types as kinds, errors as faults
from sagemaker_xgboost_container import encoder as xgb_encoders
from mms.context import Context
def model_fn(model_dir): return {}
def input_fn(body, kind):
    if kind == "text/x-old": return body.decode()
    if kind == "text/x-toolkit": raise faults.BaseInferenceToolkitError(422, "too long", "Unprocessable")
    if kind == "text/x-lines":
        return worker.Response(xgb_encoders.json_to_jsonlines(body), mimetype="text/plain")
    handler = default_inference_handler.DefaultInferenceHandler()
    ways = encoders.decode, decoder.decode, transformer.default_input_fn, handler.default_input_fn
    return [read(body, kind).tolist() for read in ways]
def predict_fn(data, model): return data
def output_fn(data, accept):
    if isinstance(data, worker.Response): return data
    if accept == content_types.CSV: return worker.Response(encoders.encode([0, 2], accept), mimetype=accept)
    if accept == kinds.NPY: return encoder.encode([0, 2], accept), accept
    if accept == "text/plain": return worker.Response(f"{accept} is not written", status=406)
    if data == "old": return encoders.encode([1], "text/x-old")
    return worker.Response(json.dumps(data), mimetype=accept)
"""


def test_awss_own_modules_have_stand_ins(serving: Any) -> None:
    container = serving(STANDINS)
    assert container.call([[1, 2]]).json == [[[1, 2]]] * 4
    assert container.call(b"1,2\n3,4", "text/csv").json == [[[1.0, 2.0], [3.0, 4.0]]] * 4
    csv = container.call([[1]], accept="text/csv")
    assert (csv.text, csv.kind) == ("0\n2\n", "text/csv; charset=utf-8")
    assert container.call([[1]], accept="application/x-npy").body[:6] == b"\x93NUMPY"
    refused = container.call([[1]], accept="text/plain")
    assert (refused.status, refused.text) == (406, "text/plain is not written")
    assert container.call(b'{"predictions": [1, 2]}', "text/x-lines").text == "1\n2\n"
    toolkits = container.call(b"x", "text/x-toolkit")
    assert (toolkits.status, toolkits.text) == (422, "too long")
    unread = container.call(b"old", "text/x-old")
    assert unread.status == 500
    assert unread.text.startswith(
        "Content type text/x-old is not supported by this framework.\n\nPlease implement"
    )


def test_a_module_that_is_really_there_wins_over_its_stand_in(deploy: Deploy) -> None:
    script = "import sagemaker_inference\n" + ECHO + "def predict_fn(d, m): return sagemaker_inference.REAL"
    assert deploy(script, code__sagemaker_inference="REAL = 1").call([[1]]).json == 1


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "Without one, a single .joblib or .pkl file is loaded; at the top of the model lies code."),
        ({"a": 1, "b": 2}, "several model files, and none is named model.joblib: a.joblib, b.joblib"),
        ({"model": {}}, "the model is a dict, which has neither predict nor transform"),
    ],
)
def test_a_folder_without_a_model_says_what_it_holds(
    start: Deploy, files: dict[str, Any], sentence: str
) -> None:
    assert sentence in start(**files).failed()


def test_a_damaged_file_and_another_version_are_told(given: Deploy, fork_server: Any) -> None:
    damaged = given(model={})
    (Path(damaged.spec["model_dir"]) / "model.joblib").write_bytes(b"junk")
    assert "model.joblib cannot be read: it is truncated" in fork_server.start(damaged).failed()
    older = given(model={})
    pickled = b"\x80\x04\x8c\x10_sklearn_version\x94\x8c\x051.2.2\x94cno_such_module\nThing\n."
    (Path(older.spec["model_dir"]) / "model.joblib").write_bytes(pickled)
    assert "needs the Python module 'no_such_module'" in fork_server.start(older).failed()
    broken = given(model={})
    (Path(broken.spec["model_dir"]) / "model.joblib").write_bytes(
        pickled.replace(b"cno_such_module\nThing\n", b"R")
    )
    told = fork_server.start(broken).failed()
    assert "fitted with scikit-learn 1.2.2" in told
    assert "truncated" not in told


def test_another_version_is_told_with_the_load(start: Deploy) -> None:
    script = """
    import pickle, sklearn.base
    from sklearn.linear_model import LinearRegression
    def model_fn(model_dir):
        here, sklearn.base.__version__ = sklearn.base.__version__, "1.0.1"
        old = pickle.dumps(LinearRegression())
        sklearn.base.__version__ = here
        return pickle.loads(old)
    """
    (warning,) = start(script).loaded()["warnings"]
    assert warning.startswith("fitted with scikit-learn 1.0.1, ")


def test_what_a_model_says_of_itself_is_told(start: Deploy, iris: Any) -> None:
    loaded = start(model=iris).loaded()
    told = loaded["interface"]
    assert (loaded["kind"], told["width"], told["columns"]) == ("LogisticRegression", 4, [])
    assert (told["labels"], loaded["functions"], loaded["threads"]) == ([0, 1, 2], [], 1)
    assert loaded["execution_parameters"] is False
    assert loaded["seconds"] >= 0


def test_a_script_that_is_not_asked_is_named(start: Deploy, iris: Any) -> None:
    (warning,) = start("def predict(data): pass", model=iris).loaded()["warnings"]
    assert warning.startswith("inference.py defines none of pre_model_fn, model_fn, ")


def test_what_a_load_leaves_open_is_told(start: Deploy) -> None:
    script = "import os\nFILE = open(os.path.abspath(__file__))\n" + ECHO + "def predict_fn(d, m): return 1"
    (path,) = start(script).loaded()["descriptors"]
    assert path.endswith("inference.py")
