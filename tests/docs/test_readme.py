"""README.md and docs/ do what they say: a newcomer follows each page, over a copy of the samples."""

import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import unified_diff
from functools import cache
from pathlib import Path

import httpx
import pytest
import yaml

from tests.conftest import ROOT, RunningServer, StartServer
from tests.docs.markdown import Fenced, read_blocks, read_steps
from tests.docs.terminal import Terminal

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
CARDS = sorted(path.parent.name for path in (ROOT / "models").glob("*/README.md"))
ORIGIN = "http://localhost:3000"
_PATIENCE_S = 10.0
_DURATION = re.compile(r"after [0-9.]+ s(?: \([0-9,]+ rows/s\))?")
_LONG_NUMBER = re.compile(r"-?[0-9]+\.[0-9]{10,}(?:e-?[0-9]+)?")
_FILE_NAME = re.compile(r"# (models/[\w/.-]+)\n")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do: a command or a Python program, and what it prints."""

    command: str
    output: str


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who follows the page in a folder of their own, with the server running."""

    terminal: Terminal
    server: RunningServer

    def do(self, step: Step) -> str:
        """Do it and return what it printed.

        It is tried until the server has seen the change of the models folder that came before.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            printed = self.terminal.type(step.command)
            if rounded(printed) == rounded(step.output) or time.monotonic() > deadline:
                return printed

    def stamp(self) -> dict[Path, int]:
        """What tells whether the models folder was changed."""
        return {path: path.stat().st_mtime_ns for path in self.server.models.rglob("*.*")}


@pytest.fixture(scope="module")
def readers(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Reader]:
    """A reader for each page, whose server serves a copy of the samples: pages add models and edit files."""

    @cache
    def reader(_page: Path) -> Reader:
        folder = tmp_path_factory.mktemp("checkout")
        shutil.copytree(ROOT / "models", folder / "models", ignore=shutil.ignore_patterns("__pycache__"))
        server = start_server(folder / "models", folder / "data", cors_origins=ORIGIN, workers="1")
        server.shared = True  # by all tests of the page
        return Reader(Terminal(folder, server.url), server)

    return reader


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_everything_that_a_page_shows_is_printed(page: Path, readers: Callable[[Path], Reader]) -> None:
    reader = readers(page)
    failures = []
    before = reader.stamp()
    for step in steps(read_blocks(page)):
        after = reader.stamp()
        printed = reader.do(step) if after != before else reader.terminal.type(step.command)
        before = after
        if rounded(printed) != rounded(step.output):
            difference = unified_diff(
                step.output.splitlines(), printed.splitlines(), page.name, "printed", n=99
            )
            failures.append(f"$ {step.command}\n" + "\n".join(difference))

    assert not failures, "\n\n".join(["", *failures])


def test_readme_shows_every_way_to_call() -> None:
    commands = [step.command for step in steps(read_blocks(README))]

    for word in (
        "curl ",
        "aws sagemaker-runtime",
        "import boto3",
        "sagebird invoke",
        "sagebird endpoints",
        "sagebird deploy",
    ):
        assert any(word in command for command in commands), word


def test_the_page_in_a_browser_may_do_what_its_example_does(readers: Callable[[Path], Reader]) -> None:
    server = readers(README).server
    (example,) = (block.text for block in read_blocks(README) if block.language == "js")
    headers = yaml.safe_load(re.findall(r"headers: ({.*})", example)[0])
    url = re.findall(r'fetch\("(.*?)"', example)[0].replace("http://localhost:8080", server.url)
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": ",".join(headers).lower(),
    }

    preflight = httpx.options(url, headers={"Origin": ORIGIN, **asked})
    body = re.findall(r'body: "(.*?)"', example)[0]
    answer = httpx.post(url, content=body, headers={"Origin": ORIGIN, **headers})

    assert preflight.is_success
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert (answer.status_code, answer.json()) == (200, [0])
    readable = answer.headers["access-control-expose-headers"].lower()
    assert re.findall(r'get\("(.*?)"\)', example)[0] in readable
    assert f"SAGEBIRD_CORS_ORIGINS={ORIGIN} make serve" in README.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "line",
    [line for block in read_blocks(README) if block.language == "sh" for line in block.text.splitlines()],
)
def test_what_readme_sets_up_is_there(line: str) -> None:
    words = [word for word in shlex.split(line) if "=" not in word]

    match words:
        case ["make", target]:
            assert re.search(
                rf"^{target}:.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
            )
        case ["docker", "compose", "up" | "down", *_]:
            services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
            assert {"server", "worker"} <= set(services)
        case ["docker", "compose", "exec", service, "sagebird", command, *_]:
            services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
            assert services[service]["command"][0] == "sagebird"
            assert f"| `sagebird {command}" in README.read_text(encoding="utf-8")
        case ["pip", "install", "--constraint", constraints, *packages]:
            pinned = (ROOT / constraints).read_text(encoding="utf-8")
            assert all(f"\n{package}==" in pinned for package in packages)
        case ["git", "restore", file]:
            assert (ROOT / file).is_file()
        case ["rm", "-r", *paths]:
            typed = "\n".join(step.command for step in steps(read_blocks(README)))
            assert all(path.removesuffix(".bak") in typed for path in paths)
        case [".", script]:
            assert script == ".venv/bin/activate"  # made by make serve
        case _:
            pytest.fail(f"nothing checks this line of README.md: {line}")


@pytest.mark.parametrize("card", CARDS)
def test_the_calls_of_a_model_card_work(card: str, samples: RunningServer) -> None:
    calls = [
        block.text for block in read_blocks(ROOT / "models" / card / "README.md") if block.language == "sh"
    ]
    counted = "curl() { command curl -s -o /dev/null -w '%{http_code}\\n' \"$@\"; }\n"

    statuses = Terminal(ROOT, samples.url).type(counted + "\n".join(calls)).split()

    assert statuses == ["200"] * "\n".join(calls).count("curl ")
    assert len(statuses) >= 2


def steps(blocks: list[Fenced]) -> Iterator[Step]:
    """What the page asks to do, in order: console commands, Python programs, Python files to write."""
    for number, block in enumerate(blocks):
        if block.language == "console":
            yield from (Step(*pair) for pair in read_steps(block.text))
        elif block.language == "python":
            named = _FILE_NAME.match(block.text)
            target = f"cat > {named[1]}" if named else "python -"
            following = blocks[number + 1] if number + 1 < len(blocks) else None
            output = following.text if following is not None and following.language == "text" else ""
            yield Step(f"{target} <<'END'\n{block.text}END", output.strip("\n"))


def rounded(text: str) -> str:
    """The text without what differs from machine to machine: last digits of long numbers, durations."""
    text = _DURATION.sub("after … s", text.replace("127.0.0.1:8080", "localhost:8080"))
    return _LONG_NUMBER.sub(lambda number: f"{float(number[0]):.9g}", text)
