"""The command that shows what models and jobs print, as CloudWatch Logs' clients are shown it: logs."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer

from service.arn import log_group
from service.cli.refusal import fail
from service.cli.server import OperationRefused, Url, hint_names, operate
from service.cli.told import told_lines
from service.domain.log_places import TRANSFORM_JOBS

_LOGS: Final = "Logs_20140328"
_MISSING: Final = "ResourceNotFoundException"
_NO_JOB: Final = (
    "ResourceNotFound",
    "ValidationException",
)  # the latter, too, where no job can have that name
_LOOK_S: Final = 1.0
_PAGE: Final = 1_000
_LATE_MS: Final = 10_000  # so much later a line may come whose time is earlier
_SINCE: Final = re.compile(r"(\d{1,6})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def logs(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="An endpoint, a batch transform job, or a log group.")
    ],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    request: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Only what was printed for this request.", show_default=False),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option("--filter", help="Only lines with these terms, as AWS has them.", show_default=False),
    ] = None,
    since: Annotated[str, typer.Option(help="How far back: 90s, 15m, 2h, 3d.")] = "1h",
    url: Url = "",
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON for each.")] = False,
) -> None:
    """Show what an endpoint's models print, or those of a batch transform job, oldest first.

    The id of a request stands in its answer, as x-amzn-RequestId.
    """
    begin = datetime.now(UTC) - _span(since)
    wanted: dict[str, Any] = {"startTime": int(begin.timestamp() * 1000), "limit": _PAGE}
    terms = [*([json.dumps(request)] if request else []), *([pattern] if pattern else [])]
    if terms:
        wanted["filterPattern"] = " ".join(terms)
    try:
        place = _place(url, name, waits=follow)
        for event in _followed(url, {**place, **wanted}) if follow else _found(url, {**place, **wanted}):
            typer.echo(json.dumps(event) if as_json else _line(event))
    except OperationRefused as refused:
        fail(refused.message)
    except KeyboardInterrupt:
        raise typer.Exit from None


def _span(text: str) -> timedelta:
    found = _SINCE.fullmatch(text)
    if found is None:
        fail(f"--since takes a number and s, m, h or d, as 15m, not {text!r}.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _place(url: str, name: str, *, waits: bool) -> Mapping[str, Any]:
    """The group, and of a job the streams, that somebody means. Ends the command where there is none."""
    if name.startswith("/"):
        return {"logGroupName": name}
    group = log_group(name)
    if _streams(url, {"logGroupName": group}):
        return {"logGroupName": group}
    of_job = {"logGroupName": TRANSFORM_JOBS, "logStreamNamePrefix": f"{name}/"}
    if _streams(url, of_job):
        return of_job
    names = hint_names(url, name)
    is_job = bool(names) and _is_job(url, name)
    if names and not is_job:
        fail(f"There is no endpoint or batch transform job {name}.{names}")
    if waits:
        return of_job if is_job else {"logGroupName": group}
    fail(f"Nothing was printed by an endpoint or a batch transform job {name} so far.")


def _is_job(url: str, name: str) -> bool:
    try:
        operate(url, "DescribeTransformJob", {"TransformJobName": name})
    except OperationRefused as refused:
        if refused.code not in _NO_JOB:
            raise
        return False
    return True


def _streams(url: str, asked: Mapping[str, Any]) -> list[Any]:
    try:
        found: list[Any] = operate(url, "DescribeLogStreams", {**asked, "limit": 1}, _LOGS)["logStreams"]
    except OperationRefused as refused:
        if refused.code != _MISSING:
            raise
        return []
    return found


def _found(url: str, asked: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All that is there, page by page."""
    token: dict[str, str] = {}
    while True:
        page = operate(url, "FilterLogEvents", {**asked, **token}, _LOGS)
        yield from page["events"]
        if "nextToken" not in page:
            return
        token = {"nextToken": page["nextToken"]}


def _followed(url: str, asked: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All that is there, and then what comes. A group need not be there yet."""
    shown: dict[str, int] = {}
    while True:
        try:
            for event in _found(url, asked):
                if event["eventId"] not in shown:
                    shown[event["eventId"]] = event["timestamp"]
                    yield event
        except OperationRefused as refused:
            if refused.code != _MISSING:
                raise
        newest_ms = max(shown.values(), default=0) - _LATE_MS
        shown = {event_id: at_ms for event_id, at_ms in shown.items() if at_ms >= newest_ms}
        asked = {**asked, "startTime": max(asked["startTime"], newest_ms)}
        time.sleep(_LOOK_S)


def _line(event: Mapping[str, Any]) -> str:
    at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    stream = event["logStreamName"].partition("/")[0]
    return f"{at}  {told_lines(stream)}  {told_lines(event['message'])}"
