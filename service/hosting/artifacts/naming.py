"""What models are called by: names, which of them are sound, and what a name may stand for.

Names come from strangers. What may lie where a name leads, artifact.py decides.
"""

import os
from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from service.errors import ModelFailure, ObjectFault, ObjectUnreadable
from service.media.types import ARCHIVES
from service.objects.objects import Objects

MAX_NAME_CHARS: Final = 1024
_NOT_THERE: Final = os.strerror(2)


def is_sound(name: str, is_target: bool) -> bool:
    """Whether it can be a name: a target of many models may not leave its folder."""
    if not name or len(name) > MAX_NAME_CHARS or "\0" in name:
        return False
    if not is_target:
        scheme, _, _ = name.partition("://")
        return scheme in (name, "file")
    parts = PurePosixPath(name).parts
    return bool(parts) and ".." not in parts and not name.startswith("/")


def local_path(name: str, is_target: bool) -> str:
    """The path that a name or an address is on this machine."""
    if is_target or not name.startswith("file:"):
        return name
    address = urlsplit(name)
    # A host other than this one has no files here; the bare root is below no folder.
    return unquote(address.path) if address.netloc in ("", "localhost") else "/"


def spellings(path: Path) -> Iterator[Path]:
    """What a name may stand for: archives have an ending, and folders that they came of have none."""
    yield path
    suffix = next((suffix for suffix in ARCHIVES if path.name.endswith(suffix)), None)
    if suffix is not None:
        yield Path(str(path).removesuffix(suffix))
    else:
        yield from (Path(f"{path}{suffix}") for suffix in ARCHIVES)


def may_be_model(real: Path, called: Path) -> bool:
    """Whether a model may be there."""
    return real.is_dir() or (real.is_file() and called.name.endswith(ARCHIVES))


def fetched(objects: Objects, key: str, *, asking: bool = True) -> Path | None:
    """Where an object's bytes, or all below its key, are; without `asking` those that were asked for last.

    Raises: ModelFailure where the server that has them cannot be asked.
    """
    if not asking:
        return objects.fetched(key)
    try:
        return objects.fetch(key)
    except ObjectFault as fault:
        _check_answered(objects, fault)
        return None


def fingerprint_afar(objects: Objects, key: str, most: int) -> str | None:
    """Short text that changes with an object, or with any of at most so many below its key; None for none.

    Raises: ModelFailure.
    """
    try:
        found = objects.stat(key) if key else None
        below = objects.list(f"{key}/" if key else "")
        entries = list(islice(below, most + 1)) if found is None else [found]
    except ObjectFault as fault:
        _check_answered(objects, fault)
        return None
    if len(entries) > most:
        raise ModelFailure(f"{objects.address(key)} holds more than {most} files.")
    told = "\0".join(f"{each.key}\0{each.size_bytes}\0{each.version}" for each in entries)
    return blake2b(told.encode(), digest_size=16).hexdigest() if entries else None


def _check_answered(objects: Objects, fault: ObjectFault) -> None:
    """Raise ModelFailure where a server did not answer: of folders here strangers are told no more."""
    if objects.path("") is None and isinstance(fault, ObjectUnreadable) and fault.reason != _NOT_THERE:
        raise ModelFailure(fault.message) from fault


def real_path(path: Path) -> Path | None:
    """A path without links; None where it leads nowhere."""
    try:
        return Path(os.path.realpath(path, strict=True))
    except (OSError, ValueError):
        return None
