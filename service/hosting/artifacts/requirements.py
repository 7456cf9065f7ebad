"""Compares a model's requirements.txt with what is installed; installs nothing and asks no index."""

import re
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion

from service.errors import ModelFailure

_COMMENT: Final = re.compile(r"(?:^|\s)#.*$")
# Options of one requirement, e.g. --hash=sha256:…, follow it on the same line.
_LINE_OPTIONS: Final = re.compile(r"\s--?[A-Za-z].*$")
# What pip takes as a file or an address carries no name that could be looked up.
_PLACE: Final = re.compile(
    r"^(?:[A-Za-z][A-Za-z0-9+.-]*:[/\\]|[./~]|[^@;\s]*/|[^@\s]*\.(?:whl|zip|tar\.gz)$)"
)


def missing_requirements(folders: Iterable[Path]) -> tuple[str, ...]:
    """What the first requirements.txt in `folders` asks for and is not installed: one sentence for people.

    Nothing where each package is there in a fitting version, or where there is no such file. Lines that begin
    with an option (-r, -c, -e, --index-url), bare addresses and paths are passed over, as is what extras
    bring along; `name @ address` is checked by its name.

    Raises: ModelFailure naming the line that cannot be read.
    """
    file = next((each for folder in folders if (each := folder / "requirements.txt").is_file()), None)
    if file is None:
        return ()
    shown = f"{file.parent.name}/{file.name}"
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFailure(f"{shown} cannot be read: {error}.") from error
    wanting = dict.fromkeys(
        f"{_name(requirement)} ({lack})"
        for requirement in _requirements(text, shown)
        if (lack := _lack(requirement)) is not None
    )
    if not wanting:
        return ()
    *others, last = wanting
    names = f"{', '.join(others)} and {last}" if others else last
    them = "them" if others else "it"
    return (f"{shown} asks for {names}: install {them} beside sagebird if the model's code needs {them}.",)


def _requirements(text: str, shown: str) -> Iterator[Requirement]:
    for number, line in _logical_lines(text):
        wanted = _LINE_OPTIONS.sub("", _COMMENT.sub("", line).strip()).strip()
        if not wanted or wanted.startswith("-") or _PLACE.search(wanted):
            continue
        try:
            requirement = Requirement(wanted)
        except InvalidRequirement as error:
            raise ModelFailure(f"{shown}, line {number}: {wanted[:80]!r} is not a requirement.") from error
        if requirement.marker is None or requirement.marker.evaluate():
            yield requirement


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with the number of their first part; a backslash at the end joins the next line, as pip does."""
    first, joined = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if not joined:
            first = number
        if line.endswith("\\") and not _COMMENT.search(line):
            joined += line[:-1] + " "
            continue
        yield first, joined + line
        joined = ""
    if joined:
        yield first, joined


def _lack(requirement: Requirement) -> str | None:
    try:
        installed = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return "not installed"
    try:
        fits = requirement.specifier.contains(installed, prereleases=True)
    except InvalidVersion:
        fits = False
    return None if fits else f"{installed} is installed"


def _name(requirement: Requirement) -> str:
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}{requirement.specifier}"
