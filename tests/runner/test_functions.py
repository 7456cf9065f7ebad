"""The functions of a script: how they are called, what they may return, what their errors become."""

from typing import Any

import pytest

from tests.runner.conftest import FLOWERS, Deploy

ECHO = "def model_fn(model_dir):\n    return {}\n"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("def predict_fn(data, model, context): return [type(context).__name__]", ["Context"]),
        ("def predict_fn(data, model, anything): return [type(anything).__name__]", ["Context"]),
        ("def predict_fn(data, model, context=None): return [type(context).__name__]", ["Context"]),
        ("def predict_fn(data, model, ctx=None): return [type(ctx).__name__]", ["Context"]),
        ("def predict_fn(data, model, *, context): return [type(context).__name__]", ["Context"]),
        (
            "def predict_fn(data, model, loud=False, context=None): return [loud, context is None]",
            [False, False],
        ),
        ("def predict_fn(data, model, loud=False): return [loud]", [False]),
        ("def predict_fn(data, model, loud=False, deep=7): return [loud, deep]", [False, 7]),
        ("def predict_fn(data, model, **options): return options", {}),
        ("def predict_fn(*arguments): return [len(arguments)]", [2]),
        ("def predict_fn(*arguments, **named): return [len(arguments), len(named)]", [2, 0]),
        (
            "import functools\n@functools.lru_cache\n"
            "def model_fn(d, context): return type(context).__name__\n"
            "def predict_fn(data, model): return model",
            "Context",
        ),
        ("def predict_fn(context, model): return [type(context).__name__]", ["ndarray"]),
        ("predict_fn = lambda data, model: [1]", [1]),
        ("class P:\n    def __call__(self, data, model): return [2]\npredict_fn = P()", [2]),
        ("import functools\npredict_fn = functools.partial(lambda a, data, model: [a], 3)", [3]),
        ("predict_fn = max\ndef input_fn(body, kind): return 7\nmodel_fn = lambda d: 5", 7),
        (
            """
import functools
def timed(function):
    @functools.wraps(function)
    def wrapper(*arguments, **named):
        return [len(arguments), function(*arguments, **named)]
    return wrapper
@timed
def predict_fn(data, model, context): return type(context).__name__
""",
            [3, "Context"],
        ),
        (
            """
import functools
def given(function):
    @functools.wraps(function)
    def wrapper(data, model): return function(data, model, 42)
    return wrapper
@given
def predict_fn(data, model, answer): return [answer]
""",
            [42],
        ),
    ],
)
def test_functions_get_plain_arguments_and_the_context_where_they_ask_for_it(
    deploy: Deploy, script: str, told: object
) -> None:
    reply = deploy(ECHO + script).call([[1]])
    assert (reply.status, reply.json) == (200, told)


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("def predict_fn(data): pass", "predict_fn takes 1 arguments but 2 were given."),
        ("def predict_fn(a, b, c, d): pass", "predict_fn takes 4 arguments but 2 were given."),
        ("predict_fn = 3", "predict_fn must be a function, but it is a int"),
        ("def transform_fn(a, b, c, d): pass\ndef output_fn(a, b): pass", "Cannot use transform_fn"),
        ("raise SystemExit(3)", "the model's code called sys.exit(3)"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("x = (", "was never closed"),
        ("import cv2_of_nobody", "inference.py needs the Python module 'cv2_of_nobody', which is not here"),
        ("import numpy.nothing", "which the installed numpy lacks"),
        ("def model_fn(model_dir): import bs4_x.y", "-m pip install bs4-x"),
        ("def model_fn(model_dir): raise OSError('no disk')", "no disk\nTraceback (most recent call last)"),
        ("def handle(data, context): pass", "inference.py defines handle, which multi-model-server"),
        ("def input_handler(data, context): pass", "define model_fn(model_dir) and predict_fn(data, model)"),
        ("class Net:\n    def handle(self, data, context): pass", "the class Net with handle"),
        (
            "def model_fn(model_dir): return {}",
            "the model is a dict, which has neither predict nor transform",
        ),
        ("def helper(): pass", "Please provide a model_fn implementation.\nSee documentation"),
    ],
)
def test_what_cannot_serve_fails_at_load_with_the_reason(start: Deploy, script: str, sentence: str) -> None:
    told = start(script).failed()
    assert sentence in told
    assert "service/runner" not in told
    assert "importlib" not in told


SHAPES = (
    ECHO
    + """
import io, json
class Answer:
    status_code, content_type = 418, "text/x-tea"
    headers = {"x-amzn-sagemaker-custom-attributes": "hot=1"}
    def get_data(self): return b"short and stout"
RETURNED = {
    "text": "text", "bytes": b"bytes", "array": bytearray(b"array"), "view": memoryview(b"view"),
    "none": None,
    "pair": ("<a/>", "text/xml"), "no type": ("[0]", None), "status": ("no flower", 404), "list": [1, 2],
    "dict": {"a": 1}, "triple": (1, 2, 3), "nothing": (b"", "text/plain"), "odd": {1, 2},
    "response": Answer(), "pair of response": (Answer(), "text/csv"), "no kind": ("[0]", ""),
    "file": io.BytesIO(b"read\\nme"), "parts": iter(["a", b"b"]),
    "line": ("x", "text/plain\\r\\nX: y"), "200": ("fine", 200), "99": ("x", 99),
    "nan": [float("nan")], "long": ("x", "x" * 1025),
}
def input_fn(body, kind): return json.loads(body)
def predict_fn(name, model): return RETURNED[name]
def output_fn(prediction, accept): return prediction
"""
)


@pytest.mark.parametrize(
    ("name", "status", "body", "kind"),
    [
        ("text", 200, "text", "application/json"),
        ("bytes", 200, "bytes", "application/json"),
        ("array", 200, "array", "application/json"),
        ("view", 200, "view", "application/json"),
        ("pair", 200, "<a/>", "text/xml"),
        ("no type", 200, "[0]", "application/json"),
        ("status", 404, "no flower", "application/json"),
        ("200", 200, "fine", "application/json"),
        ("list", 200, "[1, 2]", "application/json"),
        ("dict", 200, '{"a": 1}', "application/json"),
        ("triple", 200, "[1, 2, 3]", "application/json"),
        ("nan", 200, "[NaN]", "application/json"),
        ("nothing", 200, "", "text/plain"),
        ("response", 418, "short and stout", "text/x-tea"),
        ("pair of response", 418, "short and stout", "text/x-tea"),
        ("no kind", 200, "[0]", "application/json"),
        ("file", 200, "read\nme", "application/json"),
        ("parts", 200, "ab", "application/json"),
    ],
)
def test_whatever_a_script_returns_is_sent_as_aws_sends_it(
    serving: Any, name: str, status: int, body: str, kind: str
) -> None:
    reply = serving(SHAPES).call(name)
    assert (reply.status, reply.text, reply.kind) == (status, body, kind)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("none", "output_fn returned nothing: return a body"),
        ("odd", "cannot be written as application/json: Object of type set is not JSON serializable."),
        ("line", "which no header can hold"),
        ("long", "of 1,025 characters: a header of AWS's has 1,024 at most."),
        ("99", "The model answers with the status 99: it must be from 200 to 599."),
    ],
)
def test_what_cannot_be_sent_is_the_models_fault(serving: Any, name: str, sentence: str) -> None:
    reply = serving(SHAPES).call(name)
    assert reply.status == 500
    assert sentence in reply.text


def test_an_endless_reason_is_told_in_part(deploy: Deploy) -> None:
    script = ECHO + "def predict_fn(data, model): raise ValueError('x' * 5_000_000)"
    reply = deploy(script).call([1])
    assert (reply.status, len(reply.body)) == (500, 1 << 16)


def test_a_response_may_carry_custom_attributes(serving: Any) -> None:
    assert serving(SHAPES).call("response").headers["x-amzn-sagemaker-custom-attributes"] == "hot=1"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [(None, "text/csv"), ("*/*", "text/csv"), ("", "text/csv"), ("a/b", "a/b"), ("a/b, c/d", "a/b, c/d")],
)
def test_accept_absent_or_any_is_the_default(serving: Any, accept: str | None, kind: str) -> None:
    script = ECHO + "def predict_fn(data, model): return 1\ndef output_fn(one, accept): return accept"
    container = serving(script, environment={"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv"})
    reply = container.call([1], accept=accept)
    assert (reply.text, reply.kind) == (kind, kind)


def test_a_dict_is_json_though_csv_was_asked_for(deploy: Deploy) -> None:
    script = ECHO + "def predict_fn(data, model): return 1\ndef output_fn(one, accept): return {'a': one}"
    reply = deploy(script).call([1], accept="text/csv")
    assert (reply.text, reply.kind) == ('{"a": 1}', "application/json")


ERRORS = (
    ECHO
    + """
import json, sys
class Toolkit(Exception):
    status_code, message = 422, "row 3 is empty"
class Late(BaseException): pass
def input_fn(body, kind): return json.loads(body)
def predict_fn(name, model):
    if name == "key": raise KeyError("colour")
    if name == "status": raise Toolkit("(422, 'row 3 is empty')")
    if name == "exit": sys.exit(3)
    if name == "base": raise Late("too late")
    if name == "interrupt": raise KeyboardInterrupt
    if name == "silent": raise RuntimeError
    if name == "module": import cv2_of_nobody
    if name == "deep": return predict_fn(name, model)
    if name == "memory": raise MemoryError("all of it")
    if name == "cause":
        try: 1 / 0
        except ZeroDivisionError as error: raise ValueError("later") from error
    return name
"""
)


@pytest.mark.parametrize(
    ("name", "status", "first"),
    [
        ("key", 500, "'colour'"),
        ("status", 422, "row 3 is empty"),
        ("exit", 500, "the model's code called sys.exit(3)"),
        ("base", 500, "too late"),
        ("interrupt", 500, "KeyboardInterrupt"),
        ("silent", 500, "RuntimeError"),
        ("module", 500, "the model needs the Python module 'cv2_of_nobody', which is not here"),
        ("deep", 500, "maximum recursion depth exceeded"),
        ("memory", 500, "all of it"),
    ],
)
def test_errors_become_a_status_and_their_message(serving: Any, name: str, status: int, first: str) -> None:
    container = serving(ERRORS)
    reply = container.call(name)
    assert reply.status == status
    assert reply.text.startswith(first)
    assert "service/runner" not in reply.text
    assert container.call("fine").json == "fine"


def test_the_traceback_has_the_models_frames_and_causes(serving: Any) -> None:
    text = serving(ERRORS).call("cause").text
    assert text.startswith("later\nTraceback (most recent call last):\n")
    assert "ZeroDivisionError" in text
    assert text.count("in predict_fn") == 2


CONTEXT = (
    ECHO
    + """
def transform_fn(model, body, kind, accept, context):
    if body == "headers":
        told = [context.get_request_header(0, "X-AMZN-sagemaker-custom-attributes"),
                context.get_request_header("none"), context.model_name, context.manifest["model"],
                context.request_processor[0].get_request_properties().get("Content-Type"),
                context.environment["LEVEL"], context.system_properties["batch_size"]]
        return told + [len(context.get_request_id(0)) > 5]
    context.metrics.add_counter("calls", 1)
    context.set_response_content_type(0, "text/plain")
    context.set_response_header(0, "X-Amzn-SageMaker-Custom-Attributes", "cached=1")
    context.set_response_header("X-Amzn-SageMaker-New-Session-Id", "s; Expires=2030-01-01T00:00:00Z")
    context.set_response_status(429 if body == "later" else 201, "Slow down")
    return "done"
"""
)


def test_the_context_tells_the_request(serving: Any) -> None:
    container = serving(CONTEXT, environment={"LEVEL": "3"})
    told = container.call(b"headers", None, X_Amzn_SageMaker_Custom_Attributes="trace=1").json
    assert told == ["trace=1", None, "model", {"modelName": "model"}, "application/json", "3", 1, True]


def test_the_context_shapes_the_answer(serving: Any) -> None:
    container = serving(CONTEXT, environment={"LEVEL": "3"})
    reply = container.call(b"do")
    assert (reply.status, reply.text, reply.kind) == (201, "done", "text/plain")
    assert reply.headers["x-amzn-sagemaker-custom-attributes"] == "cached=1"
    assert reply.headers["x-amzn-sagemaker-new-session-id"].startswith("s; ")
    assert container.call(b"later").status == 429


def test_bodies_are_text_for_the_two_exact_types(serving: Any) -> None:
    script = (
        ECHO
        + "def transform_fn(model, body, kind, accept): return [type(body).__name__, kind, str(body)[:5]]"
    )
    container = serving(script)
    assert container.call(b"1,2", "text/csv").json == ["str", "text/csv", "1,2"]
    assert container.call(b"{}", None).json == ["str", "application/json", "{}"]
    assert container.call(b"1,2", "text/csv; charset=utf-8").json[:2] == ["bytes", "text/csv; charset=utf-8"]
    assert container.call("größe".encode("latin-1"), "text/csv").json == [
        "str",
        "text/csv",
        "gr\ufffd\ufffde",
    ]


def test_predict_fn_gets_data_first_and_its_misfits_are_told_first(deploy: Deploy, iris: Any) -> None:
    container = deploy("def predict_fn(data, model): return model.predict(data)", model=iris)
    assert container.call(FLOWERS).json == [0, 2]
    reply = container.call([[1, 2]])
    assert reply.status == 400
    assert reply.text.startswith("X has 2 features, but LogisticRegression is expecting 4 (predict_fn: X has")


def test_execution_parameters_are_those_of_the_script(deploy: Deploy) -> None:
    path = "GET /execution-parameters"
    script = ECHO + "def predict_fn(data, model): return data\n"
    assert deploy(script).call(path=path).status == 404
    asked = deploy(script + "def execution_parameters_fn(): return {'MaxConcurrentTransforms': 2}").call(
        path=path
    )
    assert (asked.status, asked.json) == (200, {"MaxConcurrentTransforms": 2})


def test_ping_and_unknown_paths(serving: Any) -> None:
    container = serving(SHAPES)
    assert (container.call(path="GET /ping").status, container.call(path="GET /ping").body) == (200, b"")
    assert (container.call(path="POST /").status, container.call(path="POST /").body) == (404, b"{}")
