"""Somebody who follows a page: does what it asks in a folder with the samples, and reads what is printed."""

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any

from service.settings import DEPLOYMENTS
from tests.conftest import RunningServer
from tests.docs.markdown import Fenced, read_blocks, read_steps
from tests.docs.terminal import Terminal

_PATIENCE_S = 60.0
_SHARED = ("s3", "inbox", "outbox")  # of the data folder: what a page may put there
_DURATION = re.compile(r"after [0-9.]+ s(?: \([0-9,]+ rows/s\))?")
_LONG_NUMBER = re.compile(r"-?[0-9]+\.[0-9]{10,}(?:e-?[0-9]+)?")
_FILE_NAME = re.compile(r"# (models/[\w/.-]+)\n")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do: a command or a Python program, and what it prints."""

    command: str
    output: str

    def failure(self, printed: str) -> str | None:
        """How what was printed differs from what the page shows; None if it does not."""
        if rounded(printed) == rounded(self.output):
            return None
        difference = unified_diff(self.output.splitlines(), printed.splitlines(), "page", "printed", n=99)
        return f"$ {self.command}\n" + "\n".join(difference)


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody in a folder of their own, with the server of that folder running."""

    folder: Path
    server: RunningServer
    sagemaker: Any
    """A boto3 client of that server."""

    def follow(self, page: Path) -> list[str]:
        """Do all that the page asks, in a new terminal; what was printed otherwise than it shows.

        After a change of the models folder a step is tried until the server has seen that.
        """
        terminal = Terminal(self.folder, self.server.url)
        failures = []
        before = self._stamp()
        for step in steps(read_blocks(page)):
            after = self._stamp()
            patience_s = _PATIENCE_S if after != before else 0.0
            failures.append(_try(terminal, step, patience_s))
            before = after
        return [failure for failure in failures if failure is not None]

    def files(self) -> set[str]:
        """What lies in the folder, but for what the server keeps for itself."""
        paths = (path.relative_to(self.folder) for path in self.folder.rglob("*"))
        return {path.as_posix() for path in paths if not _is_the_servers(path)}

    def served(self) -> dict[str, list[tuple[str, float]]]:
        """The endpoints with the weights of their variants; models and configurations, which have none."""
        client = self.sagemaker
        endpoints = [each["EndpointName"] for each in client.list_endpoints()["Endpoints"]]
        configs = [each["EndpointConfigName"] for each in client.list_endpoint_configs()["EndpointConfigs"]]
        models = [each["ModelName"] for each in client.list_models()["Models"]]
        weights = {name: self._weights(name) for name in endpoints}
        return weights | {name: [] for name in [*configs, *models]}

    def _weights(self, endpoint: str) -> list[tuple[str, float]]:
        try:
            shown = self.sagemaker.describe_endpoint(EndpointName=endpoint)
        except self.sagemaker.exceptions.ClientError:  # gone since it was listed
            return []
        return [(each["VariantName"], each["CurrentWeight"]) for each in shown.get("ProductionVariants", [])]

    def _stamp(self) -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in self.server.models.rglob("*.*")}


def steps(blocks: Iterable[Fenced]) -> Iterator[Step]:
    """What a page asks to do, in order: console commands, Python programs, Python files to write."""
    shown = list(blocks)
    for number, block in enumerate(shown):
        if block.language == "console":
            yield from (Step(*pair) for pair in read_steps(block.text))
        elif block.language == "python":
            named = _FILE_NAME.match(block.text)
            target = f"cat > {named[1]}" if named else "python -"
            following = shown[number + 1] if number + 1 < len(shown) else None
            output = following.text if following is not None and following.language == "text" else ""
            yield Step(f"{target} <<'END'\n{block.text}END", output.strip("\n"))


def rounded(text: str) -> str:
    """The text without what differs from machine to machine: last digits of long numbers, durations."""
    text = _DURATION.sub("after … s", text.replace("127.0.0.1:8080", "localhost:8080"))
    return _LONG_NUMBER.sub(lambda number: f"{float(number[0]):.9g}", text)


def _try(terminal: Terminal, step: Step, patience_s: float) -> str | None:
    deadline = time.monotonic() + patience_s
    while True:
        failure = step.failure(terminal.type(step.command))
        if failure is None or time.monotonic() >= deadline:
            return failure


def _is_the_servers(path: Path) -> bool:
    if path.parts[0] == "data":
        return len(path.parts) < 3 or path.parts[1] not in _SHARED or path.name == DEPLOYMENTS
    return "__pycache__" in path.parts
