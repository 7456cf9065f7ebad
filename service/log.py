"""Logging: one line per event, the same for our own loggers and for those of libraries.

`get_logger` works before `configure`, and a logger kept from before follows it: the level and the form of a
line belong to the standard library's root logger, which `configure` sets up.
"""

import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from copy import copy
from typing import Any, Literal, TextIO, cast

from service.floods import INTERVAL_S, Floods, LeftOut, Seldom
from service.imports import left_out

with left_out("rich"):  # it would be for tracebacks, which are written in a way of their own here
    import structlog
    from structlog.stdlib import BoundLogger, ProcessorFormatter
    from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

LogFormat = Literal["auto", "json", "text"]
Logger = BoundLogger

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


_CALM_S = 5.0


REQUEST_FAILED = "request failed"
"""The event of a request that failed: callers make as many of these as they like."""

# What tells failures of one event apart; whoever calls chooses some of it, so that kinds are counted, too.
_TELLING = ("code", "status", "endpoint", "path", "operation", "model", "role", "job")
_MOST_KINDS_OF_CALLERS = 20
_MOST_KINDS = 500
_TRACEBACK_S = 60.0


class _Handler(logging.StreamHandler[TextIO]):
    """The one handler that `configure` installs; the type lets a second call find the first one's.

    Failures of one kind that come in a flood are counted after the first few: whoever calls in a loop must
    not fill the disk. The traceback of one place is written once a minute.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._floods = Floods()
        self._tracebacks = Seldom(_TRACEBACK_S)
        self._teller: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or count it. Called with the handler's lock held."""
        fault = _fault_of(record)
        if fault is not None and not self._tracebacks.admit(_origin(record, fault)):
            record = _without_traceback(record, fault)
        kind = _kind_of(record, fault)
        if kind is None:
            super().emit(record)
            return
        if not self._floods.knows(kind) and len(self._floods) >= _most_kinds(record):
            kind = kind[:3]
        if self._floods.admit(kind, (record, kind)):
            super().emit(record)
        elif self._teller is None or not self._teller.is_alive():  # it did not follow a fork
            self._teller = threading.Thread(target=self._tell_on, name="log", daemon=True)
            self._teller.start()

    def tell(self, *, early: bool = False) -> int:
        """Write how many lines were left out; `early` does not wait for the end of their interval."""
        self.acquire()
        try:
            left_out = self._floods.take(early=early)
            for each in left_out:
                super().emit(_summary(each))
            return len(left_out)
        finally:
            self.release()

    def _tell_on(self) -> None:
        """Write counts as long as there are some."""
        while True:
            time.sleep(INTERVAL_S)
            if not self.tell():
                return


def tell_left_out() -> None:
    """Write how many failures were counted and not written so far: before a process ends."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Handler):
            handler.tell(early=True)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """Fields of an event of ours; of a library's line only its text, before values are put into it."""
    return record.msg if isinstance(record.msg, dict) else {"event": str(record.msg)}


def _fault_of(record: logging.LogRecord) -> BaseException | None:
    told = _fields(record).get("exc_info") or record.exc_info
    if told is True:
        told = sys.exc_info()
    return told[1] if isinstance(told, tuple) else told if isinstance(told, BaseException) else None


def _origin(record: logging.LogRecord, fault: BaseException) -> tuple[str, ...]:
    """What a traceback is known by: who told it, its kind, and the place where it was raised."""
    place = ""
    for frame, line in traceback.walk_tb(fault.__traceback__):
        place = f"{frame.f_code.co_filename}:{line}"
    return record.name, str(_fields(record).get("event")), type(fault).__qualname__, place


def _kind_of(record: logging.LogRecord, fault: BaseException | None) -> tuple[str, ...] | None:
    """What a failure is told apart by; None for what is no failure."""
    fields = _fields(record)
    event = str(fields.get("event"))
    if record.levelno < logging.WARNING and event != REQUEST_FAILED:
        return None
    telling = (str(fields.get(name, "")) for name in _TELLING)
    return record.name, record.levelname, event, type(fault).__qualname__, *telling


def _most_kinds(record: logging.LogRecord) -> int:
    return _MOST_KINDS_OF_CALLERS if _fields(record).get("event") == REQUEST_FAILED else _MOST_KINDS


def _without_traceback(record: logging.LogRecord, fault: BaseException) -> logging.LogRecord:
    stripped = copy(record)
    stripped.exc_info = stripped.exc_text = None
    reason = f"{type(fault).__qualname__}: {fault}"
    if isinstance(record.msg, dict):
        rest = {name: value for name, value in record.msg.items() if name != "exc_info"}
        stripped.msg = {"reason": reason[:500], **rest}
    else:
        stripped.msg, stripped.args = f"{record.getMessage().rstrip()}: {reason[:500]}", ()
    return stripped


def _summary(left_out: LeftOut) -> logging.LogRecord:
    """The line that stands for those that were left out: what they had in common, and how many they were."""
    record, kind = left_out.example
    summary: logging.LogRecord = copy(record)
    count = f" … {left_out.count:,} more in {left_out.seconds:.3g} s"
    shared = _TELLING if len(kind) > 3 else ()
    if isinstance(record.msg, dict):
        kept = {name: record.msg[name] for name in ("time", "level", "logger", *shared) if name in record.msg}
        summary.msg = {"event": kind[2] + count, **kept}
    else:
        summary.msg, summary.args = record.getMessage().rstrip() + count, ()
    return summary


def configure(level: str, form: LogFormat, stream: TextIO | None = None) -> None:
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
    # What uvicorn tells of every gateway's start and stop is told by the family already; httpx tells of each
    # request that it sends, as the many looks at a container.
    for name in ("uvicorn.error", "httpx"):
        logging.getLogger(name).setLevel(logging.NOTSET if level == "debug" else logging.WARNING)
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


class Trouble:
    """What keeps a loop from its work, told when it begins or becomes another, and when it is over."""

    def __init__(self, logger: Logger, event: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._event = event
        self._monotonic = monotonic
        self._reason = ""
        self._met_s = 0.0

    @property
    def met(self) -> bool:
        """Whether the trouble has begun and is not over."""
        return bool(self._reason)

    def meet(self, reason: str) -> None:
        """The loop could not do its work."""
        self._met_s = self._monotonic()
        if reason != self._reason:
            self._reason = reason
            self._logger.warning(self._event, reason=reason)

    def end(self) -> None:
        """It could: the trouble is over once that is so for a while, as not every round needs all."""
        if self._reason and self._monotonic() - self._met_s > _CALM_S:
            self._reason = ""
            self._logger.warning(f"{self._event}: this is over")


def _stamps() -> list[Processor]:
    """What every event gets; after the fields, so that no field can pass for its time, level or logger."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]


def _make_formatter(form: LogFormat, terminal: bool) -> ProcessorFormatter:
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
