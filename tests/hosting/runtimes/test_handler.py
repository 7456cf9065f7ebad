"""The inference.py contract: which functions, how called, what comes back."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from service.hosting.runtimes.handler import ARGUMENTS, Context, Handler, read_functions

from service.errors import BadPayload, ModelFailure, ModelFault, NotAcceptable
from service.media.codec import Accept

MODEL = {"factor": 2}


def script(**functions: object) -> ModuleType:
    module = ModuleType("inference")
    module.__dict__.update(functions)
    return module


def double(data: Any, accept: Accept) -> Any:
    return np.asarray(data).sum(axis=1) * 2


def handler(accept: str = "application/json", **functions: object) -> Handler:
    served_by_script = functions.keys() & {"predict_fn", "transform_fn"}
    return Handler(read_functions(script(**functions)), MODEL, None if served_by_script else double, accept)


def context(**headers: str) -> Context:
    return Context(Path("models/a"), {"LEVEL": "3"}, headers)


def respond(
    functions: dict[str, object],
    body: bytes = b"[[1, 2]]",
    content_type: str | None = "application/json",
    accept: str | None = None,
    default_accept: str = "application/json",
) -> tuple[bytes, str]:
    return handler(default_accept, **functions).respond(context(), body, content_type, accept)


def note(seen: list[Any], value: object, result: object) -> object:
    seen.append(value)
    return result


def function_of(count: int) -> Callable[..., Any]:
    names = "".join(f"{name}, " for name in "abcdef"[:count])
    return eval(f"lambda {names}: ({names})")  # type: ignore[no-any-return]  # noqa: S307 - our own text


@pytest.mark.provenance("documented")
@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize(("name", "count"), list(ARGUMENTS.items()))
def test_each_function_takes_its_arguments_and_perhaps_the_context(name: str, count: int, extra: int) -> None:
    function = read_functions(script(**{name: function_of(count + extra)}))[name]
    here = context()
    arguments = tuple(range(count))
    assert function.takes_context == bool(extra)
    assert function(here, *arguments) == (*arguments, here)[: count + extra]


@pytest.mark.provenance("documented")
@pytest.mark.parametrize("offset", [-1, 2])
@pytest.mark.parametrize(("name", "count"), list(ARGUMENTS.items()))
def test_a_wrong_number_of_parameters_fails_at_load(name: str, count: int, offset: int) -> None:
    function = function_of(count + offset)
    function.__name__ = name
    with pytest.raises(ModelFailure) as caught:
        read_functions(script(**{name: function}))
    assert caught.value.message == f"{name} takes {count + offset} arguments but {count} were given."


def test_a_starred_parameter_counts_as_one() -> None:
    def predict_fn(*arguments: object) -> object:
        return arguments

    with pytest.raises(ModelFailure, match=r"^predict_fn takes 1 arguments but 2 were given.$"):
        read_functions(script(predict_fn=predict_fn))


def test_callable_objects_and_none_are_understood() -> None:
    class Predict:
        def __call__(self, data: object, model: object) -> object:
            return data

    assert list(read_functions(script(predict_fn=Predict(), input_fn=None))) == ["predict_fn"]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [(3, "model_fn must be a function, but it is a int"), (dict, "model_fn does not tell its parameters")],
)
def test_what_is_no_proper_function_fails_at_load(value: object, sentence: str) -> None:
    with pytest.raises(ModelFailure, match=sentence):
        read_functions(script(model_fn=value))


@pytest.mark.provenance("documented")
@pytest.mark.parametrize("name", ["input_fn", "predict_fn", "output_fn"])
def test_transform_fn_stands_alone(name: str) -> None:
    with pytest.raises(ModelFailure) as caught:
        read_functions(script(transform_fn=function_of(4), **{name: function_of(2)}))
    assert caught.value.message == (
        "Cannot use transform_fn implementation in conjunction with "
        "input_fn, predict_fn, and/or output_fn implementation"
    )


@pytest.mark.provenance("documented")
def test_predict_fn_gets_data_first_and_transform_fn_the_model_first() -> None:
    seen: list[object] = []
    respond({"predict_fn": lambda data, model: note(seen, (type(data), model), [1])})
    respond(
        {"transform_fn": lambda model, data, ctype, accept: note(seen, (model, data, ctype, accept), "x")}
    )
    assert seen == [(np.ndarray, MODEL), (MODEL, "[[1, 2]]", "application/json", "application/json")]


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("application/json", str),
        ("text/csv", str),
        (None, str),
        ("text/csv; charset=utf-8", bytes),
        ("text/plain", bytes),
    ],
)
@pytest.mark.parametrize("name", ["input_fn", "transform_fn"])
def test_body_is_text_only_for_the_two_exact_types(name: str, content_type: str | None, kind: type) -> None:
    seen: list[object] = []
    functions: dict[str, dict[str, object]] = {
        "input_fn": {"input_fn": lambda body, ctype: note(seen, (type(body), ctype), [[1]])},
        "transform_fn": {
            "transform_fn": lambda model, body, ctype, accept: note(seen, (type(body), ctype), "x")
        },
    }
    respond(functions[name], b"1,2", content_type)
    assert seen == [(kind, "application/json" if content_type is None else content_type)]


def test_text_that_is_not_utf8_is_the_callers_fault() -> None:
    with pytest.raises(BadPayload, match="UTF-8"):
        respond({"input_fn": function_of(2)}, b"\xff", "text/csv")


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    ("accept", "seen"),
    [(None, "text/csv"), ("*/*", "text/csv"), ("", "text/csv"), ("a/b", "a/b"), ("a/b, */*", "a/b, */*")],
)
def test_accept_absent_or_any_is_the_default(accept: str | None, seen: str) -> None:
    answer = respond(
        {"output_fn": lambda prediction, accept: accept}, accept=accept, default_accept="text/csv"
    )
    assert answer == (seen.encode(), seen)


@pytest.mark.parametrize(
    ("returned", "answer"),
    [
        ("text", (b"text", "application/json")),
        (b"bytes", (b"bytes", "application/json")),
        (bytearray(b"array"), (b"array", "application/json")),
        (memoryview(b"view"), (b"view", "application/json")),
        (("<a/>", "text/xml"), (b"<a/>", "text/xml")),
        ((b"", "text/plain"), (b"", "text/plain")),
        ([1, 2], (b"[1, 2]", "application/json")),
        ({"a": 1}, (b'{"a": 1}', "application/json")),
        ((np.array([1, 2]), "text/csv"), (b"1\n2\n", "text/csv")),
        ((1, 2, 3), (b"[1, 2, 3]", "application/json")),
    ],
)
@pytest.mark.parametrize("name", ["output_fn", "transform_fn"])
def test_what_comes_back(name: str, returned: object, answer: tuple[bytes, str]) -> None:
    functions: dict[str, dict[str, object]] = {
        "output_fn": {"output_fn": lambda prediction, accept: returned},
        "transform_fn": {"transform_fn": lambda model, data, ctype, accept: returned},
    }
    assert respond(functions[name]) == answer


@pytest.mark.parametrize(
    "functions", [{"output_fn": lambda a, b: None}, {"transform_fn": lambda a, b, c, d: None}], ids="".join
)
def test_nothing_returned_is_told(functions: dict[str, object]) -> None:
    with pytest.raises(ModelFailure, match=f"{next(iter(functions))} returned nothing"):
        respond(functions)


def test_defaults_stand_in_for_what_is_missing() -> None:
    assert respond({}, b"1,2\n3,4\n", "text/csv", "text/csv") == (b"6.0\n14.0\n", "text/csv")
    assert respond({"input_fn": lambda body, ctype: [[5, 5]]}) == (b"[20]", "application/json")
    assert respond({"predict_fn": lambda data, model: data * model["factor"]}) == (
        b"[[2.0, 4.0]]",
        "application/json",
    )


def test_output_fn_may_serve_a_type_that_only_it_knows() -> None:
    assert respond({"output_fn": lambda prediction, accept: str(prediction[0])}, accept="text/html") == (
        b"6.0",
        "text/html",
    )


def test_default_output_refuses_what_it_cannot_write() -> None:
    with pytest.raises(NotAcceptable):
        respond({}, accept="text/html")


def test_faults_of_the_default_codec_pass_unchanged() -> None:
    with pytest.raises(BadPayload):
        respond({"predict_fn": function_of(2)}, b"{")


def test_errors_of_user_code_carry_message_and_traceback() -> None:
    def predict_fn(data: object, model: object) -> object:
        raise KeyError("colour")

    with pytest.raises(ModelFailure) as caught:
        respond({"predict_fn": predict_fn})
    assert caught.value.status == 500
    assert caught.value.message.startswith("'colour'\nTraceback (most recent call last):\n")
    assert "in predict_fn" in caught.value.message
    assert "service/hosting" not in caught.value.message


@pytest.mark.parametrize("stop", [SystemExit(1), KeyboardInterrupt()])
def test_user_code_cannot_end_the_server(stop: BaseException) -> None:
    def predict_fn(data: object, model: object) -> object:
        raise stop

    with pytest.raises(ModelFailure):
        respond({"predict_fn": predict_fn})


def test_an_error_of_user_code_may_carry_its_status() -> None:
    class ToolkitError(Exception):
        status_code = 422
        message = "row 3 is empty"

    def input_fn(body: object, content_type: object) -> object:
        raise ToolkitError

    with pytest.raises(ModelFault) as caught:
        respond({"input_fn": input_fn})
    assert (caught.value.status, caught.value.message) == (422, "row 3 is empty")


def test_context_tells_the_request() -> None:
    here = context(**{"X-Amzn-SageMaker-Custom-Attributes": "trace=1"})
    name = "x-amzn-sagemaker-custom-attributes"
    assert here.system_properties["model_dir"] == "models/a"
    assert here.environment["LEVEL"] == "3"
    assert here.get_request_header(name) == "trace=1"
    assert here.get_request_header(0, name) == "trace=1"
    assert here.get_request_header("Absent") is None
    assert here.request_processor[0].get_request_property(name) == "trace=1"
    assert here.get_all_request_header(0) == here.request_processor[0].get_request_properties()
    assert here.get_all_request_header() is here.request_headers


def test_context_shapes_the_response() -> None:
    def transform_fn(model: object, data: object, content_type: str, accept: str, context: Context) -> str:
        context.set_response_content_type(0, "text/plain")
        context.set_response_header(0, "X-Amzn-SageMaker-Custom-Attributes", "cached=1")
        context.set_response_status(201)
        return "done"

    here = context()
    assert handler(transform_fn=transform_fn).respond(here, b"", None, None) == (b"done", "text/plain")
    assert (here.custom_attributes, here.response_status) == ("cached=1", 201)


def test_a_status_from_400_on_is_the_models_fault() -> None:
    def output_fn(prediction: object, accept: str, context: Context) -> str:
        context.set_response_status(code=429, phrase="Slow down")
        return json.dumps("later")

    with pytest.raises(ModelFault) as caught:
        handler(output_fn=output_fn).respond(context(), b"[[1]]", None, None)
    assert (caught.value.status, caught.value.message) == (429, '"later"')


def test_requests_do_not_see_each_others_context() -> None:
    seen: list[Context] = []
    served = handler(output_fn=lambda prediction, accept, context: note(seen, context, "x"))
    for _ in range(2):
        served.respond(context(), b"[[1]]", None, None)
    assert seen[0] is not seen[1]


class Fitted:
    n_features_in_ = 2
    feature_names_in_ = ("width", "length")


@pytest.mark.parametrize(
    ("body", "kind", "sentence"),
    [
        (b"1.4", "text/csv", "X has 1 features, but Fitted is expecting 2 columns: width, length."),
        (b'[{"width": 1, "length": 2}]', None, "send rows of 2 columns: width, length."),
    ],
)
def test_rows_that_only_the_script_could_take_are_refused_once_it_fails(
    body: bytes, kind: str | None, sentence: str
) -> None:
    def predict_fn(data: Any, model: object) -> object:
        raise TypeError("expected 2D array")

    functions = read_functions(script(predict_fn=predict_fn))
    with pytest.raises(BadPayload) as caught:
        Handler(functions, Fitted(), None, "application/json").respond(context(), body, kind, None)
    assert sentence in caught.value.message
    assert caught.value.message.endswith("(predict_fn: expected 2D array).")
    assert caught.value.status == 400


def test_a_script_may_make_columns_and_read_records_and_its_own_faults_stay() -> None:
    functions = read_functions(script(predict_fn=lambda data, model: len(data)))
    able = Handler(functions, Fitted(), None, "application/json")
    assert able.respond(context(), b"1.4", "text/csv", None)[0] == b"1"
    assert able.respond(context(), b'[{"a": 1}]', None, None)[0] == b"1"
    wrong = read_functions(script(predict_fn=lambda data, model: data.nothing))
    with pytest.raises(ModelFailure, match="nothing"):
        Handler(wrong, Fitted(), None, "application/json").respond(context(), b"1,2", "text/csv", None)
