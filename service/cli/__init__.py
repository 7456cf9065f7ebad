"""The command line: its commands, one file per family, joined to one application."""

import sys
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand

from service import __version__
from service.errors import StartupError
from service.native import kernels
from service.objects.beneath import shown
from service.processes.supervisor import NEVER_STARTS

_COMMANDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("serve", "container", "worker"), "roles"),
        "demo": "demo",
        "run": "run",
        "transform": "transform",
        "jobs": "jobs",
        "logs": "logs",
        "deploy": "deployments",
        "invoke": "calls",
        "load": "load",
        "compare": "compare",
        **dict.fromkeys(
            (
                "outcomes",
                "experiment",
            ),
            "experiment",
        ),
        "promote": "promote",
        "endpoints": "calls",
        **dict.fromkeys(("describe", "weights", "delete"), "deployments"),
        "models": "calls",
        "install": "install",
        "client": "client",
        "keys": "keys",
    }
)
"""Commands in the order of the help -> the file that has it."""

_WITHOUT_KERNELS: Final = (
    "Without kernels: with a C compiler on this machine, install sagebird again, and it reads CSV and walks "
    "trees several times as fast."
)


def main() -> None:
    """Run the command line; "can never start" ends with exit code 3 and one sentence."""
    try:
        make_app(next(iter(sys.argv[1:]), ""))()
    except StartupError as error:
        sys.stderr.write(f"sagebird: {shown(error.message)}\n")
        sys.exit(NEVER_STARTS)


def make_app(wanted: str = "") -> typer.Typer:
    """The application. Named a command, it has only that one: what the others import takes 0.3 s."""
    app = typer.Typer(
        help="SageMaker hosting without SageMaker: endpoints that boto3, the aws CLI and curl call "
        "unchanged.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(show_version)
    for name in [wanted] if wanted in _COMMANDS else _COMMANDS:
        found = getattr(import_module(f"service.cli.{_COMMANDS[name]}"), name)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(cls=_Command, help=_flowing(found.__doc__))(found)
    return app


def _flowing(text: str) -> str:
    """Paragraphs of one line each: help breaks them to the terminal's width, and not where the code does."""
    return "\n\n".join(" ".join(each.split()) for each in text.split("\n\n"))


class _Command(TyperCommand):
    """A command whose usage line has what must be given bare, as the documents have it, and not in braces."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]


def show_version(
    version: Annotated[bool, typer.Option("--version", help="Show the version and leave.")] = False,
) -> None:
    """Options of the command itself."""
    if version:
        typer.echo(f"sagebird {__version__}")
        if kernels is None:
            typer.echo(_WITHOUT_KERNELS, err=True)
        raise typer.Exit
