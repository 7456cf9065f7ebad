"""The commands that report outcomes and say what they are worth: outcomes, experiment."""

import json
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table

from service.cli.agreement_view import agreement_lines
from service.cli.compare import Worth
from service.cli.compare_view import quality_table, show_verdict
from service.cli.media import guessed_type, known_type
from service.cli.promote import plan_lines, traffic_shares
from service.cli.refusal import fail
from service.cli.report_parts import ReportPart, cut_reports
from service.cli.server import Url, ask, call, error_text
from service.cli.told import cell, open_console, print_table, told
from service.experiments.words import say_others
from service.media.types import JSON

_MOST_CHANGES = 5

_Endpoint = Annotated[str, typer.Argument(metavar="ENDPOINT", help="Name of the endpoint.")]
_AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable.")]


class Window(StrEnum):
    """How far back the quality of predictions is looked at."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"


def outcomes(
    endpoint: _Endpoint,
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="Outcomes: CSV, JSON or JSON lines; - is standard input.")
    ],
    url: Url = "",
    as_json: _AsJson = False,
) -> None:
    """Report what became of predictions: records of inference_id with label, reward, click and the like."""
    body = _read(file)
    content_type = known_type(file) or guessed_type(body)
    counts: dict[str, int] = {}
    for part in cut_reports(content_type, body):
        for name, number in _report(url, endpoint, content_type, part).items():
            counts[name] = counts.get(name, 0) + number
    if as_json:
        typer.echo(json.dumps(counts))
        return
    typer.echo(
        f"{counts['counted']:,} counted, {counts['waiting']:,} wait for their prediction, "
        f"{counts['repeated'] + counts['contradicting']:,} were known"
    )


def experiment(
    endpoint: _Endpoint,
    outcome: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Which outcome decides.  \\[default: the most frequent]", show_default=False
        ),
    ] = None,
    less: Annotated[bool, typer.Option("--less", help="Less of it is better.")] = False,
    worth: Worth = None,
    control: Annotated[
        str | None,
        typer.Option(
            metavar="VARIANT",
            help="What others are compared with.  \\[default: the one that had most weight at first]",
            show_default=False,
        ),
    ] = None,
    window: Annotated[
        Window | None,
        typer.Option(
            help="How good predictions of that time were, too.  \\[default: none]", show_default=False
        ),
    ] = None,
    ask_both: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            metavar="PERCENT",
            help="Have so much of live calls asked of a second variant, too, from now on; 0 ends it.",
            show_default=False,
        ),
    ] = None,
    url: Url = "",
    as_json: _AsJson = False,
) -> None:
    """Say which variant is better by the outcomes that were reported, and what speaks against it."""
    if ask_both is not None:
        body = json.dumps({"ask_both": ask_both}).encode()
        call(url, "POST", _path(endpoint, "experiment"), content=body, headers=_typed(JSON))
    given = {"outcome": outcome, "less": "true" if less else None, "worth": worth, "control": control}
    asked = {name: str(value) for name, value in given.items() if value is not None}
    if window is not None:
        asked["window"] = window.value
    document = call(url, "GET", _path(endpoint, "experiment"), params=asked).json()
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        _show(document)


def _report(url: str, endpoint: str, content_type: str, part: ReportPart) -> Mapping[str, int]:
    """What became of a part of a file; where it is refused that is told of the file, and what was kept."""
    try:
        path, headers = _path(endpoint, "outcomes"), _typed(content_type)
        response = ask(url, "POST", path, content=part.body, headers=headers)
        if not response.is_success:
            fail(part.told_of_file(error_text(response)))
    except typer.Exit:
        if part.records_before:
            sys.stderr.write(
                f"The first {part.records_before:,} records were reported before. To report the whole file "
                "again does no harm: each counts once.\n"
            )
        raise
    counts: Mapping[str, int] = response.json()
    return counts


def _path(endpoint: str, what: str) -> str:
    return f"/endpoints/{quote(endpoint, safe='')}/{what}"


def _typed(content_type: str) -> dict[str, str]:
    return {"Content-Type": content_type}


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}.")


def _show(document: Mapping[str, Any]) -> None:
    console = open_console()
    print_table(console, _table(document))
    if document["window"] is not None:
        _show_window(console, document["window"])
    quality = {each["name"]: each["quality"] for each in document["variants"]}
    if document["outcome"] == "label" and document["verdict"] is not None and None not in quality.values():
        show_verdict(console, quality, document["verdict"])
    else:
        _say(console, document["sentence"], "bold")
    if others := say_others(document["endpoint"], document["outcomes"], document["outcome"]):
        _say(console, others)
    for warning in document["warnings"]:
        _say(console, warning, "red")
    for line in agreement_lines(document.get("agreement")):  # servers of before have none
        _say(console, line)
    tallies = document["tallies"]
    left = [
        f"{tallies[name]:,} {name}"
        for name in ("waiting", "unknown", "contradicting", "refused", "dropped")
        if tallies.get(name)  # servers of before refused none
    ]
    if left:
        _say(console, f"Outcomes and predictions beside: {', '.join(left)}.")
    for line in plan_lines(document):
        _say(console, line)
    for change in document["changes"][-_MOST_CHANGES:]:
        _say(console, f"{change['at']}: {traffic_shares(change['weights'])} of traffic ({change['reason']})")


def _show_window(console: Console, window: Mapping[str, Any]) -> None:
    known = {name: quality for name, quality in window["quality"].items() if quality is not None}
    which = "" if window["whole"] else ", the newest of them"
    _say(console, f"Predictions of the last {window['last']}: {window['labels']:,} with a label{which}.")
    if known:
        print_table(console, quality_table(known))


def _table(document: Mapping[str, Any]) -> Table:
    outcome = document["outcome"] or "outcome"
    counted = _counted(document["variants"])
    names = ("variant", "share", "requests", "errors", "p99 ms", *counted, "outcomes", cell(outcome))
    table = Table(*names, "at any time, 95 %")
    for column in table.columns[1:]:
        column.justify = "right"
    for each in document["variants"]:
        judged = each["outcome"] or {"count": 0, "mean": None, "lower": None, "upper": None}
        p99 = each["latency"]["p99_ms"]
        table.add_row(
            cell(each["name"]),
            f"{each['share']:.0%}",
            f"{each['requests']:,}",
            f"{each['server_errors']:,}",
            "" if p99 is None else f"{p99:g}",
            *(f"{each[member]:,}" for member in counted.values()),
            f"{judged['count']:,}",
            "" if judged["mean"] is None else f"{judged['mean']:.4g}",
            "" if judged["lower"] is None else f"{judged['lower']:.4g} to {judged['upper']:.4g}",
        )
    return table


def _counted(variants: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The columns that say of whom calls were recorded, by title: those alone in which there is anything."""
    columns = {"users": "users", "without user": "calls"}
    return {title: member for title, member in columns.items() if any(each[member] for each in variants)}


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(told(text), markup=False, style=style, soft_wrap=True)
