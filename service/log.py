"""Logging: one line per event, the same for our own loggers and for those of libraries.

`get_logger` works before `configure`, and a logger kept from before follows it: the level and the form of a
line belong to the standard library's root logger, which `configure` sets up.
"""

import json
import logging
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

Form = Literal["auto", "json", "text"]
Logger = BoundLogger

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class _Handler(logging.StreamHandler[TextIO]):
    """The one handler that `configure` installs; the type lets a second call find the first one's."""


def configure(level: str, form: Form, stream: TextIO | None = None) -> None:
    """Send every event of at least `level` to `stream` (default: stderr), one line each.

    `auto` writes text to a terminal and json elsewhere. Python's warnings become events of `py.warnings`.

    Raises:
        ValueError: no such level or form.
    """
    if level not in _LEVELS or form not in ("auto", "json", "text"):
        raise ValueError(f"no such log level or form: {level}, {form}")
    target = sys.stderr if stream is None else stream
    handler = _Handler(target)
    handler.setFormatter(_make_formatter(form, target.isatty()))
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(_LEVELS[level])
    for name in (
        "uvicorn",
        "uvicorn.error",
        "uvicorn.access",
    ):  # uvicorn may have given them handlers of its own
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    logging.captureWarnings(True)


def get_logger(name: str) -> Logger:
    """A logger whose methods take an event and fields: `logger.info("model loaded", model=name)`."""
    logger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            structlog.stdlib.filter_by_level,
            *_stamps(),
            ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=BoundLogger,
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return cast(Logger, logger)


def _stamps() -> list[Processor]:
    """What every event gets; after the fields, so that no field can pass for its time, level or logger."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]


def _make_formatter(form: Form, terminal: bool) -> ProcessorFormatter:
    text = terminal if form == "auto" else form == "text"
    own: list[Processor] = [ProcessorFormatter.remove_processors_meta]
    own += _text_steps(terminal) if text else [structlog.processors.format_exc_info, _render_json]
    return ProcessorFormatter(processors=own, foreign_pre_chain=[_strip_event, *_stamps()])


def _strip_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["event"] = event[
        "event"
    ].rstrip()  # e.g. uvicorn ends "Exception in ASGI application" with a newline
    return event


def _render_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    ordered = {key: event.pop(key) for key in ("time", "level", "logger", "event")} | dict(event)
    # Left at ASCII on purpose: it escapes newlines, U+2028 and lone surrogates alike.
    try:
        return json.dumps(ordered, default=repr, allow_nan=False)
    except (TypeError, ValueError):  # a NaN, a key that is no string, a circle: shown rather than lost
        return json.dumps({str(key): _plain(value) for key, value in ordered.items()})


def _plain(value: object) -> str | int | bool | None:
    return value if value is None or isinstance(value, str | int) else repr(value)


def _text_steps(terminal: bool) -> list[Processor]:
    console = structlog.dev.ConsoleRenderer(
        colors=terminal and os.name != "nt",  # colours on Windows would need one more library
        timestamp_key="time",
        sort_keys=False,
        exception_formatter=cast(Callable[[TextIO, ExcInfo], None], _write_traceback),
    )
    return [_escape_fields, console]


def _escape_fields(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Leave nothing in the fields that could end a line, or steer a terminal."""
    escaped: dict[str, Any] = {}
    for key, value in event.items():
        if key == "exc_info":
            escaped[key] = value
        elif key in ("exception", "stack"):  # the console would give these a line of their own
            escaped[f"{key}_"] = _escape(str(value))
        else:
            escaped[_escape(key)] = _escape_value(value)
    return escaped


def _escape_value(value: object) -> object:
    if isinstance(value, str):
        return _escape(value)
    shown = repr(value)
    return value if shown.isprintable() else _escape(shown)


def _escape(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _write_traceback(out: TextIO, error: ExcInfo) -> None:
    """Write a traceback with every line indented, so that none of it can pass for an event."""
    for line in "".join(traceback.format_exception(*error)).splitlines():
        out.write(f"\n    {_escape(line)}")
