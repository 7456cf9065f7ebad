"""A runtime as small as one can be: it serves a file `*.const`, whose content is the answer."""

from pathlib import Path

from service.hosting.host import Answer, Call, Traits
from service.hosting.runtimes.runtime import Contents, Runtime

ENDING = ".const"


class Constant:
    """Answers every call alike, quickly enough for the event loop."""

    def __init__(self, content: bytes) -> None:
        self.traits = Traits("a constant", len(content), in_place=True)
        self._content = content

    def answer(self, call: Call) -> Answer:
        return Answer(self._content, "text/plain")

    def interface(self) -> None:
        """It takes anything."""


def _files(contents: Contents) -> list[Path]:
    return sorted(contents.folder.glob(f"*{ENDING}"))


def _serves(contents: Contents) -> bool:
    return bool(_files(contents))


def _load(contents: Contents) -> Constant:
    return Constant(_files(contents)[0].read_bytes())


CONSTANT = Runtime("constant", _serves, _load, (ENDING,))
