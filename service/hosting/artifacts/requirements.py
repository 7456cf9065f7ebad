"""Reads a model's requirements.txt and compares it with what is installed; installs nothing."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from service.errors import ModelFailure

_COMMENT: Final = re.compile(r"(?:^|\s)#.*$")
# Options of one requirement, e.g. --hash=sha256:…, follow it on the same line.
_LINE_OPTIONS: Final = re.compile(r"\s--?[A-Za-z].*$")
# What pip takes as a file or an address carries no name that could be looked up.
_PLACE: Final = re.compile(
    r"^(?:[A-Za-z][A-Za-z0-9+.-]*:[/\\]|[./~]|[^@;\s]*/|[^@\s]*\.(?:whl|zip|tar\.gz)$)"
)
_FURTHER: Final = re.compile(r"^(?:-r|--requirement)[\s=]*(\S+)$")
_INDEX: Final = re.compile(
    r"^(?:-i|-f|--(?:index-url|extra-index-url|find-links|no-index|trusted-host|pre))\b"
)
_MOST_FILES: Final = 20
_MOST_BYTES: Final = 4 << 20  # of a file, which may have fifty hashes for each package
_MOST_NEEDED: Final = 2000
# Distributions of the same modules, in the same versions, as others.
_SAME: Final = MappingProxyType(
    {
        "xgboost": "xgboost-cpu",
        "onnxruntime": "onnxruntime-gpu",
        "opencv-python": "opencv-python-headless",
        "psycopg2": "psycopg2-binary",
        "tensorflow": "tensorflow-cpu",
    }
)
_OWN_ENVIRONMENT: Final = "SAGEBIRD_ENVIRONMENTS can give it an environment of its own"


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a requirements.txt asks for.

    `shown` is its name for people; `texts` are it and the files that it names. `needed` is what applies here;
    that is all if it is `plain`, else the file names places and limits that only an installer can tell.
    """

    file: Path
    shown: str
    texts: tuple[str, ...]
    needed: tuple[Requirement, ...]
    plain: bool


def read_requirements(file: Path) -> Requirements:
    """Read the file, and those beside it that it names.

    Bare addresses and paths (also by -e), and files elsewhere, are passed over, as is what extras bring
    along; `name @ address` counts by its name. Raises ModelFailure naming the line that cannot be read.
    """
    texts: list[str] = []
    needed: list[Requirement] = []
    plain = True
    files = [file]
    for each in files:  # which grows meanwhile
        shown = f"{each.parent.name}/{each.name}"
        text = _read(each, shown)
        texts.append(text)
        for number, line in _logical_lines(text):
            wanted = _LINE_OPTIONS.sub("", _COMMENT.sub("", line).strip()).strip()
            further = _FURTHER.match(_COMMENT.sub("", line).strip())
            if further is not None:
                other = _beside(each, further[1])
                plain = plain and other is not None and len(files) < _MOST_FILES
                files += [other] if other is not None and other not in files and plain else []
            elif _INDEX.match(wanted):
                continue
            elif wanted.startswith("-") or _PLACE.search(wanted):
                plain = False
            elif wanted:
                needed += _requirement(wanted, shown, number)
                if len(needed) > _MOST_NEEDED:
                    raise ModelFailure(f"{shown} asks for more than {_MOST_NEEDED:,} packages.")
    return Requirements(file, f"{file.parent.name}/{file.name}", tuple(texts), tuple(needed), plain)


def lacking(needed: Iterable[Requirement]) -> tuple[tuple[Requirement, str], ...]:
    """What is not installed here, or not as it is asked for, and what is there instead, "" for nothing."""
    found = ((each, _installed(each.name)) for each in needed)
    return tuple((each, version) for each, version in found if not version or not _fits(each, version))


def missing_requirements(file: Path | None) -> tuple[str, ...]:
    """What a requirements.txt asks for and is not installed: one sentence for people, or none.

    Raises: ModelFailure naming the line that cannot be read.
    """
    if file is None:
        return ()
    asked = read_requirements(file)
    wrong = lacking(asked.needed)
    if not wrong:
        return ()
    wanting = dict.fromkeys(
        f"{_name(each)} ({f'{version} is installed' if version else 'not installed'})"
        for each, version in wrong
    )
    *others, last = wanting
    names = f"{', '.join(others)} and {last}" if others else last
    missing = " ".join(dict.fromkeys(each.name for each, version in wrong if not version))
    way = f"`sagebird install {missing}` adds what is missing" if missing else _OWN_ENVIRONMENT
    return (
        f"{asked.shown} asks for {names}; if the model's code needs {'them' if others else 'it'}, {way}.",
    )


def _read(file: Path, shown: str) -> str:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ModelFailure(f"{shown} is larger than {_MOST_BYTES >> 20} MiB.")
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFailure(f"{shown} cannot be read: {error}.") from error


def _beside(file: Path, name: str) -> Path | None:
    """Another file that one names, if it is in the same folder or below it."""
    path = PurePosixPath(name)
    other = file.parent / name
    return other if not path.is_absolute() and ".." not in path.parts and other.is_file() else None


def _requirement(wanted: str, shown: str, number: int) -> Iterator[Requirement]:
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


def _installed(name: str) -> str:
    for each in (name, _SAME.get(canonicalize_name(name), "")):
        with suppress(metadata.PackageNotFoundError, ValueError):
            return metadata.version(each)
    return ""


def _fits(requirement: Requirement, version: str) -> bool:
    try:
        return requirement.specifier.contains(version, prereleases=True)
    except InvalidVersion:
        return False


def _name(requirement: Requirement) -> str:
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}{requirement.specifier}"
