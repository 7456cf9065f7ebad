"""How a command that cannot do what it was asked ends: one sentence on standard error, exit code 1.

What it quotes of a model's code may have more lines.
"""

import sys
from typing import NoReturn

import typer

from service.cli.told import told_lines


def fail(message: str, code: int = 1) -> NoReturn:
    """End the command with a sentence."""
    sys.stderr.write(f"sagebird: {told_lines(message)}\n")
    raise typer.Exit(code)
