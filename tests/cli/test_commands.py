"""Which commands there are, and that one does not pay for what only others need."""

import subprocess
import sys

import pytest
import typer.main
from typer.testing import CliRunner

from service.cli import make_app


def _names(wanted: str = "") -> list[str]:
    return list(typer.main.get_command(make_app(wanted)).commands)  # type: ignore[attr-defined]  # it is a group


def test_the_help_has_all_commands_in_order() -> None:
    assert _names() == [
        *("serve", "container", "worker", "demo", "run", "transform", "jobs", "logs", "deploy", "invoke"),
        *("load", "compare"),
        *("outcomes", "experiment", "promote"),
        *("endpoints", "describe", "weights", "delete", "models", "install", "client", "keys"),
    ]


@pytest.mark.parametrize("wanted", ["", "--help", "-h", "nonsense"])
def test_whatever_is_no_command_meets_all_of_them(wanted: str) -> None:
    assert len(_names(wanted)) == 23


@pytest.mark.parametrize("name", _names())
def test_a_command_that_is_named_comes_alone(name: str) -> None:
    assert _names(name) == [name]


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("invoke", "[OPTIONS] ENDPOINT [FILE|-]"),
        ("load", "[OPTIONS] [ENDPOINT]"),
        ("weights", "[OPTIONS] ENDPOINT VARIANT=WEIGHT..."),
        ("install", "[OPTIONS] [PACKAGE]..."),
    ],
)
def test_usage_has_neither_braces_nor_brackets_in_brackets(name: str, usage: str) -> None:
    shown = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(make_app(name), [name, "--help"]).output
    (line,) = (line.strip() for line in shown.splitlines() if "Usage:" in line)

    assert line.endswith(usage)
    assert "{" not in line


def test_a_server_imports_no_client() -> None:
    program = (
        "import sys; sys.argv = ['sagebird', 'serve', '--help']\n"
        "from service.cli import main\n"
        "try: main()\n"
        "except SystemExit: print({'httpx', 'rich.progress'} & sys.modules.keys())"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.endswith("set()\n")
