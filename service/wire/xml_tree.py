"""XML of AWS's protocols: a document read into a tree, and text as a document may hold it. No shapes in here.

Documents come from strangers: what expat would look up or expand is refused, and so is what is too deep or
has too many elements.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat

_MOST_ELEMENTS = 150_000  # 10,000 parts with their checksums
_MOST_LEVELS = 32
_MARKUP = re.compile('[&<>"\r\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]')


@dataclass(slots=True)
class Element:
    """One element; `name` is without its namespace."""

    name: str
    text: str = ""
    children: list["Element"] = field(default_factory=list)

    def of_name(self, name: str) -> Iterator["Element"]:
        """Its children that are called so."""
        return (child for child in self.children if child.name == name)


def read_tree(data: bytes) -> Element:
    """The root of a document. Raises ValueError where it is none that is read."""
    reading = _Reading()
    try:
        reading.parser.Parse(data, True)
    except (expat.ExpatError, LookupError) as error:  # LookupError: an encoding that nobody knows
        raise ValueError(str(error)) from None
    return reading.top.children[0]


class _Reading:
    def __init__(self) -> None:
        self.top = Element("")
        self._open = [self.top]
        self._texts: list[list[str]] = [[]]  # of each that is open, to be joined at its end
        self._count = 0
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._add
        self.parser.StartDoctypeDeclHandler = self._refuse

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > _MOST_ELEMENTS or len(self._open) > _MOST_LEVELS:
            raise ValueError("too many elements, or too deep")
        element = Element(name.rpartition(" ")[2])
        self._open[-1].children.append(element)
        self._open.append(element)
        self._texts.append([])

    def _end(self, _name: str) -> None:
        self._open.pop().text = "".join(self._texts.pop())

    def _add(self, text: str) -> None:
        self._texts[-1].append(text)

    def _refuse(self, *_declared: object) -> NoReturn:
        raise ValueError("a document type is declared")


def escaped(text: str) -> str:
    """Text for a document; what XML 1.0 cannot hold is a reference all the same, as S3 has it."""
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", text)
