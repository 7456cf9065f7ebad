import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st

from service.floods import MOST_WHOLE
from service.log import LogFormat, Trouble, configure, get_logger, tell_left_out

LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
FORGED = '\n{"time": "2026-01-01T00:00:00Z", "level": "error", "event": "forged"}\x1b[2J\u2028\x85forged'


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _standard_logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def open_log(form: LogFormat = "json", level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    configure(level, form, stream)
    return stream


def read_events(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail(message: str) -> None:
    raise LookupError(message)


def test_an_event_is_one_json_line_with_time_level_logger_event_and_fields() -> None:
    stream = open_log()

    get_logger("sagebird.test").info("model loaded", model="churn", size_bytes=12, share=0.5)

    (event,) = read_events(stream)
    assert list(event) == ["time", "level", "logger", "event", "model", "size_bytes", "share"]
    assert (event["level"], event["logger"], event["event"]) == ("info", "sagebird.test", "model loaded")
    assert (event["model"], event["size_bytes"], event["share"]) == ("churn", 12, 0.5)
    assert stream.getvalue().endswith("\n")


def test_times_are_utc_in_iso_form() -> None:
    stream = open_log()

    get_logger("t").info("x")

    assert datetime.fromisoformat(read_events(stream)[0]["time"]).utcoffset() == timedelta(0)


def test_bound_fields_and_context_fields_are_in_the_line() -> None:
    stream = open_log()

    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        get_logger("t").bind(endpoint="e").info("answered")

    (event,) = read_events(stream)
    assert (event["request_id"], event["endpoint"]) == ("r-1", "e")


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_events_below_the_level_are_dropped(level: str, expected: list[str]) -> None:
    stream = open_log(level=level)

    for method in ("debug", "info", "warning", "error"):
        getattr(get_logger("t"), method)("x")

    assert [event["level"] for event in read_events(stream)] == expected


def test_a_logger_kept_from_before_follows_a_new_configuration() -> None:
    first = open_log(level="error")
    logger = get_logger("t")
    logger.info("unseen")

    second = open_log(level="info")
    logger.info("seen")

    assert first.getvalue() == ""
    assert [event["event"] for event in read_events(second)] == ["seen"]


def test_configuring_twice_writes_each_event_once() -> None:
    stream = io.StringIO()
    configure("info", "json", stream)
    configure("info", "json", stream)

    get_logger("t").info("once")

    assert len(read_events(stream)) == 1


def test_the_log_goes_to_stderr_unless_told_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")

    get_logger("t").info("here")

    captured = capsys.readouterr()
    assert json.loads(captured.err)["event"] == "here"
    assert captured.out == ""


def test_an_exception_is_one_json_line() -> None:
    stream = open_log()

    try:
        fail("first\nsecond")
    except LookupError:
        get_logger("t").exception("loading failed", model="m")

    (event,) = read_events(stream)
    assert (event["level"], event["event"], event["model"]) == ("error", "loading failed", "m")
    assert event["exception"].startswith("Traceback")
    assert "LookupError: first\nsecond" in event["exception"]
    assert "exc_info" not in event


@pytest.mark.parametrize("name", ["uvicorn", "uvicorn.error", "uvicorn.access", "asyncio", "some.library"])
def test_loggers_of_libraries_write_the_same_lines(name: str) -> None:
    stray = io.StringIO()
    logging.getLogger("uvicorn").addHandler(logging.StreamHandler(stray))
    logging.getLogger("uvicorn").propagate = False
    stream = open_log()

    logging.getLogger(name).warning("took %s s\n", 3)

    (event,) = read_events(stream)
    assert list(event) == ["time", "level", "logger", "event"]
    assert (event["level"], event["logger"], event["event"]) == ("warning", name, "took 3 s")
    assert stray.getvalue() == ""


@pytest.mark.parametrize("form", ["json", "text"])
def test_an_exception_of_a_library_is_shown_too(form: LogFormat) -> None:
    stream = open_log(form)

    try:
        fail("no such row")
    except LookupError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application\n")

    assert "LookupError: no such row" in stream.getvalue()


def test_warnings_become_events() -> None:
    stream = open_log()

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("model is from another version", UserWarning, stacklevel=1)

    (event,) = read_events(stream)
    assert event["logger"] == "py.warnings"
    assert "model is from another version" in event["event"]


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("place", ["event", "field", "key", "nested", "exception", "stack", "library"])
def test_a_newline_in_a_value_can_not_forge_a_line(form: LogFormat, place: str) -> None:
    stream = open_log(form)
    logger = get_logger("t")

    match place:
        case "event":
            logger.info("x" + FORGED)
        case "key":
            logger.info("x", **{"k" + FORGED: 1})
        case "nested":
            logger.info("x", value=[FORGED, Odd()])
        case "library":
            logging.getLogger("uvicorn.access").info("GET %s", FORGED)
        case _:
            logger.info("x", **{place: FORGED})

    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b[2J" not in stream.getvalue()


class Odd:
    def __repr__(self) -> str:
        return FORGED


@given(st.text(st.one_of(st.characters(), st.sampled_from(LINE_ENDS))), st.sampled_from(["json", "text"]))
@example(LINE_ENDS, "text")
@example("\udc80", "json")
def test_no_text_whatever_ends_a_line(text: str, form: LogFormat) -> None:
    stream = open_log(form)

    get_logger("t").info("got", value=text, other=Odd())

    assert len(stream.getvalue().splitlines()) == 1
    if form == "json":
        assert read_events(stream)[0]["value"] == text


def test_a_traceback_in_text_is_indented_so_that_it_can_not_forge_a_line() -> None:
    stream = open_log("text")

    try:
        fail("bad" + FORGED)
    except LookupError:
        get_logger("t").exception("loading failed")

    first, *rest = stream.getvalue().splitlines()
    assert "loading failed" in first
    assert rest
    assert all(line.startswith("    ") for line in rest)
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), {(1, 2): 3}, {"a": float("nan")}],
    ids=["nan", "infinity", "odd key", "nested nan"],
)
def test_a_value_that_json_lacks_is_shown_as_text(value: object) -> None:
    stream = open_log()

    get_logger("t").info("x", value=value, size_bytes=3, ready=True, reason=None)

    (event,) = read_events(stream)
    assert event["value"] == repr(value)
    assert (event["size_bytes"], event["ready"], event["reason"]) == (3, True, None)


def test_fields_can_not_pass_for_the_time_level_or_logger_of_an_event() -> None:
    stream = open_log()

    get_logger("t").info("x", level="error", time="never", logger="other")

    (event,) = read_events(stream)
    assert (event["level"], event["logger"]) == ("info", "t")
    assert event["time"] != "never"


def test_text_shows_event_and_fields_without_colours_off_a_terminal() -> None:
    stream = open_log("text")

    get_logger("t").warning("model evicted", model="churn", size_bytes=12)

    line = stream.getvalue()
    assert "warning" in line
    assert "model evicted" in line
    assert "model=churn" in line
    assert "size_bytes=12" in line
    assert "\x1b" not in line


def test_auto_is_json_off_a_terminal_and_text_on_one() -> None:
    pipe, terminal = io.StringIO(), Terminal()

    configure("info", "auto", pipe)
    get_logger("t").info("x")
    configure("info", "auto", terminal)
    get_logger("t").info("x")

    assert pipe.getvalue().startswith("{")
    assert not terminal.getvalue().startswith("{")


@pytest.mark.parametrize(("level", "form"), [("loud", "json"), ("info", "xml")])
def test_an_unknown_level_or_form_is_refused(level: str, form: Any) -> None:
    with pytest.raises(ValueError, match="no such log level or form"):
        configure(level, form, sys.stderr)


def flood(count: int, level: str = "info", event: str = "request failed", **fields: object) -> None:
    for number in range(count):
        getattr(get_logger("sagebird.test"), level)(event, request_id=str(number), **fields)


@pytest.mark.parametrize("form", ["json", "text"])
def test_failures_in_a_flood_are_counted_after_the_first_few(form: LogFormat) -> None:
    stream = open_log(form)

    flood(1000, code="ValidationError", path="/endpoints/nosuch/invocations", reason="why")
    tell_left_out()

    *first, last = stream.getvalue().splitlines()
    assert len(first) == MOST_WHOLE
    assert "990 more in " in (json.loads(last)["event"] if form == "json" else last)
    assert "ValidationError" in last
    assert "/endpoints/nosuch/invocations" in last
    assert "request_id" not in last


def test_one_kind_of_failure_does_not_hide_another() -> None:
    stream = open_log()

    flood(1000, code="ValidationError", path="/a")
    flood(1, code="ModelError", path="/a")
    flood(1, code="ValidationError", path="/b")

    assert [(event["code"], event["path"]) for event in read_events(stream)[-2:]] == [
        ("ModelError", "/a"),
        ("ValidationError", "/b"),
    ]


def test_a_caller_that_thinks_of_ever_new_places_is_counted_as_well() -> None:
    stream = open_log()

    for number in range(3000):
        flood(1, code="ValidationError", path=f"/endpoints/{number}/invocations")
    tell_left_out()

    events = read_events(stream)
    assert len(events) < 50
    assert any("more in" in event["event"] and "path" not in event for event in events)


def test_what_is_no_failure_is_written_each_time() -> None:
    stream = open_log()

    flood(100, event="model loaded")

    assert len(read_events(stream)) == 100


def test_warnings_and_lines_of_libraries_are_counted_too() -> None:
    stream = open_log()

    flood(100, "warning", "model not loaded")
    for number in range(100):
        logging.getLogger("uvicorn.error").warning("bad request from %s: 100%%", number)
    tell_left_out()

    counts = [event["event"] for event in read_events(stream) if "more in" in event["event"]]
    assert len(counts) == 2
    assert counts[1].startswith("bad request from 99: 100% … 90 more in")


def test_the_traceback_of_one_place_is_written_once_and_then_only_the_reason() -> None:
    stream = open_log()
    logger = get_logger("sagebird.test")

    for raised in (LookupError, LookupError, OSError):
        try:
            raise raised("the reason")
        except (LookupError, OSError):
            logger.exception("loop failed")
    for _ in range(2):
        try:
            fail("again")
        except LookupError:
            logging.getLogger("library").exception("loop %s", "failed")

    events = read_events(stream)
    assert ["exception" in event for event in events] == [True, False, True, True, False]
    assert events[1]["reason"] == "LookupError: the reason"
    assert events[4]["event"] == "loop failed: LookupError: again"


def test_a_trouble_is_told_when_it_begins_changes_and_is_over_for_a_while() -> None:
    stream, now_s = open_log(), [0.0]
    trouble = Trouble(get_logger("sagebird.test"), "loop cannot work", lambda: now_s[0])

    for reason in ("full", "full", "locked"):
        trouble.meet(reason)
        trouble.end()
    now_s[0] = 60.0
    trouble.end()
    trouble.end()

    told = [(event["event"], event.get("reason")) for event in read_events(stream)]
    assert told == [
        ("loop cannot work", "full"),
        ("loop cannot work", "locked"),
        ("loop cannot work: this is over", None),
    ]
    assert not trouble.met


@pytest.mark.parametrize(("level", "told"), [("info", []), ("debug", ["HTTP Request: GET /ping"])])
def test_requests_that_the_server_sends_itself_are_told_to_who_looks_closely(
    level: str, told: list[str]
) -> None:
    stream = open_log(level=level)

    logging.getLogger("httpx").info("HTTP Request: %s", "GET /ping")

    assert [event["event"] for event in read_events(stream)] == told
