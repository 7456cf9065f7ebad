"""The operations of CloudWatch Logs on events: put, read in order, find by what they hold.

A line that was printed for a request is found by that request's id though it does not hold it: a term of a
pattern is met by what a line holds, or by the id of the request for which it was printed.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from service.control.logs.context import LogsContext, LogsFields, LogsOutput, missing, refuse
from service.domain.log_patterns import read_log_pattern
from service.store.log_tables import EVENT_BYTES
from service.store.logs import EventQuery, LogEvent, LogGroup, LogStream

_MOST_EVENTS: Final = 10_000
_MOST_ANSWER_BYTES: Final = 1 << 20
_MOST_PUT_BYTES: Final = 1_048_576
_MOST_MESSAGE_BYTES: Final = 1_048_576
_DAY_MS: Final = 86_400_000
_LATEST_MS: Final = 2 * 3_600_000  # ahead of now
_OLDEST_MS: Final = 14 * _DAY_MS
_MOST_SEARCHED: Final = 500  # streams of one query


def put_log_events(context: LogsContext, fields: LogsFields) -> LogsOutput:
    """PutLogEvents. Source: its API reference, for limits and what is rejected."""
    group = context.group_named(fields["logGroupName"])
    stream = context.stream(group, fields["logStreamName"])
    events = [(event["timestamp"], event["message"]) for event in fields["logEvents"]]
    _check_batch(events)
    oldest_ms = context.now_ms - _OLDEST_MS
    if group.retention_days is not None:
        oldest_ms = max(oldest_ms, context.now_ms - group.retention_days * _DAY_MS)
    old = sum(at_ms < oldest_ms for at_ms, _ in events)
    new = sum(at_ms <= context.now_ms + _LATEST_MS for at_ms, _ in events)
    if events[old:new]:
        context.store.put_events(stream, events[old:new])
    rejected: dict[str, int] = {}
    if old:
        rejected["tooOldLogEventEndIndex"] = old
    if new < len(events):
        rejected["tooNewLogEventStartIndex"] = new
    token = {"nextSequenceToken": f"{context.now_ms:056d}"}
    return {**token, "rejectedLogEventsInfo": rejected} if rejected else token


def get_log_events(context: LogsContext, fields: LogsFields) -> LogsOutput:
    """GetLogEvents: a page of one stream, forward or backward; at the end the token stays the same."""
    group = context.group(fields)
    stream = context.stream(group, fields["logStreamName"])
    token = fields.get("nextToken")
    way, place = ("f", None) if token is None else _read_token(token)
    last = way == "b" or (token is None and not fields.get("startFromHead", False))
    query = EventQuery(
        [stream.id],
        fields.get("limit", _MOST_EVENTS),
        fields.get("startTime"),
        fields.get("endTime"),
        after=place if way == "f" else None,
        before=place if way == "b" else None,
        last=last,
    )
    events = _fitting(context.store.events(query), last=last)
    first, end = (events[0].place, events[-1].place) if events else (place, place)
    return {
        "events": [_shown(event) for event in events],
        "nextForwardToken": _token("f", end),
        "nextBackwardToken": _token("b", first),
    }


def filter_log_events(context: LogsContext, fields: LogsFields) -> LogsOutput:
    """FilterLogEvents: a page of what several streams of a group hold, in the order of time."""
    group = context.group(fields)
    streams = _searched(context, group, fields)
    most, token = fields.get("limit", _MOST_EVENTS), fields.get("nextToken")
    end_ms = fields.get("endTime")
    query = EventQuery(
        [stream.id for stream in streams],
        most + 1,
        fields.get("startTime"),
        None if end_ms is None else end_ms + 1,  # which is of the page itself here
        after=None if token is None else _read_token(token)[1],
        pattern=read_log_pattern(fields.get("filterPattern", "")),
    )
    found = context.store.events(query)
    events = _fitting(found[:most])
    page = {"events": [_shown_found(event) for event in events], "searchedLogStreams": []}
    return page if len(events) == len(found) else {**page, "nextToken": _token("f", events[-1].place)}


def _searched(context: LogsContext, group: LogGroup, fields: LogsFields) -> Sequence[LogStream]:
    names, prefix = fields.get("logStreamNames"), fields.get("logStreamNamePrefix")
    if names and prefix:
        refuse("logStreamNamePrefix and logStreamNames cannot both be specified.")
    found = context.store.streams(group, prefix or "")
    if names:
        known = {stream.name: stream for stream in found}
        if not known.keys() >= set(names):
            missing("The specified log stream does not exist.")
        found = [known[name] for name in dict.fromkeys(names)]
    # beyond that many it is the ones with the newest lines that somebody looks for
    return sorted(found, key=lambda stream: stream.last_ms or 0)[-_MOST_SEARCHED:]


def _check_batch(events: Sequence[tuple[int, str]]) -> None:
    sizes = [len(message.encode()) + EVENT_BYTES for _, message in events]
    if sum(sizes) > _MOST_PUT_BYTES:
        refuse(f"Upload too large: {sum(sizes)} bytes exceeds limit of {_MOST_PUT_BYTES}")
    if any(size > _MOST_MESSAGE_BYTES for size in sizes):
        refuse(f"Log event too large: {max(sizes)} bytes exceeds limit of {_MOST_MESSAGE_BYTES}")
    times = [at_ms for at_ms, _ in events]
    if times != sorted(times):
        refuse("Log events in a single PutLogEvents request must be in chronological order.")
    if times[-1] - times[0] > _DAY_MS:
        refuse("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")


def _fitting(events: Sequence[LogEvent], *, last: bool = False) -> Sequence[LogEvent]:
    """As many as fit an answer, one at least: the first ones, or the `last`."""
    size_bytes = taken = 0
    for event in reversed(events) if last else events:
        size_bytes += len(event.message.encode()) + EVENT_BYTES
        if taken and size_bytes > _MOST_ANSWER_BYTES:
            break
        taken += 1
    return events[len(events) - taken :] if last else events[:taken]


def _token(way: str, place: tuple[int, int] | None) -> str:
    at_ms, number = (0, 0) if place is None else place
    return f"{way}/{at_ms:020d}{number:020d}/s"


def _read_token(token: str) -> tuple[str, tuple[int, int]]:
    way, _, rest = token.partition("/")
    digits = rest.removesuffix("/s")
    if way not in ("f", "b") or len(digits) != 40 or not (digits.isdecimal() and digits.isascii()):
        refuse("The specified nextToken is invalid.")
    return way, (int(digits[:20]), int(digits[20:]))


def _shown(event: LogEvent) -> Mapping[str, Any]:
    return {"timestamp": event.at_ms, "message": event.message, "ingestionTime": event.taken_ms}


def _shown_found(event: LogEvent) -> Mapping[str, Any]:
    event_id = f"{event.at_ms:020d}{event.id:036d}"
    return {"logStreamName": event.stream, **_shown(event), "eventId": event_id}
