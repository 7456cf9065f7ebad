"""The commands that start processes (serve, container, worker): argv -> Settings -> a function of compose."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from service import __version__, log
from service.cli.folders import DataFolder, ModelsFolder
from service.cli.unknown import unknown_settings
from service.errors import StartupError
from service.hosting.memory import importing
from service.hosting.runtimes.preload import limit_threads
from service.imports import left_out
from service.settings import Settings, load_settings

ListenHost = Annotated[
    str | None, typer.Option(help="Address to listen on.  \\[default: 127.0.0.1]", show_default=False)
]
ListenPort = Annotated[
    int | None, typer.Option(help="Port; 0 takes a free one.  \\[default: 8080]", show_default=False)
]
Auth = Annotated[
    str | None,
    typer.Option(
        help="`keys` asks for keys, `off` allows calls without on purpose; one is needed beyond 127.0.0.1.",
        show_default=False,
    ),
]
Gateways = Annotated[
    int | None, typer.Option(help="Gateway processes.  \\[default: one per CPU]", show_default=False)
]


def serve(
    host: ListenHost = None,
    port: ListenPort = None,
    models: ModelsFolder = None,
    data: DataFolder = None,
    gateways: Gateways = None,
    auth: Auth = None,
) -> None:
    """Serve the endpoints that endpoints.yaml declares, until Ctrl-C or SIGTERM.

    Every setting is also a variable: SAGEBIRD_PORT, SAGEBIRD_MODEL_MEMORY, … (docs/reference/settings.md).
    """
    settings = load_settings(host=host, port=port, models=models, data=data, gateways=gateways, auth=auth)
    compose = start(settings)
    _leave(compose.serve(settings, lambda address: _announce(settings.public_url or address)))


def container(
    model: Annotated[Path, typer.Option(help="Folder of the model.")] = Path("/opt/ml/model"),
    host: ListenHost = None,
    port: ListenPort = None,
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
    if settings.auth == "keys":
        raise StartupError(
            "A container keeps no state and so no keys: leave SAGEBIRD_AUTH, or set it to off."
        )
    compose = start(settings)
    _leave(compose.contain(settings, environment, multi_model, _announce))


def worker(
    models: ModelsFolder = None,
    data: DataFolder = None,
    processes: Annotated[
        int | None,
        typer.Option(help="Processes with the model.  \\[default: one per CPU]", show_default=False),
    ] = None,
) -> None:
    """Do batch transform jobs beside a server that has the same data folder, until Ctrl-C or SIGTERM."""
    settings = load_settings(models=models, data=data, worker_processes=processes)
    compose = start(settings)
    sys.exit(compose.work(settings))


def start(settings: Settings) -> Any:
    """Set logging up and import the roles: what only talks to a server never pays for them."""
    log.configure(settings.log_level, settings.log_format)
    for sentence in unknown_settings(os.environ):
        log.get_logger("sagebird.settings").warning("unknown setting", reason=sentence)
    limit_threads()
    with importing(), left_out("pygments", "rich"):  # they are for terminals
        from service import compose

        return compose


def _announce(address: str) -> None:
    sys.stderr.write(
        f"sagebird {__version__} on {address} (page: {address}/  docs: {address}/docs  stop: Ctrl-C)\n"
    )
    sys.stderr.flush()


def _leave(code: int) -> NoReturn:
    """Exit as the family did; who stopped it is told that it is over."""
    if not code:
        sys.stderr.write("sagebird is stopped\n")
    sys.exit(code)


def _number(environment: dict[str, str], name: str) -> int | None:
    """A number that the platform passed, None if it did not. Raises StartupError."""
    text = environment.get(name, "")
    if text and not (text.isascii() and text.isdecimal()):
        raise StartupError(f"{name} must be a whole number (is {text!r}).")
    return int(text) if text else None
