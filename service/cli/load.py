"""The command that puts an endpoint under load: load."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from service.cli.asked import AcceptHeader, TargetContainer, TargetModel, TargetVariant, headers_for
from service.cli.labelled import LabelColumn, LabelledRows, read_labelled
from service.cli.load_asked import RunLimits, broken_limits, read_earlier, read_limits, read_stages
from service.cli.load_pace import LONGEST_S, AskedPace
from service.cli.load_target import LoadTarget, find_bodies, find_target, refuse, row_bodies
from service.cli.load_trial import is_refused, try_once
from service.cli.load_verdict import judge_load
from service.cli.load_view import Watcher, show_report
from service.cli.refusal import fail
from service.cli.server import GivenUrl, key_header
from service.errors import LoadRefused
from service.load.comparison import compare_runs
from service.load.plan import Plan
from service.load.plot import draw
from service.load.processes import LoadProcesses
from service.load.report import Occasion, make_report

_FAILURES = 1
_INTERRUPTED = 130
_MOST_CALLERS = 10_000
_RATE_OF_ONE_PROCESS = 8_000.0

OptionalEndpointName = Annotated[
    str | None,
    typer.Argument(
        metavar="ENDPOINT", help="Name of the endpoint; a server may have only one.", show_default=False
    ),
]
Rate = Annotated[
    float | None,
    typer.Option(min=0.01, max=1e6, help="Open loop: requests due per second.", show_default=False),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=_MOST_CALLERS,
        help="Closed loop: callers, each waiting for its answer.",
        show_default=False,
    ),
]
Duration = Annotated[
    float | None,
    typer.Option(
        min=0.1,
        max=LONGEST_S,
        help="Seconds.  \\[default: 10; with --requests as long as they take]",
        show_default=False,
    ),
]
MostRequests = Annotated[int | None, typer.Option(min=1, help="End after so many.", show_default=False)]
WarmUp = Annotated[float, typer.Option(min=0, max=3600, help="Seconds before it counts.")]
Poisson = Annotated[bool, typer.Option("--poisson", help="Open loop at random times, as from many callers.")]
Connections = Annotated[int, typer.Option(min=1, max=_MOST_CALLERS, help="Most connections of an open loop.")]
AnswerTimeout = Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds to wait for an answer.")]
Bodies = Annotated[
    list[Path] | None,
    typer.Option(
        help="A request, or a folder of them; again for more: they take turns.  \\[default: the example]",
        show_default=False,
    ),
]
ContentTypeHeader = Annotated[
    str | None,
    typer.Option(help="Content-Type.  \\[default: by the file's ending, else text/csv]", show_default=False),
]
Remote = Annotated[bool, typer.Option("--remote", help="Allow another machine than this one: one of yours.")]
Aws = Annotated[
    bool, typer.Option("--aws", help="A real SageMaker endpoint, with your AWS credentials; AWS bills you.")
]
Region = Annotated[str | None, typer.Option(help="AWS region, with --aws.", show_default=False)]
Processes = Annotated[
    int | None,
    typer.Option(min=1, max=64, help="Processes that send.  \\[default: by the rate]", show_default=False),
]
JsonFile = Annotated[
    Path | None,
    typer.Option("--json", "--save", help="Write all figures there, for --compare too.", show_default=False),
]
Compare = Annotated[
    Path | None, typer.Option(help="Say what has changed since a run that was saved.", show_default=False)
]
Stages = Annotated[
    str | None,
    typer.Option(
        metavar="RATE:TIME,…",
        help="Open loop of several rates, as 50:10s,200:30s.",
        show_default=False,
    ),
]
MaxP99 = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="Exit code 1 if p99 is more, as 20ms; of each stage.", show_default=False
    ),
]
MaxErrors = Annotated[
    str | None,
    typer.Option(metavar="SHARE", help="Exit code 1 only if more fail, as 0.1%.", show_default=False),
]
Outcomes = Annotated[
    Path | None,
    typer.Option(
        help="Labelled rows (CSV, JSON, JSON lines): send each alone, say which variant is better.",
        show_default=False,
    ),
]
Plot = Annotated[
    Path | None, typer.Option(help="Draw the latencies there, as an HTML page.", show_default=False)
]
AllowFailures = Annotated[
    bool,
    typer.Option(
        "--allow-failures", help="Send it all even if a first request, uncounted, is refused (4xx)."
    ),
]


def load(
    endpoint: OptionalEndpointName = None,
    rate: Rate = None,
    concurrency: Concurrency = None,
    duration: Duration = None,
    requests: MostRequests = None,
    warm_up: WarmUp = 0.0,
    poisson: Poisson = False,
    connections: Connections = 256,
    timeout: AnswerTimeout = 30.0,
    body: Bodies = None,
    content_type: ContentTypeHeader = None,
    accept: AcceptHeader = None,
    target_variant: TargetVariant = None,
    target_model: TargetModel = None,
    target_container: TargetContainer = None,
    url: GivenUrl = None,
    remote: Remote = False,
    aws: Aws = False,
    region: Region = None,
    processes: Processes = None,
    outcomes: Outcomes = None,
    label: LabelColumn = None,
    json_file: JsonFile = None,
    compare: Compare = None,
    plot: Plot = None,
    stages: Stages = None,
    max_p99: MaxP99 = None,
    max_errors: MaxErrors = None,
    allow_failures: AllowFailures = False,
) -> None:
    """Put an endpoint under load, at a rate or from so many callers: shares, errors, latencies.

    Without both, four callers ask for 5 s. At a rate, latency counts from when a request was due. One is
    tried first, uncounted (not with --aws). Exit code: 0 if all were 2xx, 1 if some failed, 130 after Ctrl-C.
    """
    asked = AskedPace(rate, concurrency, read_stages(stages), duration, requests, poisson)
    asked.check(aws)
    limits = read_limits(max_p99, max_errors)
    _check_writable(json_file, plot)
    earlier, rows = read_earlier(compare), _read_rows(outcomes, label, body)
    target = find_target(endpoint, url, remote, aws, region, target_model)
    bodies, example = find_bodies(target, body or [], content_type, rows)
    headers = _checked(headers_for(accept, target_variant, target_model or example, target_container))
    headers |= {} if aws else key_header()  # who signs brings no key
    pace = asked.choose(None if body or rows else bodies[0])
    plan = replace(pace.plan(target, bodies, headers, connections), warm_up_s=warm_up, timeout_s=timeout)
    report = _carry_out(target, plan, processes, rows, try_first=not (aws or allow_failures))
    _finish(report | _compared(report, earlier), limits, json_file, plot)


def _read_rows(outcomes: Path | None, label: str | None, bodies: list[Path] | None) -> LabelledRows | None:
    """The labelled rows that are sent, if there are any."""
    if outcomes is None:
        if label is not None:
            refuse("--label goes with --outcomes.")
        return None
    if bodies:
        refuse("--outcomes are what is sent: leave --body out.")
    rows = read_labelled(outcomes, label)
    if rows.labels is None:
        fail(f"{outcomes} has no labels: --label COLUMN says where they are.")
    return rows


def _checked(named: Iterator[tuple[str, str]]) -> dict[str, str]:
    headers = dict(named)
    for value in headers.values():
        if not value.isascii() or not value.isprintable():
            refuse(f"A header can only hold printable ASCII, not {value!r}.")
    return headers


def _carry_out(
    target: LoadTarget, plan: Plan, processes: int | None, rows: LabelledRows | None, *, try_first: bool
) -> dict[str, Any]:
    if rows is not None:
        plan = replace(plan, keeps_answers=True)
        if try_first and rows.head and is_refused(plan):
            plan = replace(plan, bodies=row_bodies(rows.headless(), None))
    if try_first:
        try_once(plan)
    processes = processes or round((plan.rate or 0) / _RATE_OF_ONE_PROCESS) or 1
    began = datetime.now(UTC)
    try:
        with (
            LoadProcesses(plan, processes) as running,
            _stopping(running) as signals,
            Watcher(plan) as watcher,
        ):
            result = running.run(watcher.show)
    except LoadRefused as error:
        fail(error.message)
    occasion = Occasion(target.endpoint, target.url, began, target.weights, target.note, bool(signals))
    report = make_report(occasion, plan, result)
    if rows is not None:
        report["outcomes"] = judge_load(report, result.tally.answers, rows)
    return report


def _compared(report: dict[str, Any], earlier: dict[str, Any] | None) -> dict[str, Any]:
    return {} if earlier is None else {"compared": compare_runs(report, earlier)}


@contextmanager
def _stopping(running: LoadProcesses) -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM end the run and not the command, at first; the list says which came."""
    came: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)
        running.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _finish(report: dict[str, Any], limits: RunLimits, json_file: Path | None, plot: Path | None) -> None:
    """Show and write what came of it, and end with the exit code that says so in short."""
    show_report(report)
    broken = broken_limits(report, limits)
    for sentence in broken:
        sys.stderr.write(f"sagebird: {sentence}\n")
    if json_file is not None:
        _write(json_file, json.dumps(report) + "\n")
    if plot is not None:
        _write(plot, draw(report))
    if report["interrupted"]:
        raise typer.Exit(_INTERRUPTED)
    if broken or (report["total"]["failed"] and limits.failed_share is None):
        raise typer.Exit(_FAILURES)


def _check_writable(*files: Path | None) -> None:
    """Refuse before a long run what could not be written after it."""
    for file in files:
        if file is None:
            continue
        if file.is_dir():
            fail(f"{file} cannot be written: it is a folder.")
        if not file.parent.is_dir():
            fail(f"{file} cannot be written: there is no folder {file.parent}.")
        if not os.access(file if file.exists() else file.parent, os.W_OK):
            fail(f"{file} cannot be written: permission denied.")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}.")
