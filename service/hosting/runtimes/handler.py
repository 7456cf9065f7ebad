"""The inference.py contract: which functions a script may define, how they are called, what may come back.

Source: contract A.8 (sagemaker-inference-toolkit 2.x, transformer.py). Where it differs, it is kinder on
purpose: a wrong number of parameters is told when the model loads and not at the first request; the context
belongs to the request and not to the first request of the worker; what `output_fn` returns need not be text
or bytes.

User code runs inside the server's process, in several threads at once when the replica allows that.
`os.environ` is not changed for it, because models share the process: the model's own variables are in
`context.environment`.
Not in here: where the functions come from (user_code), which model they serve (model).
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np

from service.errors import BadPayload, ModelFailure, ModelFault
from service.hosting.runtimes.user_code import code_fault
from service.media.codec import Accept, choose_accept, decode, encode
from service.media.readers import plain_rows
from service.media.tables import PLAIN, HeaderUse, Takes, shown_names
from service.media.types import CSV, JSON

TEXT_TYPES = frozenset({JSON, CSV})
"""Exactly these Content-Types give a handler its body as str. Source: inference toolkit, content_types.py."""

ARGUMENTS: Mapping[str, int] = MappingProxyType(
    {
        "pre_model_fn": 1,
        "model_fn": 1,
        "model_warmup_fn": 2,
        "input_fn": 2,
        "predict_fn": 2,
        "output_fn": 2,
        "transform_fn": 4,
    }
)
"""Arguments of each function that a script may define, without the optional context at the end."""

CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
NEW_SESSION = "X-Amzn-SageMaker-New-Session-Id"
CLOSED_SESSION = "X-Amzn-SageMaker-Closed-Session-Id"


class Context:
    """What a handler may ask about its request and say about its response.

    Offers what the model servers of AWS offer, where the first argument is the request's index in its batch
    (always 0), and the same without the index. Source: multi-model-server, mms/context.py.
    """

    def __init__(
        self, model_dir: Path, environment: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> None:
        self.system_properties: dict[str, Any] = {
            "model_dir": str(model_dir),
            "gpu_id": None,
            "batch_size": 1,
        }
        self.environment = MappingProxyType(dict(environment))
        self.request_headers: dict[str, str] = dict(headers or {})
        self.response_headers: dict[str, str] = {}
        self.response_status = 200

    @property
    def request_processor(self) -> "tuple[Context]":
        """The request as `request_processor[0]`."""
        return (self,)

    def get_request_header(self, *index_and_key: int | str) -> str | None:
        """The request's header of that name in any case, or None: `(key)` or `(0, key)`."""
        return _find(self.request_headers, str(index_and_key[-1]))

    get_request_property = get_request_header

    def get_all_request_header(self, index: int = 0) -> dict[str, str]:
        """All headers of the request."""
        return self.request_headers

    get_request_properties = get_all_request_header

    def set_response_header(self, *index_key_value: int | str) -> None:
        """Add a response header, `(key, value)` or `(0, key, value)`.

        Custom attributes and session ids travel on.
        """
        key, value = index_key_value[-2:]
        self.response_headers[str(key).lower()] = str(value)

    add_response_property = set_response_header

    def set_response_content_type(self, *index_and_value: int | str) -> None:
        """Name the response's Content-Type, `(value)` or `(0, value)`; it wins over what Accept asked for."""
        self.set_response_header("content-type", index_and_value[-1])

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        """Answer with this status; from 400 on the answer is the model's fault."""
        self.response_status = code

    @property
    def content_type(self) -> str | None:
        """The Content-Type that the handler asked for."""
        return self.response_headers.get("content-type")

    @property
    def custom_attributes(self) -> str | None:
        """The custom attributes that the handler set."""
        return self.response_headers.get(CUSTOM_ATTRIBUTES.lower())


@dataclass(frozen=True, slots=True)
class UserFunction:
    """A function of a script, with what its parameter count says."""

    function: Callable[..., Any]
    takes_context: bool

    def __call__(self, context: Context, *arguments: object) -> Any:
        """Call it. Raises ModelFault."""
        try:
            return self.function(*arguments, context) if self.takes_context else self.function(*arguments)
        except BaseException as error:  # edge: user code may raise whatever it likes
            raise code_fault(error) from error


def read_functions(script: ModuleType) -> dict[str, UserFunction]:
    """The functions of the contract that a script defines. Raises ModelFailure."""
    functions = {
        name: _read_function(name, getattr(script, name), count)
        for name, count in ARGUMENTS.items()
        if getattr(script, name, None) is not None
    }
    if "transform_fn" in functions and functions.keys() & {"input_fn", "predict_fn", "output_fn"}:
        raise ModelFailure(
            "Cannot use transform_fn implementation in conjunction with "
            "input_fn, predict_fn, and/or output_fn implementation"
        )
    return functions


def _read_function(name: str, function: object, count: int) -> UserFunction:
    if not callable(function):
        raise ModelFailure(f"{name} must be a function, but it is a {type(function).__name__}")
    try:
        taken = len(inspect.signature(function).parameters)
    except ValueError:
        raise ModelFailure(f"{name} does not tell its parameters: define it with def") from None
    if taken not in (count, count + 1):
        called = getattr(function, "__name__", name)
        raise ModelFailure(f"{called} takes {taken} arguments but {count} were given.")
    return UserFunction(function, takes_context=taken == count + 1)


class Handler:
    """A script's functions around a loaded model, with built-in ones for what the script leaves out.

    `default_predict` is None when the script has a `predict_fn` or a `transform_fn`; it takes `takes`.
    """

    def __init__(
        self,
        functions: Mapping[str, UserFunction],
        model: object,
        default_predict: Callable[[Any, Accept], Any] | None,
        default_accept: str,
        takes: Takes = PLAIN,
    ) -> None:
        self._takes = takes
        self._functions = functions
        self.model = model
        self._default_predict = default_predict
        self._default_accept = default_accept

    @property
    def headers(self) -> HeaderUse:
        """Who reads the header line of a CSV."""
        if self._functions.keys() & {"input_fn", "transform_fn"}:
            return HeaderUse.GIVEN
        return HeaderUse.REFUSED if self._default_predict is None else HeaderUse.KNOWN

    def respond(
        self, context: Context, body: bytes, content_type: str | None, accept: str | None
    ) -> tuple[bytes, str]:
        """The response's body and Content-Type. Raises ModelFault."""
        given = JSON if content_type is None else content_type
        wanted = self._default_accept if accept is None or accept in ("", "*/*") else accept
        result = self._run(context, body, given, wanted)
        if isinstance(result, tuple) and len(result) == 2:  # (body, Content-Type)
            result, wanted = result
        named = context.content_type if context.content_type is not None else str(wanted)
        encoded, written = self._write(result, named)
        if context.response_status in range(400, 600):
            raise ModelFault(encoded.decode("utf-8", "replace"), context.response_status)
        return encoded, written

    def _run(self, context: Context, body: bytes, content_type: str, accept: str) -> Any:
        transform = self._functions.get("transform_fn")
        if transform is not None:
            return transform(context, self.model, _as_given(body, content_type), content_type, accept)
        data = self._read(context, body, content_type)
        prediction = self._predict(context, data, accept)
        output = self._functions.get("output_fn")
        if output is not None:
            return output(context, prediction, accept)
        media_type = self._choose(accept).media_type
        return encode(prediction, media_type), media_type

    def _read(self, context: Context, body: bytes, content_type: str) -> Any:
        function = self._functions.get("input_fn")
        if function is None:
            rows = decode(body, content_type, self._takes)
            return plain_rows(rows) if self._default_predict is None else rows
        return function(context, _as_given(body, content_type), content_type)

    def _predict(self, context: Context, data: Any, accept: str) -> Any:
        if self._default_predict is None:
            return self._predict_by_script(context, data)
        if "output_fn" in self._functions:  # its accept may be of a type that only the script knows
            return self._default_predict(data, Accept(JSON, None))
        return self._default_predict(data, self._choose(accept))

    def _predict_by_script(self, context: Context, data: Any) -> Any:
        """What predict_fn says; where it fails on rows that the model cannot take, that is told first.

        They are not refused beforehand: predict_fn may make columns, or read records.
        """
        try:
            return self._functions["predict_fn"](context, data, self.model)
        except ModelFailure as failure:
            misfit = None if "input_fn" in self._functions else _misfit(data, self.model)
            if misfit is None:
                raise
            said = failure.message.partition("\n")[0].rstrip(".:")
            raise BadPayload(f"{misfit} (predict_fn: {said}).") from failure

    def _choose(self, accept: str) -> Accept:
        return choose_accept(accept, default=self._default_accept)

    def _write(self, result: object, content_type: str) -> tuple[bytes, str]:
        if isinstance(result, str):
            return result.encode(), content_type
        if isinstance(result, bytes | bytearray | memoryview):
            return bytes(result), content_type
        if result is None:
            name = "transform_fn" if "transform_fn" in self._functions else "output_fn"
            raise ModelFailure(f"{name} returned nothing: return a body, or a body and its Content-Type")
        media_type = self._choose(content_type).media_type
        return encode(result, media_type), media_type


def _misfit(data: Any, model: object) -> str | None:
    """Why a model cannot take what built-in code read for its predict_fn; None where that is not known."""
    features = getattr(model, "n_features_in_", None)
    if not isinstance(features, int):
        return None
    names = getattr(model, "feature_names_in_", None)
    told = "" if names is None else f": {shown_names([*map(str, names)])}"
    columns = f"{features} column{'' if features == 1 else 's'}{told}"
    if isinstance(data, list):
        return (
            "Records are given to this model's predict_fn as they are, as it defines no input_fn, and it "
            f"failed on them: send rows of {columns}."
        )
    if np.ndim(data) != 2 or data.shape[1] == features:
        return None
    return f"X has {data.shape[1]} features, but {type(model).__name__} is expecting {columns}."


def _as_given(body: bytes, content_type: str) -> str | bytes:
    if content_type not in TEXT_TYPES:
        return body
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise BadPayload(f"the body is not UTF-8, which {content_type} must be: {error}") from error


def _find(headers: Mapping[str, str], key: str) -> str | None:
    return next((value for name, value in headers.items() if name.lower() == key.lower()), None)
