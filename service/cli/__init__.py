"""The command line: its commands, one file per family, joined to one application."""

import sys
from typing import Annotated

import typer

from service import __version__
from service.cli.calls import endpoints, invoke, models
from service.cli.deployments import delete, deploy, describe, weights
from service.cli.load import load
from service.cli.roles import container, serve, worker
from service.cli.transform import transform
from service.errors import StartupError
from service.supervisor import NEVER_STARTS

app = typer.Typer(
    help="SageMaker hosting without SageMaker: endpoints that boto3, the aws CLI and curl call unchanged.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


for _command in (
    serve,
    container,
    worker,
    transform,
    deploy,
    invoke,
    load,
    endpoints,
    describe,
    weights,
    delete,
    models,
):
    app.command()(_command)
