"""How a command that cannot do what it was asked ends: one sentence on standard error, exit code 1."""

import sys
from typing import NoReturn

import typer

from service.cli.told import told


def fail(message: str) -> NoReturn:
    """End the command with a sentence."""
    sys.stderr.write(f"sagebird: {told(message)}\n")
    raise typer.Exit(1)
