"""The functions of a script: how they are called, what stands in for those that it lacks, what may come back.

Source: contract A.8, A.9.
"""

from __future__ import annotations

import inspect
import json
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from .faults import Refused, worded
from .formats import CSV, JSON, Fitted, choose, decode, encode
from .serving import Answer, Request

ARGUMENTS: Mapping[str, int] = {
    "pre_model_fn": 1,
    "model_fn": 1,
    "model_warmup_fn": 2,
    "input_fn": 2,
    "predict_fn": 2,
    "output_fn": 2,
    "transform_fn": 4,
    "execution_parameters_fn": 0,
}
"""Arguments of each function that a script may define, without the optional context."""

_PASSED_ON = (
    "X-Amzn-SageMaker-Custom-Attributes",
    "X-Amzn-SageMaker-New-Session-Id",
    "X-Amzn-SageMaker-Closed-Session-Id",
)
_FOREIGN = {
    "handle": "multi-model-server and TorchServe call",
    "input_handler": "TensorFlow's container calls",
    "output_handler": "TensorFlow's container calls",
    "handler": "TensorFlow's container calls",
    "lambda_handler": "AWS Lambda calls",
}
_UNSENDABLE = re.compile("[\x00-\x1f\x7f-\x9f]|[^\x00-\xff]")
_TEXT_TYPES = (JSON, CSV)


class _Metrics:
    """What multi-model-server counts and times; nobody reads it here."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments, **named: None


class Context:
    """What a handler may ask about its request and say about its answer, as multi-model-server's.

    There the first argument is the request's index in its batch, always 0; it may be left out here.
    """

    def __init__(self, spec: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        self.system_properties: dict[str, Any] = {
            "model_dir": spec["model_dir"],
            "gpu_id": None,
            "batch_size": 1,
            "server_name": "sagebird",
            "server_version": "1.0",
        }
        self.model_name: str = spec["environment"].get("SAGEMAKER_MODEL_NAME", "model")
        self.manifest: dict[str, Any] = {"model": {"modelName": self.model_name}}
        self.environment = dict(spec["user_environment"])
        self.metrics = _Metrics()
        self.request_headers = {"Content-Type": JSON, **(headers or {})}
        self.request_ids = {0: self._find("X-Amzn-RequestId") or str(uuid.uuid4())}
        self.response_headers: dict[str, str] = {}
        self.response_status = 200
        self.request_processor = [self]

    def _find(self, key: str) -> str | None:
        return next((text for name, text in self.request_headers.items() if name.lower() == key.lower()), None)

    def get_request_id(self, idx: int = 0) -> str:
        """The id of the request."""
        return self.request_ids[0]

    def get_request_header(self, *index_and_key: Any) -> str | None:
        """The request's header of that name in any case, or None."""
        return self._find(str(index_and_key[-1]))

    def get_all_request_header(self, idx: int = 0) -> dict[str, str]:
        """All headers of the request."""
        return self.request_headers

    def get_response_headers(self, idx: int = 0) -> dict[str, str]:
        """The headers that were set."""
        return self.response_headers

    def set_response_header(self, *index_key_value: Any) -> None:
        """Add a header to the answer; custom attributes and session ids travel on."""
        key, value = index_key_value[-2:]
        self.response_headers[str(key).lower()] = str(value)

    def set_response_content_type(self, *index_and_value: Any) -> None:
        """Name the answer's Content-Type."""
        self.set_response_header("content-type", index_and_value[-1])

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        """Answer with this status."""
        self.response_status = code

    get_request_property = get_request_header
    get_request_properties = get_all_request_header
    add_response_property = set_response_header
    report_status = set_response_status


class Handler:
    """One function of a script, and how it wants the context: by position, by a name, or not at all."""

    def __init__(self, name: str, function: Any) -> None:
        if not callable(function):
            raise Refused(f"{name} must be a function, but it is a {type(function).__name__}", 500)
        self.function = function
        self.by_position = False
        self.by_name: str | None = None
        given, parameters = ARGUMENTS[name], _parameters(function)
        plain = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
        many = any(each.kind is each.VAR_POSITIONAL for each in parameters)
        needed = [each for each in plain[given:] if each.default is each.empty]
        named = [each.name for each in parameters[given:] if each.name in ("context", "ctx")]
        if len(needed) > 1 or (parameters and not many and len(plain) < given):
            called = getattr(function, "__name__", name)
            raise Refused(f"{called} takes {len(plain)} arguments but {given} were given.", 500)
        if needed or (named and plain[given:] and plain[given].name == named[0]):
            self.by_position = True
        elif named:
            self.by_name = named[0]

    @property
    def takes_context(self) -> bool:
        """Whether it is given the context."""
        return self.by_position or self.by_name is not None

    def __call__(self, context: Any, *arguments: Any) -> Any:
        """Call it as it wants to be called."""
        if self.by_position:
            return self.function(*arguments, context)
        if self.by_name:
            return self.function(*arguments, **{self.by_name: context})
        return self.function(*arguments)


def _parameters(function: Any) -> list[inspect.Parameter]:
    """Those of the function itself; of the one that it wraps, where it passes on whatever it is given."""
    try:
        found = [*inspect.signature(function, follow_wrapped=False).parameters.values()]
    except (ValueError, TypeError):  # one in C that does not tell
        return []
    wraps = hasattr(function, "__wrapped__") and any(each.kind is each.VAR_POSITIONAL for each in found)
    return _parameters(function.__wrapped__) if wraps else found


def read_handlers(script: Any, name: str) -> dict[str, Handler]:
    """The functions that a script defines. Raises Refused."""
    found = {each: getattr(script, each, None) for each in ARGUMENTS}
    handlers = {each: Handler(each, function) for each, function in found.items() if function is not None}
    if "transform_fn" in handlers and handlers.keys() & {"input_fn", "predict_fn", "output_fn"}:
        raise Refused(
            "Cannot use transform_fn implementation in conjunction with "
            "input_fn, predict_fn, and/or output_fn implementation",
            500,
        )
    if not handlers.keys() - {"execution_parameters_fn"}:
        _refuse_foreign(script, name)
    return handlers


def _refuse_foreign(script: Any, name: str) -> None:
    own = {each: thing for each, thing in vars(script).items() if callable(thing)}
    for each, thing in own.items():
        of_class = isinstance(thing, type) and thing.__module__ == script.__name__ and hasattr(thing, "handle")
        if each in _FOREIGN or of_class:
            what = f"the class {each} with a method handle" if of_class else each
            raise Refused(
                f"{name} defines {what}, which {_FOREIGN['handle' if of_class else each]}: "
                "define model_fn(model_dir) and predict_fn(data, model), and where needed "
                "input_fn(body, content_type) and output_fn(prediction, accept), or transform_fn",
                500,
            )


class Endpoint:
    """A loaded model and its script's functions: answers requests."""

    def __init__(self, spec: Mapping[str, Any], handlers: Mapping[str, Handler], model: Any) -> None:
        self._spec, self._handlers, self._model = spec, handlers, model
        self._default = spec["default_accept"]
        self._contextual = any(each.takes_context for each in handlers.values())
        built_in = not handlers.keys() & {"predict_fn", "transform_fn"}
        self._fitted = Fitted(model) if built_in else None
        self._input, self._predict, self._output, self._transform = (
            handlers.get(f"{name}_fn") for name in ("input", "predict", "output", "transform")
        )

    def answer(self, request: Request) -> Answer:
        """Answer a request, whatever the model's code does."""
        try:
            if request.path == "/invocations" and request.method == "POST":
                return self._invoke(request)
            if request.path == "/ping":
                return Answer(200, b"")
            parameters = self._handlers.get("execution_parameters_fn")
            if request.path == "/execution-parameters" and parameters is not None:
                return self._reply(parameters(None), JSON, None)
            return Answer(404, b"{}", JSON)
        except BaseException as error:  # edge: what the model's code may raise
            status, text = worded(error)
            return Answer(status, text.encode("utf-8", "replace"), "text/plain; charset=utf-8")

    def _invoke(self, request: Request) -> Answer:
        headers = {name.lower(): value for name, value in request.headers.items()}
        kind = headers.get("contenttype") or headers.get("content-type") or JSON
        accept = headers.get("accept", "")
        accept = self._default if accept in ("", "*/*") else accept
        context = Context(self._spec, request.headers) if self._contextual else None
        body = request.body
        given = body.decode("utf-8", "replace") if kind in _TEXT_TYPES else body
        if self._transform:
            return self._reply(self._transform(context, self._model, given, kind, accept), accept, context)
        data = self._input(context, given, kind) if self._input else decode(body, kind, self._fitted)
        prediction = self._fitted.predict(data) if self._fitted else self._predicted(context, data)
        if self._output:
            return self._reply(self._output(context, prediction, accept), accept, context)
        return self._reply((prediction,), choose(accept, self._default), context)

    def _predicted(self, context: Context | None, data: Any) -> Any:
        """What predict_fn says; where it fails on rows of a wrong width, that is told first."""
        assert self._predict is not None  # noqa: S101 - else built-in code predicts
        try:
            return self._predict(context, data, self._model)
        except Exception as error:
            width = getattr(self._model, "n_features_in_", None)
            has = data.shape[1] if getattr(data, "ndim", 0) == 2 else width
            if self._input or not isinstance(width, int) or has == width or hasattr(error, "status_code"):
                raise
            said = f"X has {has} features, but {type(self._model).__name__} is expecting {width}"
            raise Refused(f"{said} (predict_fn: {error}).") from error

    def _reply(self, result: Any, accept: str, context: Context | None) -> Answer:
        status, kind, extra = 200, accept, {}
        if context is not None:
            status, extra = context.response_status, context.response_headers
            kind = extra.get("content-type", accept)
        if callable(getattr(result, "get_data", None)) and hasattr(result, "status_code"):  # as flask's Response
            status, kind = result.status_code, getattr(result, "content_type", None) or result.mimetype
            extra = {name.lower(): value for name, value in dict(getattr(result, "headers", {})).items()}
            result = result.get_data()
        elif isinstance(result, tuple) and len(result) == 1:  # a built-in answer, of any kind
            result = encode(result[0], kind)
        elif isinstance(result, tuple) and len(result) == 2:
            result, second = result
            if isinstance(second, int):
                status = second  # (body, status), as in flask
            elif second is None:
                kind = JSON
            else:
                kind = str(second)
        return _checked(status, *self._written(result, kind), extra)

    def _written(self, result: Any, kind: str) -> tuple[bytes, str]:
        if isinstance(result, str):
            return result.encode("utf-8", "replace"), kind
        if isinstance(result, (bytes, bytearray, memoryview)):
            return bytes(result), kind
        if result is None:
            name = "transform_fn" if self._transform else "output_fn"
            raise Refused(f"{name} returned nothing: return a body, or a body and its Content-Type", 500)
        if isinstance(result, dict) and kind.startswith(CSV):
            return json.dumps(result, default=str).encode(), JSON
        media_type = choose(kind, self._default)
        return encode(result, media_type), media_type


def _checked(status: Any, body: bytes, kind: str, extra: Mapping[str, str]) -> Answer:
    """Raises Refused for what HTTP cannot carry."""
    headers = tuple((name, extra[name.lower()]) for name in _PASSED_ON if name.lower() in extra)
    for name, value in (("Content-Type", kind), *headers):
        if _UNSENDABLE.search(value):
            raise Refused(
                f"The model answers with the {name} {value!r}, which no header can hold: it has a line break, "
                "another control character, or a letter that is not in ISO-8859-1.",
                500,
            )
    if type(status) is not int or not 200 <= status <= 599:
        raise Refused(f"The model answers with the status {status!r}: it must be from 200 to 599.", 500)
    return Answer(status, body, kind, headers)
