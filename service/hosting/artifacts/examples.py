"""Example requests that lie in a model's folder as example.csv, .json or .jsonl."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from service.hosting.host import Call
from service.media.types import OF_ENDING

_EXAMPLES: Final = ("example.csv", "example.json", "example.jsonl")
_MOST_BYTES: Final = 6 << 20  # no example of a call is larger than a call may be


def example_call(folder: Path) -> Call | None:
    """The first example request of a model's folder; None if there is none."""
    return next(_examples_in(folder), None)


def example_calls(folder: Path) -> list[Call]:
    """All example requests of a model's folder."""
    return list(_examples_in(folder))


def _examples_in(folder: Path) -> Iterator[Call]:
    for name in _EXAMPLES:
        file = folder / name
        if file.is_file() and file.stat().st_size <= _MOST_BYTES:
            yield Call(file.read_bytes(), OF_ENDING[file.suffix], None)
