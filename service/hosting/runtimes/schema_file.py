"""What schema.json beside a model says that it takes and gives, which counts more than what the model tells.

It describes calls and changes no answer: so a file that cannot be followed is a note of its model, which is
served as without it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson

from service.hosting.host import Column, Interface, Model, Plain, Traits

FILE: Final = "schema.json"

_MOST_BYTES: Final = 1 << 20
_MOST_COLUMNS: Final = 1000
_MOST_WORDS: Final = 1000
_MOST_CLASSES: Final = 10_000
_MEMBERS: Final = ("columns", "classes")
_OF_COLUMN: Final = ("name", "type", "words", "gaps")
_TYPES: Final = ("number", "text")


class _Unfit(Exception):
    """It cannot be followed; the sentence says why."""


@dataclass(frozen=True, slots=True)
class GivenSchema:
    """What is given by hand: () where nothing is said."""

    columns: tuple[Column, ...] = ()
    classes: tuple[Plain, ...] = ()


class _Described:
    """A model, with what is said of it by hand."""

    def __init__(self, model: Model, traits: Traits, interface: Interface | None) -> None:
        self._model = model
        self._interface = interface
        self.traits = traits
        self.answer = model.answer

    def interface(self) -> Interface | None:
        return self._interface


def with_schema(model: Model, folder: Path) -> Model:
    """The model as the file in its folder says, or itself where there is none. Raises OSError."""
    file = folder / FILE
    if not file.is_file():
        return model
    learnt = model.interface()
    try:
        return _Described(model, model.traits, _merged(_read(file), learnt))
    except _Unfit as why:
        note = f"{FILE} is not followed: {why}."
        traits = replace(model.traits, warnings=(*model.traits.warnings, note))
        return _Described(model, traits, learnt)


def _read(file: Path) -> GivenSchema:
    if file.stat().st_size > _MOST_BYTES:
        raise _Unfit(f"it has more than {_MOST_BYTES:,} bytes")
    try:
        document = orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError as error:
        raise _Unfit(f"it is no JSON ({error})") from error
    if not isinstance(document, dict) or not document:
        raise _Unfit("it must be an object with columns, classes or both")
    _check_members(document, _MEMBERS, "it")
    columns, classes = document.get("columns", []), document.get("classes", [])
    if not isinstance(columns, list) or len(columns) > _MOST_COLUMNS:
        raise _Unfit(f"columns must be a list of at most {_MOST_COLUMNS:,}")
    if not isinstance(classes, list) or not all(isinstance(each, str | int | float) for each in classes):
        raise _Unfit("classes must be a list of words, numbers or truth values")
    if len(classes) > _MOST_CLASSES:
        raise _Unfit(f"there may be {_MOST_CLASSES:,} classes")
    found = GivenSchema(tuple(_column(each, at) for at, each in enumerate(columns, 1)), tuple(classes))
    _check_once([column.name for column in found.columns], "column")
    _check_once(list(map(repr, found.classes)), "class")
    return found


def _column(given: Any, place: int) -> Column:
    """A name alone is one of numbers."""
    if isinstance(given, str):
        given = {"name": given}
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise _Unfit(f"column {place} must be a name, or an object that has one")
    name = given["name"]
    _check_members(given, _OF_COLUMN, f"column {name}")
    words, gaps = given.get("words", []), given.get("gaps", False)
    kind = given.get("type", "text" if words else "number")
    if kind not in _TYPES or (words and kind != "text"):
        raise _Unfit(f"the type of column {name} must be {' or '.join(_TYPES)}, and text where it has words")
    if not isinstance(words, list) or not all(isinstance(each, str) for each in words):
        raise _Unfit(f"the words of column {name} must be a list of texts")
    if len(words) > _MOST_WORDS or not isinstance(gaps, bool):
        raise _Unfit(f"column {name} may have {_MOST_WORDS:,} words, and gaps that are true or false")
    return Column(name, kind == "text", tuple(words), gaps)


def _check_members(given: Iterable[str], known: tuple[str, ...], what: str) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise _Unfit(f"{what} may have {', '.join(known)}, not {', '.join(unknown)}")


def _check_once(names: list[str], what: str) -> None:
    name, number = Counter(names).most_common(1)[0] if names else ("", 0)
    if number > 1:
        raise _Unfit(f"{what} {name} is there twice")


def _merged(given: GivenSchema, learnt: Interface | None) -> Interface:
    """What is given, in front of what the model tells; of built-in code both must be true."""
    if learnt is None:
        learnt = Interface(True, None, (), (), False, None)
    if not learnt.scripted:
        _check_true(given, learnt)
    if given.columns:
        learnt = replace(learnt, columns=given.columns, width=len(given.columns))
    return replace(learnt, labels=given.classes, numbers=False) if given.classes else learnt


def _check_true(given: GivenSchema, learnt: Interface) -> None:
    """A model that scikit-learn answers by itself takes its own columns and says its own labels."""
    names = [column.name for column in given.columns]
    if names and learnt.texts:
        raise _Unfit("the model takes texts, which have no columns")
    own = [column.name for column in learnt.columns]
    width = len(own) if own else learnt.width
    if names and width not in (None, len(names)):
        raise _Unfit(f"it has {len(names)} columns, and the model was fitted with {width}")
    if names and own and names != own:
        at = next(at for at, pair in enumerate(zip(names, own, strict=True)) if pair[0] != pair[1])
        raise _Unfit(f"its column {at + 1} is called {names[at]}, and the model's {own[at]}")
    if given.classes and learnt.labels and set(given.classes) != set(learnt.labels):
        raise _Unfit(f"the model's classes are {', '.join(map(str, learnt.labels))}")
    if given.classes and learnt.numbers:
        raise _Unfit("the model answers numbers, which are of no class")
