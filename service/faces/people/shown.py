"""Answers with names of files in them, which need not be UTF-8: such bytes are shown as escapes."""

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

import orjson
from fastapi.responses import HTMLResponse, PlainTextResponse, Response


def json_answer(document: Mapping[str, Any]) -> Response:
    """A document as JSON; dataclasses are objects."""
    try:
        content = orjson.dumps(document)
    except TypeError:
        content = orjson.dumps(_shown(document))
    return Response(content, media_type="application/json")


def text_answer(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Plain text."""
    return PlainTextResponse(_shown(text), status, headers)


def page_answer(page: str) -> Response:
    """A page of HTML."""
    return HTMLResponse(_shown(page))


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, Mapping):
        return {_shown(key): _shown(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(each) for each in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _shown(asdict(value))
    return value
