"""`sagebird transform`: a batch transform job in the foreground, without a server."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from service import log
from service.cli.folders import DataFolder, ModelsFolder
from service.cli.media import known_type
from service.cli.refusal import fail
from service.cli.told import cell, open_console, print_table
from service.clock import Clock, SystemClock
from service.control.declaration import read_declaration
from service.domain.transform.options import NONE, S3_PREFIX, TransformOptions, media_type
from service.errors import ModelNotFound, SagebirdError, StartupError
from service.jobs.journal import NoJournal
from service.jobs.outcome import COMPLETED, FileReport, JobOutcome
from service.jobs.outcome import Progress as JobProgress
from service.jobs.request import TransformRequest, open_transform_parts, run_request
from service.jobs.transform import JobMonitor
from service.media.types import CSV
from service.processes.model_host import containers_beside
from service.settings import Settings, load_settings

_SHOWN_FILES: Final = 20
_INTERRUPTED: Final = 130

ModelOrAddress = Annotated[
    str, typer.Option(help="Name of a model, path of one, or address of a running container.")
]
InputLocation = Annotated[str, typer.Option("--input", help="Folder, file, or s3://bucket/prefix.")]
OutputLocation = Annotated[str, typer.Option("--output", help="Folder or s3://bucket/prefix.")]
InputType = Annotated[
    str | None,
    typer.Option(help="Type of the inputs.  \\[default: by the inputs' endings]", show_default=False),
]
OutputType = Annotated[
    str | None, typer.Option(help="Type of the outputs.  \\[default: the model's own]", show_default=False)
]
HasHeader = Annotated[
    bool,
    typer.Option("--header", help="The first line of each CSV names its columns; refused if it does not."),
]
CompressionType = Annotated[str, typer.Option(help="None or Gzip.")]
SplitType = Annotated[str, typer.Option(help="What a record is: None, Line, RecordIO or TFRecord.")]
AssembleWith = Annotated[str, typer.Option(help="What follows each answer: None or Line.")]
BatchStrategy = Annotated[
    str | None,
    typer.Option(help="MultiRecord or SingleRecord.  \\[default: MultiRecord]", show_default=False),
]
MaxPayload = Annotated[
    int | None,
    typer.Option(
        "--max-payload-in-mb",
        help="Most megabytes of one request; 0: any.  \\[default: 6]",
        show_default=False,
    ),
]
MaxConcurrent = Annotated[
    int | None,
    typer.Option(
        "--max-concurrent-transforms",
        help="Requests at once.  \\[default: one per CPU, or the container's]",
        show_default=False,
    ),
]
InputFilter = Annotated[str, typer.Option(help="JSONPath of what the model gets of each record.")]
OutputFilter = Annotated[str, typer.Option(help="JSONPath of what is written of each record.")]
JoinSource = Annotated[str, typer.Option(help="Input: join each answer to its record.")]
JobEnvironment = Annotated[
    list[str] | None, typer.Option(metavar="NAME=VALUE", help="A variable for the model; repeatable.")
]
InvocationTimeout = Annotated[
    int, typer.Option("--invocations-timeout-in-seconds", help="Seconds a request may take, 1 to 3600.")
]
Retries = Annotated[
    int, typer.Option("--invocations-max-retries", help="Times a request is tried again, 0 to 3.")
]
DataType = Annotated[
    str, typer.Option("--s3-data-type", help="S3Prefix, or ManifestFile: the input lists the inputs.")
]
Quarantine = Annotated[
    bool, typer.Option("--quarantine", help="Set bad records aside as FILE.rejected; the others land.")
]
Report = Annotated[bool, typer.Option("--report", help="Write _report.json beside the outputs.")]


def transform(
    model: ModelOrAddress,
    source: InputLocation,
    target: OutputLocation,
    content_type: InputType = None,
    header: HasHeader = False,
    accept: OutputType = None,
    compression_type: CompressionType = NONE,
    split_type: SplitType = NONE,
    assemble_with: AssembleWith = NONE,
    batch_strategy: BatchStrategy = None,
    max_payload_in_mb: MaxPayload = None,
    max_concurrent_transforms: MaxConcurrent = None,
    input_filter: InputFilter = "$",
    output_filter: OutputFilter = "$",
    join_source: JoinSource = NONE,
    environment: JobEnvironment = None,
    timeout_s: InvocationTimeout = 600,
    max_retries: Retries = 3,
    data_type: DataType = S3_PREFIX,
    quarantine: Quarantine = False,
    report: Report = False,
    models: ModelsFolder = None,
    data: DataFolder = None,
) -> None:
    """Send all files of a folder or bucket through a model: FILE becomes FILE.out. Needs no server."""
    options = TransformOptions(
        data_type=data_type,
        content_type=_of_csv(content_type) if header else content_type,
        accept=accept,
        compression_type=compression_type,
        split_type=split_type,
        assemble_with=assemble_with,
        batch_strategy=batch_strategy,
        max_payload_in_mb=max_payload_in_mb,
        max_concurrent_transforms=max_concurrent_transforms,
        input_filter=input_filter,
        output_filter=output_filter,
        join_source=join_source,
        environment=_read_environment(environment or []),
        timeout_s=timeout_s,
        max_retries=max_retries,
        insists_on_header=header,
    )
    request = TransformRequest(model, source, target, options, {}, quarantine, report, known_type)
    _carry_out(request, models, data)


def _of_csv(content_type: str | None) -> str:
    """The type of inputs that are said to have a header."""
    given = CSV if content_type is None else content_type
    if media_type(given) != CSV:
        fail(f"--header is about {CSV}, not {given}.")
    return given


def _carry_out(request: TransformRequest, models: Path | None, data: Path | None) -> None:
    settings = load_settings(models=models, data=data)
    log.configure(settings.log_level, settings.log_format)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: nothing half-done stays
    # Whoever types a path may read it: the model's folder is as good as one below the models folder.
    roots = [] if "://" in request.model else [Path(request.model).expanduser().absolute().parent]
    looks = request.options.split_type != NONE or request.options.processes_records
    counted = "rows" if looks else "requests"
    bar = _Bar(SystemClock(), counted)
    try:
        with containers_beside(settings, roots) as containers, bar:
            parts = open_transform_parts(settings, model_roots=roots, allow_paths=True, containers=containers)
            outcome = run_request(request, parts, JobMonitor(SystemClock(), NoJournal(), tell=bar.tell))
    except KeyboardInterrupt:
        sys.stderr.write(f"sagebird: stopped; {bar.files} files are whole, nothing else was written.\n")
        raise typer.Exit(_INTERRUPTED) from None
    except ModelNotFound as error:
        fail(error.message + _hint_models(request.model, settings))
    except SagebirdError as error:
        fail(error.message)
    _summarize(outcome, counted)
    if outcome.status != COMPLETED:
        fail(f"{outcome.reason}{_hint(request, outcome)}")


def _hint(request: TransformRequest, outcome: JobOutcome) -> str:
    """What to say where inputs were read as JSON only because nobody said what they are."""
    failed = outcome.failed[0].name if outcome.failed else ""
    typed = request.options.content_type is not None or known_type(failed.removesuffix(".gz")) is not None
    if typed or request.model.startswith(("http://", "https://")):
        return ""
    return (
        " The ending of its name tells no type, and what has none is read as JSON: add --content-type "
        "text/plain if each record is a text, else another of the types that the model reads."
    )


def _hint_models(name: str, settings: Settings) -> str:
    """The models behind an endpoint that was taken for a model; nothing if it is none that is declared."""
    try:
        declared = read_declaration(settings.endpoints_file, settings.models).endpoints.get(name, ())
    except StartupError:
        return ""
    models = sorted({variant.path.name for variant in declared if not variant.multi})
    return f" {name} is an endpoint; name its model: {' or '.join(models)}." if models else ""


def _read_environment(pairs: Sequence[str]) -> dict[str, str]:
    environment = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            fail(f"--environment {pair}: write NAME=VALUE.")
        environment[name] = value
    return environment


# ---- what is shown


class _Speed(ProgressColumn):
    """Rows, or requests, per second since the beginning."""

    def __init__(self, counted: str) -> None:
        super().__init__()
        self._counted = counted

    def render(self, task: Task) -> Text:
        elapsed_s = task.elapsed or 0.0
        rows = task.fields["rows"]
        per_second = rows / elapsed_s if elapsed_s else 0.0
        return Text(f"{rows:,} {self._counted}, {per_second:,.0f} {self._counted}/s")


class _Bar:
    """The progress bar, on standard error, where that is a terminal; it is gone when the job is over."""

    def __init__(self, clock: Clock, counted: str) -> None:
        console = Console(stderr=True)
        self.files = 0
        self._clock = clock
        self._shown_s = clock.monotonic()
        self._progress = Progress(
            BarColumn(),
            TextColumn("{task.fields[files]}/{task.fields[files_total]} files,"),
            _Speed(counted),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", start=False, total=None, files=0, files_total="?", rows=0)

    def __enter__(self) -> None:
        self._progress.start()

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def tell(self, progress: JobProgress) -> None:
        """Show how far the job is; ten times a second at most. Time counts from the first call on."""
        self.files = progress.files
        self._progress.start_task(self._task)
        now_s = self._clock.monotonic()
        if now_s - self._shown_s < 0.1 and progress.files < progress.files_total:
            return
        self._shown_s = now_s
        self._progress.update(
            self._task,
            total=progress.total_bytes or None,
            completed=progress.size_bytes,
            files=f"{progress.files:,}",
            files_total=f"{progress.files_total:,}",
            rows=progress.rows,
        )


def _summarize(outcome: JobOutcome, counted: str) -> None:
    by_row = counted == "rows"
    table = Table("input", *(("rows in", "rows out") if by_row else (counted,)), "rejected", "error")
    for column in table.columns[1:-1]:
        column.justify = "right"
    for report in _worth_showing(outcome.files):
        counts = (report.rows_in, report.rows_out) if by_row else (report.rows_in,)
        table.add_row(
            cell(report.name),
            *(f"{count:,}" for count in counts),
            f"{report.rejected:,}" if report.rejected else "",
            cell(report.error or ""),
        )
    console = open_console()
    print_table(console, table)
    rows = sum(report.rows_in for report in outcome.files)
    per_second = rows / outcome.seconds if outcome.seconds else 0.0
    whole = len(outcome.files) - len(outcome.failed)
    sums = "1 request" if rows == 1 else f"{rows:,} {counted}"
    if by_row:
        sums = f"{rows:,} rows in, {outcome.rows_out:,} rows out"
    console.print(
        f"{outcome.status} after {outcome.seconds:.2f} s ({per_second:,.0f} {counted}/s): {whole:,} of "
        f"{len(outcome.files):,} files, {sums}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _worth_showing(files: Sequence[FileReport]) -> list[FileReport]:
    """The first files, and in a long list the failed ones before them."""
    if len(files) <= _SHOWN_FILES:
        return list(files)
    failed = [report for report in files if report.error is not None]
    return [*failed, *(report for report in files if report.error is None)][:_SHOWN_FILES]
