"""The command that puts an endpoint under load: load."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from service.cli.asked import AcceptHeader, TargetContainer, TargetModel, TargetVariant, headers_for
from service.cli.load_target import LoadTarget, find_bodies, find_target, refuse
from service.cli.load_trial import try_once
from service.cli.load_view import Watcher, show_report
from service.cli.refusal import fail
from service.cli.server import GivenUrl
from service.errors import LoadRefused
from service.load.plan import Plan, RequestBody, invocations_path
from service.load.plot import draw
from service.load.processes import LoadProcesses
from service.load.report import Occasion, make_report
from service.load.tally import SHORT_S, interval_for

_FAILURES = 1
_INTERRUPTED = 130
_MOST_CALLERS = 10_000
_LONGEST_S = 86_400.0
_USUAL_S = 10.0
_QUICK_CALLERS, _QUICK_S = 4, 5.0
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
        max=_LONGEST_S,
        help="Seconds.  [default: 10; with --requests as long as they take]",
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
        help="A request, or a folder of them; again for more: they take turns.  [default: the example]",
        show_default=False,
    ),
]
ContentTypeHeader = Annotated[
    str | None,
    typer.Option(help="Content-Type.  [default: by the file's ending, else text/csv]", show_default=False),
]
Remote = Annotated[bool, typer.Option("--remote", help="Allow another machine than this one: one of yours.")]
Aws = Annotated[
    bool, typer.Option("--aws", help="A real SageMaker endpoint, with your AWS credentials; AWS bills you.")
]
Region = Annotated[str | None, typer.Option(help="AWS region, with --aws.", show_default=False)]
Processes = Annotated[
    int | None,
    typer.Option(min=1, max=64, help="Processes that send.  [default: by the rate]", show_default=False),
]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write all figures there.", show_default=False)]
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
    json_file: JsonFile = None,
    plot: Plot = None,
    allow_failures: AllowFailures = False,
) -> None:
    """Put an endpoint under load, at a rate or from so many callers: shares, errors, latencies.

    Without both, four callers ask for 5 s. With --rate, latency counts from when a request was due. One is
    tried first, uncounted (not with --aws). Exit code: 0 if all were 2xx, 1 if some failed, 130 after Ctrl-C.
    """
    _check_asked(rate, concurrency, poisson, aws, json_file, plot)
    target = find_target(endpoint, url, remote, aws, region, target_model)
    bodies, example = find_bodies(target, body or [], content_type)
    pace = _choose_pace(rate, concurrency, duration, requests, None if body else bodies[0])
    plan = Plan(
        place=target.place,
        path=invocations_path(target.place, target.endpoint),
        headers=_checked(headers_for(accept, target_variant, target_model or example, target_container)),
        bodies=bodies,
        rate=rate,
        connections=pace.callers or connections,
        duration_s=pace.most_s,
        interval_s=pace.interval_s,
        poisson=poisson,
        warm_up_s=warm_up,
        most_requests=requests,
        timeout_s=timeout,
        region=target.region,
    )
    _finish(_carry_out(target, plan, processes, try_first=not (aws or allow_failures)), json_file, plot)


def _check_asked(
    rate: float | None, concurrency: int | None, poisson: bool, aws: bool, *files: Path | None
) -> None:
    """Refuse what makes no sense, and files that could not be written in the end."""
    if rate is not None and concurrency is not None:
        refuse("Give either --rate (open loop) or --concurrency (closed loop).")
    if aws and rate is None and concurrency is None:
        refuse("Give --rate or --concurrency: what AWS bills is said on purpose.")
    if poisson and rate is None:
        refuse("--poisson goes with --rate.")
    _check_writable(*files)


@dataclass(frozen=True, slots=True)
class _Pace:
    """How many wait for answers (None in an open loop), how long at most, and how finely time is kept."""

    callers: int | None
    most_s: float
    interval_s: float


def _choose_pace(
    rate: float | None,
    concurrency: int | None,
    duration: float | None,
    requests: int | None,
    example: RequestBody | None,
) -> _Pace:
    """The pace that was asked for, or a quick useful one, which is then told: nobody asked for it.

    `example` is the endpoint's, if that is what is sent.
    """
    nothing_said = rate is None and concurrency is None
    if duration is not None or requests is None:
        most_s = duration or (_QUICK_S if nothing_said else _USUAL_S)
        interval_s = interval_for(most_s)
    else:
        most_s = _LONGEST_S
        interval_s = SHORT_S if rate is None else interval_for(max(requests / rate, 0.1))
    if nothing_said:
        ends = [f"{most_s:g} s"] if most_s < _LONGEST_S else []
        ends += [f"{requests:,} requests"] if requests else []
        text = f"Neither --rate nor --concurrency is given: {_QUICK_CALLERS} callers, {' or '.join(ends)}"
        what = "" if example is None else f", with the endpoint's example ({example.content_type})"
        sys.stderr.write(f"{text}{what}.\n")
    return _Pace(_QUICK_CALLERS if nothing_said else concurrency, most_s, interval_s)


def _checked(named: Iterator[tuple[str, str]]) -> dict[str, str]:
    headers = dict(named)
    for value in headers.values():
        if not value.isascii() or not value.isprintable():
            refuse(f"A header can only hold printable ASCII, not {value!r}.")
    return headers


def _carry_out(target: LoadTarget, plan: Plan, processes: int | None, *, try_first: bool) -> dict[str, Any]:
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
    return make_report(occasion, plan, result)


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


def _finish(report: dict[str, Any], json_file: Path | None, plot: Path | None) -> None:
    """Show and write what came of it, and end with the exit code that says so in short."""
    show_report(report)
    if json_file is not None:
        _write(json_file, json.dumps(report) + "\n")
    if plot is not None:
        _write(plot, draw(report))
    if report["interrupted"]:
        raise typer.Exit(_INTERRUPTED)
    if report["total"]["failed"]:
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
