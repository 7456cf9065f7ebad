"""The command line: argv -> Settings -> one function of compose; and commands for people, over HTTP."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import quote

import httpx
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from service import __version__, log
from service.errors import StartupError
from service.hosting.flavours.preload import limit_threads
from service.settings import Settings, load_settings
from service.supervisor import NEVER_STARTS

DEFAULT_URL = "http://127.0.0.1:8080"
_TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/jsonlines",
    ".jsonlines": "application/jsonlines",
    ".npy": "application/x-npy",
}

app = typer.Typer(
    help="SageMaker hosting without SageMaker: endpoints that boto3, the aws CLI and curl call unchanged.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Host = Annotated[
    str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]", show_default=False)
]
Port = Annotated[
    int | None, typer.Option(help="Port; 0 takes a free one.  [default: 8080]", show_default=False)
]
Auth = Annotated[
    str | None,
    typer.Option(
        help="`off` allows calls without keys on purpose; needed beyond 127.0.0.1.", show_default=False
    ),
]
Gateways = Annotated[
    int | None, typer.Option(help="Gateway processes.  [default: one per CPU]", show_default=False)
]
Url = Annotated[str, typer.Option(envvar="SAGEBIRD_URL", help="Where the server is.")]


def main() -> None:
    """Run the command line; "can never start" ends with exit code 3 and one sentence."""
    try:
        app()
    except StartupError as error:
        sys.stderr.write(f"sagebird: {error.message}\n")
        sys.exit(NEVER_STARTS)


@app.callback(invoke_without_command=True)
def show_version(
    version: Annotated[bool, typer.Option("--version", help="Show the version and leave.")] = False,
) -> None:
    """Options of the command itself."""
    if version:
        typer.echo(f"sagebird {__version__}")
        raise typer.Exit


@app.command()
def serve(
    host: Host = None,
    port: Port = None,
    models: Annotated[
        Path | None, typer.Option(help="Folder of models.  [default: ./models]", show_default=False)
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of state.  [default: ./data]", show_default=False)
    ] = None,
    gateways: Gateways = None,
    auth: Auth = None,
) -> None:
    """Serve the endpoints that endpoints.yaml declares, until Ctrl-C or SIGTERM.

    Every setting is also a variable: SAGEBIRD_PORT, SAGEBIRD_MODEL_MEMORY, … (the README lists them).
    """
    settings = load_settings(host=host, port=port, models=models, data=data, gateways=gateways, auth=auth)
    compose = _start(settings)
    sys.exit(compose.serve(settings, _announce))


@app.command()
def container(
    model: Annotated[Path, typer.Option(help="Folder of the model.")] = Path("/opt/ml/model"),
    host: Host = None,
    port: Port = None,
    gateways: Gateways = None,
    auth: Auth = None,
    multi_model: Annotated[
        bool, typer.Option(envvar="SAGEMAKER_MULTI_MODEL", help="Start empty; models come by POST /models.")
    ] = False,
) -> None:
    """Serve one model as a SageMaker container does: /ping, /invocations, /models. Keeps no state.

    SAGEMAKER_BIND_TO_PORT and the other variables of serving containers are understood.
    """
    environment = {name: value for name, value in os.environ.items() if name.startswith("SAGEMAKER_")}
    if port is None:
        port = _number(environment, "SAGEMAKER_BIND_TO_PORT")
    if gateways is None:
        gateways = _number(environment, "SAGEMAKER_MODEL_SERVER_WORKERS")
    settings = load_settings(host=host, port=port, models=model, gateways=gateways, auth=auth)
    compose = _start(settings)
    sys.exit(compose.contain(settings, environment, multi_model, _announce))


@app.command()
def worker() -> None:
    """Run batch jobs only. Idle for now: batch transform is not served yet."""
    settings = load_settings()
    compose = _start(settings)
    sys.exit(compose.work(settings))


@app.command()
def invoke(
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT", help="Name of the endpoint.")],
    file: Annotated[
        str, typer.Argument(metavar="[FILE|-]", help="The request; - reads standard input.")
    ] = "-",
    content_type: Annotated[
        str | None,
        typer.Option(
            help="Content-Type.  [default: by the file's ending, else text/csv]", show_default=False
        ),
    ] = None,
    accept: Annotated[str | None, typer.Option(help="Accept, e.g. text/csv.", show_default=False)] = None,
    target_model: Annotated[
        str | None, typer.Option(help="Model of a multi-model endpoint.", show_default=False)
    ] = None,
    target_variant: Annotated[
        str | None, typer.Option(help="Ask this variant, whatever its weight.", show_default=False)
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Send one request to an endpoint; the answer goes to standard output, its variant to standard error."""
    body = _read_request(file)
    headers = {"Content-Type": content_type or _TYPES.get(Path(file).suffix, "text/csv")}
    for name, value in (
        ("Accept", accept),
        ("X-Amzn-SageMaker-Target-Model", target_model),
        ("X-Amzn-SageMaker-Target-Variant", target_variant),
    ):
        if value is not None:
            headers[name] = value
    path = f"/endpoints/{quote(endpoint, safe='')}/invocations"
    response = _call(url, "POST", path, content=body, headers=headers)
    sys.stdout.buffer.write(response.content)
    if sys.stdout.isatty() and not response.content.endswith(b"\n"):
        sys.stdout.write("\n")
    variant = response.headers.get("x-amzn-invoked-production-variant", "")
    sys.stderr.write(f"variant {variant}, {response.headers.get('content-type', '')}\n")


@app.command()
def endpoints(
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Show the endpoints that a running server has."""
    cards = _status(url)["endpoints"]
    if as_json:
        typer.echo(json.dumps(cards, indent=2))
        return
    table = Table("endpoint", "status", "variant", "weight", "share", "model")
    for card in cards:
        name = card["name"] + (" (default)" if card["default"] else "")
        for row, variant in enumerate(card["variants"]):
            table.add_row(
                escape(name if row == 0 else ""),
                card["status"] if row == 0 else "",
                escape(variant["name"] + (" (coming)" if variant["pending"] else "")),
                f"{variant['weight']:g}",
                f"{variant['share']:.0%}",
                escape(variant["model"]),
            )
    console = Console()
    console.print(table)
    for card in cards:
        if card["failure_reason"]:
            console.print(f"{card['name']}: {card['failure_reason']}", markup=False, style="red")


@app.command()
def models(
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Show the models that a running server has: on disk, loaded, or failed and why."""
    cards = _status(url)["models"]
    if as_json:
        typer.echo(json.dumps(cards, indent=2))
        return
    table = Table("model", "state", "gateways", "memory", "what it is")
    for card in cards:
        table.add_row(
            escape(card["name"]),
            card["state"],
            str(card["gateways"] or ""),
            f"{card['size_bytes'] / 2**20:.1f} MiB" if card["size_bytes"] else "",
            escape(card["description"]),
        )
    console = Console()
    console.print(table)
    for card in cards:
        for note in card["notes"]:
            console.print(f"{card['name']}: {note}", markup=False, style="yellow")


def _start(settings: Settings) -> Any:
    """Set logging up and import the roles: what only talks to a server never pays for them."""
    log.configure(settings.log_level, settings.log_format)
    limit_threads()
    from service import compose

    return compose


def _announce(address: str) -> None:
    sys.stderr.write(
        f"sagebird {__version__} on {address} (page: {address}/  docs: {address}/docs  stop: Ctrl-C)\n"
    )
    sys.stderr.flush()


def _read_request(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        _fail(f"{file} cannot be read: {error.strerror}.")


def _number(environment: dict[str, str], name: str) -> int | None:
    """A number that the platform passed, None if it did not. Raises StartupError."""
    text = environment.get(name, "")
    if text and not (text.isascii() and text.isdecimal()):
        raise StartupError(f"{name} must be a whole number (is {text!r}).")
    return int(text) if text else None


def _status(url: str) -> Any:
    response = _call(url, "GET", "/status")
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict) or not {"endpoints", "models"} <= document.keys():
        _fail(f"What answers at {url} is no sagebird: name another with --url.")
    return document


def _call(url: str, method: str, path: str, **options: Any) -> httpx.Response:
    """Send one request and return its answer; whatever else happens ends the command with a sentence."""
    try:
        response = httpx.request(method, url.rstrip("/") + path, timeout=75.0, **options)
    except UnicodeEncodeError as error:
        _fail(f"A header can only hold ASCII, not {error.object!r}.")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        _fail(
            f"No sagebird answers at {url} ({error}): start one with `sagebird serve`, or name another with "
            "--url."
        )
    if not response.is_success:
        _fail(_error_text(response))
    return response


def _error_text(response: httpx.Response) -> str:
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return f"{response.status_code}: {response.text}"
    message = document.get("OriginalMessage") or document.get("Message") or document
    return f"{response.status_code} {response.headers.get('x-amzn-errortype', '')}: {message}"


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"sagebird: {message}\n")
    raise typer.Exit(1)


if __name__ == "__main__":
    main()
