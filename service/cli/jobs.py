"""The command that shows batch transform jobs of a running server, through its control plane."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import unquote

import typer
from rich.table import Table

from service.cli.refusal import fail
from service.cli.server import OperationRefused, Url, operate
from service.cli.told import cell, open_console, print_table, told_lines

_MOST: Final = 100


def jobs(
    job: Annotated[str | None, typer.Argument(metavar="JOB", help="Show this job alone.")] = None,
    status: Annotated[
        str | None, typer.Option(help="Only jobs of this status, e.g. InProgress.", show_default=False)
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the job.")] = False,
    url: Url = "",
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Show the batch transform jobs of a running server, newest first; or one of them, with its reason."""
    if stop and job is None:
        fail("Name the job to stop: `sagebird jobs JOB --stop`.")
    try:
        if job is not None:
            if stop:
                operate(url, "StopTransformJob", {"TransformJobName": job})
            found = [_described(url, job)]
        else:
            wanted = {"MaxResults": _MOST} | ({} if status is None else {"StatusEquals": status})
            found = operate(url, "ListTransformJobs", wanted)["TransformJobSummaries"]
            if not as_json:  # summaries name neither model nor input, nor when the work began
                found = [_described(url, one["TransformJobName"]) for one in found]
    except OperationRefused as refused:
        fail(refused.message)
    if as_json:
        typer.echo(json.dumps(found if job is None else found[0], indent=2))
    else:
        _show(found)


def _described(url: str, job: str) -> Any:
    return operate(url, "DescribeTransformJob", {"TransformJobName": job})


def _show(found: list[Mapping[str, Any]]) -> None:
    table = Table("job", "status", "created (UTC)", "seconds", "model", "input")
    table.columns[3].justify = "right"
    for one in found:
        table.add_row(
            cell(one["TransformJobName"]),
            cell(one["TransformJobStatus"]),
            datetime.fromtimestamp(one["CreationTime"], UTC).strftime("%Y-%m-%d %H:%M:%S"),
            _seconds(one),
            cell(one["ModelName"]),
            cell(_input(one)),
        )
    console = open_console()
    print_table(console, table)
    for one in found:
        if "FailureReason" in one:
            text = f"{one['TransformJobName']}: {one['FailureReason']}"
            console.print(told_lines(text), markup=False, style="red", soft_wrap=True)


def _input(job: Mapping[str, Any]) -> str:
    """Where the input is; of a dropped file its name, as all of them lie in the drop folder."""
    address: str = job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
    if address.startswith("file://"):
        return unquote(address.rpartition("/")[2])
    return address


def _seconds(job: Mapping[str, Any]) -> str:
    begun = job.get("TransformStartTime", job["CreationTime"])
    return f"{job['TransformEndTime'] - begun:.1f}" if "TransformEndTime" in job else ""
