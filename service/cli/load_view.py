"""How `sagebird load` shows itself: a line while it runs, a table when it is over."""

import sys
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from service.cli.compare_view import show_verdict
from service.cli.told import cell, told, told_lines
from service.load.engine import Glance
from service.load.plan import Plan
from service.load.report import NOBODY

_WIDTH = 108


class Watcher:
    """Progress on standard error; none for scripts, which have no terminal or send the table elsewhere."""

    def __init__(self, plan: Plan) -> None:
        """For a run of this plan."""
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[said]}"),
            console=Console(file=sys.stderr),
            disable=not (sys.stderr.isatty() and sys.stdout.isatty()),
            transient=True,
        )
        self._warm_up_s = plan.warm_up_s
        self._most = plan.most_requests
        total = self._most or plan.warm_up_s + plan.duration_s
        self._task = self._progress.add_task("load", total=total, said="")

    def __enter__(self) -> "Watcher":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, glance: Glance) -> None:
        """Show how it is going."""
        elapsed_s = self._progress.tasks[0].elapsed or 0.0
        counted_s = max(elapsed_s - self._warm_up_s, 0.1)
        said = (
            f"{glance.answered:,} answered ({glance.answered / counted_s:,.0f}/s), {glance.failed:,} failed, "
            f"{glance.in_flight:,} under way, {glance.backlog:,} waiting, "
            f"p50 {milliseconds(glance.p50_s)}, p99 {milliseconds(glance.p99_s)} ms"
        )
        done = glance.answered + glance.failed if self._most else elapsed_s
        self._progress.update(self._task, completed=done, said=said)


def show_report(report: dict[str, Any]) -> None:
    """Print the table of a run, its failures, and what the tester has to say about itself."""
    console = Console(highlight=False)
    names = [variant["name"] for variant in report["variants"]]
    console.width = max(console.width, _WIDTH + max(map(len, names), default=0))
    console.print(told(_heading(report)), markup=False, soft_wrap=True)
    console.print(_table(report))
    total = report["total"]
    for error in total["errors"]:
        text = f"{error['count']:,} times {error['code']}: {error['example']}"
        console.print(told_lines(text), markup=False, style="red", soft_wrap=True)
    if total["unfinished"]:
        console.print(f"{total['unfinished']:,} requests were not answered before it ended.", markup=False)
    if report["stages"]:
        console.print(_stage_table(report["stages"]))
    if report["note"]:
        console.print(told(report["note"]), markup=False, style="yellow", soft_wrap=True)
    console.print(_about_tester(report["tester"]), markup=False, soft_wrap=True)
    for limit in report["tester"]["limits"]:
        text = f"The load tester itself was the limit: {limit}."
        console.print(text, markup=False, style="yellow", soft_wrap=True)
    _show_outcomes(console, report)
    for beside in report.get("compared", ()):
        console.print(told(_changed(beside)), markup=False, soft_wrap=True)


def _show_outcomes(console: Console, report: dict[str, Any]) -> None:
    if "outcomes" not in report:
        return
    outcomes = report["outcomes"]
    if outcomes is None:
        console.print("Nothing was answered: nothing is known about the answers.", markup=False)
        return
    console.print(f"Labels of {outcomes['rows']:,} rows, each counted once per variant:", markup=False)
    show_verdict(console, outcomes["quality"], outcomes["verdict"])
    for warning in outcomes["warnings"]:
        console.print(told(warning), markup=False, style="yellow", soft_wrap=True)


def _stage_table(stages: list[dict[str, Any]]) -> Table:
    table = Table(
        "due per s",
        "for",
        "answered per s",
        "failed",
        "p50 ms",
        "p99 ms",
        box=box.SIMPLE_HEAD,
        show_edge=False,
    )
    for column in table.columns:
        column.justify = "right"
    for stage in stages:
        latency = stage["latency"]
        table.add_row(
            f"{stage['rate']:g}",
            f"{stage['length_s']:.3g} s",
            f"{stage['answers_per_second']:,.1f}",
            f"{stage['failed']:,}",
            milliseconds(latency["p50_s"]),
            milliseconds(latency["p99_s"]),
        )
    return table


def _changed(beside: dict[str, Any]) -> str:
    """A part of the run beside the same of an earlier one."""
    now, before = beside["now"], beside["before"]
    pairs = [
        f"{title} {milliseconds(now[name])} ms, before {milliseconds(before[name])}"
        for title, name in (("p50", "p50_s"), ("p99", "p99_s"))
    ]
    said = "; ".join(beside["changes"]) or "no sure change"
    return f"{beside['name']} since the earlier run: {'; '.join(pairs)}: {said}."


def milliseconds(time_s: float) -> str:
    """A time as milliseconds with three digits that mean something."""
    time_ms = time_s * 1e3
    return f"{time_ms:,.0f}" if time_ms >= 100 else f"{time_ms:.3g}"


def _heading(report: dict[str, Any]) -> str:
    plan = report["plan"]
    if plan["loop"] == "open":
        how = f"{plan['rate']:g} requests/s due" + (" at random" if plan["arrivals"] == "poisson" else "")
    else:
        how = f"{plan['connections']:,} callers at once"
    ended = ", ended early" if report["interrupted"] else ""
    return f"{report['endpoint']} at {report['url']}: {how}, {report['duration_s']:.3g} s{ended}"


def _table(report: dict[str, Any]) -> Table:
    table = Table(
        "variant",
        "requests",
        "share",
        "by weight, 95 %",
        "failed",
        "per s",
        box=box.SIMPLE_HEAD,
        show_edge=False,
    )
    for title in ("p50 ms", "p90 ms", "p99 ms", "max ms"):
        table.add_column(title, justify="right")
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for variant in report["variants"]:
        share = f"{variant['share']:.1%}"
        table.add_row(
            cell(variant["name"] or NOBODY), *_cells(variant, share, _expected(variant["expected"]))
        )
    table.add_section()
    table.add_row("total", *_cells(report["total"], "", ""))
    return table


def _cells(figures: dict[str, Any], share: str, expected: str) -> list[str]:
    latency = figures["latency"]
    times = [latency[name] for name in ("p50_s", "p90_s", "p99_s", "max_s")]
    return [
        f"{figures['requests']:,}",
        share,
        expected,
        f"[red]{figures['failed']:,}[/]" if figures["failed"] else "0",
        f"{figures['answers_per_second']:,.1f}",
        *(milliseconds(time_s) if figures["answers"] else "" for time_s in times),
    ]


def _expected(expected: dict[str, Any] | None) -> str:
    if expected is None:
        return ""
    text = f"{expected['lower'] * 100:.1f} to {expected['upper']:.1%}"
    return f"{text} inside" if expected["inside"] else f"[yellow]{text} outside[/]"


def _about_tester(tester: dict[str, Any]) -> str:
    busy = ", ".join(f"{share:.0%}" for share in tester["cpu_shares"])
    return (
        f"load tester: {busy} of a CPU; 99 % sent at most {milliseconds(tester['lateness_p99_s'])} ms late; "
        f"backlog at most {tester['most_backlog']:,}"
    )
