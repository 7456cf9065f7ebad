"""Packages beside sagebird: in the environment that the server itself runs in, which keeps its versions."""

import re
import sys
from collections.abc import Iterator, Sequence
from importlib import invalidate_caches, metadata
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from service.errors import ModelFailure, NotInstalled
from service.hosting.artifacts.requirements import lacking, read_requirements
from service.hosting.environments.installer import Tell, install

_DISTRIBUTION: Final = "sagebird"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


def install_beside(packages: Sequence[str], listed: Path | None, wheels: Path | None, tell: Tell) -> None:
    """Install packages, and those of a list; `tell` hears how it goes.

    What sagebird needs stays as it is: what asks for another version of that is refused. Raises NotInstalled.
    """
    more = [] if listed is None else ["--requirement", str(listed)]
    with NamedTemporaryFile("w", suffix=".txt") as limits:
        limits.writelines(f"{each}\n" for each in _own_versions())
        limits.flush()
        arguments = ["--constraint", limits.name, *packages, *more]
        install(Path(sys.executable), arguments, wheels, None, tell)
    invalidate_caches()


def listed_is_here(file: Path) -> bool:
    """Whether all is installed that a list names, as far as that can be told here. Raises NotInstalled."""
    try:
        return not lacking(read_requirements(file).needed)
    except ModelFailure as error:
        raise NotInstalled(error.message.removesuffix("."), final=True) from error


def _own_versions() -> Iterator[str]:
    for line in metadata.requires(_DISTRIBUTION) or ():
        found = _NAME.match(line)
        if found is None or "extra ==" in line:
            continue
        try:
            yield f"{found[0]}=={metadata.version(found[0])}"
        except metadata.PackageNotFoundError:  # of another platform
            continue
