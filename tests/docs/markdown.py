"""Reads the fenced blocks of a document, and the commands in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCED = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_HEREDOC = re.compile(r"<<'(\w+)'")


@dataclass(frozen=True, slots=True)
class Fenced:
    """One fenced block: its language and its lines."""

    language: str
    text: str


def read_blocks(file: Path) -> list[Fenced]:
    """The fenced blocks of a document, in order."""
    return [Fenced(found[2], found[3]) for found in _FENCED.finditer(file.read_text(encoding="utf-8"))]


def read_steps(session: str) -> Iterator[tuple[str, str]]:
    """The commands of a console block, each with what it prints; a command starts behind `$ `."""
    for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        end = next(number for number in range(1, len(lines) + 1) if _is_whole(lines[:number]))
        yield "\n".join(lines[:end]), "\n".join(lines[end:]).strip("\n")


def _is_whole(lines: list[str]) -> bool:
    """Whether a shell would run these lines instead of asking for more."""
    heredoc = _HEREDOC.search(lines[0])
    if heredoc is not None:
        return lines[-1] == heredoc[1]
    return not lines[-1].endswith("\\") and "\n".join(lines).count("'") % 2 == 0
