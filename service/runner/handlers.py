"""The functions of a script: how they are called, what stands in for those it lacks, what may come back.

Source: contract A.8, A.9.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from os import getpid
from typing import Any

from .faults import RefusedCall, worded
from .formats import CSV, JSON, Fitted, choose, decode, encode, outputs
from .serving import Request, WrittenAnswer
from .standins.mms.context import Context

ARGUMENTS = {
    **{"pre_model_fn": 1, "model_fn": 1, "model_warmup_fn": 2, "execution_parameters_fn": 0},
    **{"input_fn": 2, "predict_fn": 2, "output_fn": 2, "transform_fn": 4},
}
"""Arguments of each function that a script may define, without the optional context."""

_PASSED_ON = tuple(
    f"X-Amzn-SageMaker-{name}" for name in ("Custom-Attributes", "New-Session-Id", "Closed-Session-Id")
)
_FOREIGN = {
    "handle": "multi-model-server and TorchServe call",
    **dict.fromkeys(("input_handler", "output_handler", "handler"), "TensorFlow's container calls"),
    "lambda_handler": "AWS Lambda calls",
}
_MOST_HEADER_CHARS = 1024  # Source: botocore, shapes Header and CustomAttributesHeader
_MOST_TEXT_BYTES = 1 << 16  # of what went wrong
_MOST_KNOWN = 256
_UNSENDABLE = re.compile("[\x00-\x1f\x7f-\x9f]|[^\x00-\xff]")


class ScriptFunction:
    """One function of a script, and how it wants the context: in its place, by name, or not at all."""

    def __init__(self, name: str, function: Any) -> None:
        if not callable(function):
            raise RefusedCall(f"{name} must be a function, but it is a {type(function).__name__}", 500)
        self.function = function
        self.in_place = False
        self.by_name: str | None = None
        given, found = ARGUMENTS[name], _parameters(function)
        if found is None:
            return
        places = [each for each in found if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
        needed = [each for each in places[given:] if each.default is each.empty]
        starred = any(each.kind is each.VAR_POSITIONAL for each in found)
        if len(needed) > 1 or (len(places) < given and not starred):
            called = getattr(function, "__name__", name)
            raise RefusedCall(f"{called} takes {len(places)} arguments but {given} were given.", 500)
        named = [each for each in found if each.name in ("context", "ctx") and each not in places[:given]]
        self.in_place = bool(needed) or named[:1] == places[given : given + 1] != []
        if named and not self.in_place:
            self.by_name = named[0].name

    def __call__(self, context: Any, *arguments: Any) -> Any:
        """Call it with plain arguments, and with the context if it wants it."""
        if self.in_place:
            return self.function(*arguments, context)
        if self.by_name:
            return self.function(*arguments, **{self.by_name: context})
        return self.function(*arguments)


def _parameters(function: Any) -> list[inspect.Parameter] | None:
    """A function's own; those of the one that it wraps, where it passes on whatever it is given."""
    try:
        found = [*inspect.signature(function, follow_wrapped=False).parameters.values()]
    except (ValueError, TypeError):  # one in C that does not tell, as that of lru_cache
        return _parameters(function.__wrapped__) if hasattr(function, "__wrapped__") else None
    passes_on = hasattr(function, "__wrapped__") and any(each.kind is each.VAR_POSITIONAL for each in found)
    return _parameters(function.__wrapped__) if passes_on else found


def read_handlers(script: Any, file_name: str) -> dict[str, ScriptFunction]:
    """The functions that a script defines. Raises RefusedCall."""
    found = {name: getattr(script, name, None) for name in ARGUMENTS}
    handlers = {
        name: ScriptFunction(name, function) for name, function in found.items() if function is not None
    }
    if "transform_fn" in handlers and handlers.keys() & {"input_fn", "predict_fn", "output_fn"}:
        raise RefusedCall(
            "Cannot use transform_fn implementation in conjunction with "
            "input_fn, predict_fn, and/or output_fn implementation",
            500,
        )
    for name, thing in vars(script).items() if not handlers else ():
        of_class = (
            isinstance(thing, type) and thing.__module__ == script.__name__ and hasattr(thing, "handle")
        )
        if of_class or (name in _FOREIGN and callable(thing)):
            told = f"the class {name} with handle" if of_class else name
            raise RefusedCall(
                f"{file_name} defines {told}, which {_FOREIGN['handle' if of_class else name]}: define "
                "model_fn(model_dir) and predict_fn(data, model), and where needed "
                "input_fn(body, content_type) and output_fn(prediction, accept), or "
                "transform_fn(model, body, content_type, accept)",
                500,
            )
    return handlers


class ScriptedModel:
    """A loaded model and its script's functions, which answer requests."""

    def __init__(self, spec: Mapping[str, Any], handlers: Mapping[str, ScriptFunction], model: Any) -> None:
        self._spec, self._handlers, self._model = spec, handlers, model
        self.worker = 0
        """The process that answers by it."""
        self._default: str = spec["default_accept"]
        self._contextual = any(each.in_place or each.by_name for each in handlers.values())
        by_script = handlers.keys() & {"predict_fn", "transform_fn"}
        self._fitted = None if by_script else Fitted(model)
        self._output = outputs("" if by_script else spec["environment"].get("SAGEMAKER_INFERENCE_OUTPUT", ""))

    def answer(self, request: Request) -> WrittenAnswer:
        """Answer a request, whatever the model's code does."""
        try:
            method, path = request.head[:2]
            if path == "/invocations" and method == "POST":
                return self._invoke(request)
            if path == "/ping":
                return WrittenAnswer(200, b"")
            parameters = self._handlers.get("execution_parameters_fn")
            if path == "/execution-parameters" and parameters is not None:
                return self._reply(parameters(None), JSON, None)
            return WrittenAnswer(404, b"{}", JSON)
        except BaseException as error:  # edge: the model's code may raise whatever it likes
            if getpid() != self.worker:
                raise  # a child that it forked answers nobody
            status, text = worded(error)
            told = text[:_MOST_TEXT_BYTES].encode("utf-8", "replace")[:_MOST_TEXT_BYTES]
            return WrittenAnswer(status, told, "text/plain; charset=utf-8")

    def _invoke(self, request: Request) -> WrittenAnswer:
        headers = request.head.plain
        kind = headers.get("content-type") or JSON
        accept = headers.get("accept", "")
        accept = self._default if accept in ("", "*/*") else accept
        context = None
        if self._contextual:
            given = {"Content-Type": JSON, **request.head.headers}
            context = Context(self._spec["model_dir"], self._spec["user_environment"], given)
        # exactly these two types are text. Source: inference toolkit, content_types.py
        body = request.body.decode("utf-8", "replace") if kind in (JSON, CSV) else request.body
        own = self._handlers.get
        if transform := own("transform_fn"):
            return self._reply(transform(context, self._model, body, kind, accept), accept, context)
        read, write = own("input_fn"), own("output_fn")
        # its accept may be of a type that only the script knows
        form, output = (JSON, ()) if write else choose(accept, self._default)
        data = read(context, body, kind) if read else decode(request.body, kind, self._fitted)
        if self._fitted is None:
            prediction = self._predict(context, data)
        else:
            prediction = self._fitted.predict(data, output or self._output, form)
        result = write(context, prediction, accept) if write else encode(prediction, form)
        return self._reply(result, accept if write else form, context)

    def _predict(self, context: Context | None, data: Any) -> Any:
        """What predict_fn says; where it fails on rows of a wrong width, that is told first."""
        try:
            return self._handlers["predict_fn"](context, data, self._model)
        except Exception as error:
            width = getattr(self._model, "n_features_in_", None)
            has = data.shape[1] if getattr(data, "ndim", 0) == 2 else width
            known = isinstance(width, int) and "input_fn" not in self._handlers
            if not known or has == width or hasattr(error, "status_code"):
                raise
            said = f"X has {has} features, but {type(self._model).__name__} is expecting {width}"
            raise RefusedCall(f"{said} (predict_fn: {error}).") from error

    def _reply(self, result: Any, kind: str, context: Context | None) -> WrittenAnswer:
        status: Any = 200
        headers: Mapping[str, str] = {}
        if context is not None:
            status, headers = context.response_status, context.response_headers
            kind = headers.get("content-type", kind)
        if isinstance(result, tuple) and len(result) == 2:
            result, said = result
            if isinstance(said, int):  # (body, status), as in flask
                status = said
            else:
                kind = str(said) if said else JSON
        plain = isinstance(result, (str, bytes))
        if not plain and hasattr(result, "get_data") and hasattr(result, "status_code"):  # as flask's
            status, kind = result.status_code, getattr(result, "content_type", None) or result.mimetype
            headers = {name.lower(): value for name, value in dict(getattr(result, "headers", {})).items()}
            result = result.get_data()
        return _checked(status, *self._written(result, kind), headers)

    def _written(self, result: Any, kind: str) -> tuple[bytes, str]:
        if isinstance(result, str):
            return result.encode("utf-8", "replace"), kind
        if isinstance(result, (bytes, bytearray, memoryview)):
            return bytes(result), kind
        if hasattr(result, "__next__"):  # an open file, or parts that are made one by one
            return b"".join(part.encode() if isinstance(part, str) else part for part in result), kind
        if result is None:
            name = "transform_fn" if "transform_fn" in self._handlers else "output_fn"
            raise RefusedCall(f"{name} returned nothing: return a body, or a body and its Content-Type", 500)
        if isinstance(result, dict) and kind == CSV:
            return encode(result, JSON), JSON
        media_type, _ = choose(kind, self._default)
        return encode(result, media_type), media_type


def _checked(status: Any, body: bytes, kind: str, found: Mapping[str, str]) -> WrittenAnswer:
    """Raises RefusedCall for what HTTP cannot carry."""
    _check_header("Content-Type", kind)
    names = _PASSED_ON if found else ()
    headers = tuple((name, found[name.lower()]) for name in names if name.lower() in found)
    for name, value in headers:
        _check_header(name, value)
    if type(status) is not int or not 200 <= status <= 599:
        raise RefusedCall(f"The model answers with the status {status!r}: it must be from 200 to 599.", 500)
    return WrittenAnswer(status, body, kind, headers)


@lru_cache(_MOST_KNOWN)
def _check_header(name: str, value: str) -> None:
    """Raises RefusedCall for a value that is not to be sent; which ones may be is remembered."""
    if _UNSENDABLE.search(value):
        raise RefusedCall(
            f"The model answers with the {name} {json.dumps(value)}, which no header can hold: it has "
            "a line break, another control character, or a letter that is not in ISO-8859-1.",
            500,
        )
    if len(value) > _MOST_HEADER_CHARS:
        raise RefusedCall(
            f"The model answers with the {name} {json.dumps(value[:40])}… of {len(value):,} characters: "
            f"a header of AWS's has {_MOST_HEADER_CHARS:,} at most.",
            500,
        )
