"""README.md does what it says: its console blocks are run, its tables compared with the code."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from service.cli import app
from service.settings import Settings
from tests.conftest import ROOT, RunningServer

DOCUMENTS = sorted(
    path for path in ROOT.glob("**/*.md") if not {".venv", "data"} & set(path.relative_to(ROOT).parts)
)
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
CARDS = sorted(path.parent.name for path in (ROOT / "models").glob("*/README.md"))


def sessions() -> list[str]:
    """The console blocks: commands behind `$ `, each with the output that follows it."""
    return re.findall(r"^```console\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def steps(session: str) -> Iterator[tuple[str, str]]:
    """Pairs of a command, which goes on to where its last quote ends, and what it must print."""
    for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        end = 1
        while "\n".join(lines[:end]).count("'") % 2:
            end += 1
        yield "\n".join(lines[:end]), "\n".join(lines[end:])


@pytest.mark.parametrize("number", range(len(sessions())))
def test_console_blocks_print_what_they_say(number: int, samples: RunningServer, tmp_path: Path) -> None:
    script, expected = ["cd " + str(tmp_path)], ""
    (tmp_path / "models").symlink_to(ROOT / "models")
    for command, output in steps(sessions()[number]):
        script.append(command)
        expected += output + "\n" if output else ""
    result = run("\n".join(script), samples)

    assert separate(result) == separate(expected)


def test_there_are_console_blocks_for_curl_and_the_aws_clients() -> None:
    commands = [command for session in sessions() for command, _ in steps(session)]

    for word in ("curl ", "aws sagemaker-runtime", "boto3", "sagebird invoke"):
        assert any(word in command for command in commands), word


@pytest.mark.parametrize("card", CARDS)
def test_the_curl_lines_of_model_cards_work(card: str, samples: RunningServer) -> None:
    text = (ROOT / "models" / card / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^curl .*$", text, re.MULTILINE)

    assert lines
    for line in lines:
        status = run(f"cd {ROOT}; {line} -s -o /dev/null -w '%{{http_code}}'", samples)
        assert status == "200", line


def test_the_settings_table_is_that_of_the_code() -> None:
    table = load(ROOT / "tests" / "docs" / "settings_table.py")

    assert table.shown() == table.render(), "run: python tests/docs/settings_table.py"
    assert all(f"`SAGEBIRD_{name.upper()}`" in TEXT for name in Settings.model_fields)


def test_every_command_is_named() -> None:
    for command in app.registered_commands:
        name = command.name or command.callback.__name__  # type: ignore[union-attr]  # every command has one
        assert re.search(rf"\b{name}\b", TEXT), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", document.read_text(encoding="utf-8")):
        assert "://" in target or (document.parent / target).exists(), target


def test_make_targets_and_compose_services_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    for target in re.findall(r"\bmake ([a-z]+)", TEXT):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    assert (ROOT / "docker-compose.yml").is_file()


def run(script: str, server: RunningServer) -> str:
    """Run shell lines against the test's server, which has another port than the one in the documents."""
    port = server.url.rpartition(":")[2]
    script = script.replace(":8080", f":{port}").replace("localhost:", "127.0.0.1:")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "PATH": path, "SAGEBIRD_URL": server.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=60,
        check=False,
    )
    return result.stdout


def separate(output: str) -> str:
    """Outputs without their line ends: curl's bodies have none, and a console shows one."""
    return re.sub(r"\s+", "", output)


def load(file: Path) -> ModuleType:
    """Import a script by its path."""
    spec = spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
