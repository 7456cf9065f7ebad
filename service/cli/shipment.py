"""Brings a model's files to where the server finds them: a bucket's folder below its data folder."""

import errno
import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.cli.refusal import fail
from service.hosting.artifacts.debris import unfinished
from service.media.types import ARCHIVES
from service.objects.beneath import lies_in
from service.objects.resolver import Resolver
from service.s3uri import parse_s3_uri
from service.settings import DEPLOYMENTS, buckets_in

_SCRIPTS = ("inference.py", "code/inference.py")
_LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*")


@dataclass(frozen=True, slots=True)
class Shipment:
    """Where the files are now, as a container definition says it, and a short text that is theirs alone.

    `copy` is the folder that was made for it, None if there was nothing to copy or the same was there.
    """

    container: dict[str, object]
    version: str
    copy: Path | None = None


def ship(path: str, name: str, data: Path, endings: Sequence[str] | None = None) -> Shipment:
    """Copy a model's folder or archive into the bucket of deployments; an s3:// address is used as it is.

    The same files end up in the same place; the copy appears whole or not at all. A folder with a file that
    has one of the `endings` is a model; they are those that the runtimes load, if nobody names others.
    """
    if parse_s3_uri(path) is not None:
        return Shipment({"ModelDataUrl": path}, hashlib.sha256(path.encode()).hexdigest()[:8])
    source = Path(path).absolute()
    if lies_in(source, (data / "inbox", data / "outbox")):
        fail(f"{path} lies in the drop folder: what is dropped is data, never a model.")
    if not os.path.exists(source):  # a name that is too long is none either
        fail(f"There is no {path} here: name the folder of a model, a .tar.gz archive or an s3:// address.")
    is_archive = source.is_file() and source.name.endswith(ARCHIVES)
    if not is_archive:
        _check_folder(path, source, _endings() if endings is None else endings)
    try:
        version = _fingerprint(source)
        place = Resolver(buckets_in(data)).folder(DEPLOYMENTS) / name / version
        copied = None if place.exists() else place
        if copied is not None:
            _copy(source, copied)
    except OSError as error:
        if _is_full(error):
            fail(f"The data folder {data} is full: {path} cannot be copied there.")
        why = error.strerror or error
        fail(f"{path} cannot be copied to the data folder {data}: {why} (name another with --data).")
    address = f"s3://{DEPLOYMENTS}/{name}/{version}/{source.name}"
    if is_archive:
        return Shipment({"ModelDataUrl": address}, version, copied)
    # As an address, not as a ModelDataSource: of that AWS makes no batch transform.
    return Shipment({"ModelDataUrl": f"{address}/"}, version, copied)


def _check_folder(path: str, source: Path, endings: Sequence[str]) -> None:
    marks = (*(f"*{ending}" for ending in endings), *_SCRIPTS)
    if not any(next(source.glob(mark), None) for mark in marks):
        fail(
            f"{path} is no model: name an s3:// address, a .tar.gz archive, or a folder with a "
            f"{' or '.join(endings)} file or an inference.py."
        )


def _endings() -> Sequence[str]:
    from service.hosting.runtimes.table import RUNTIMES, endings_of

    return endings_of(RUNTIMES)


def _is_full(error: OSError) -> bool:
    """Whether there is no room; shutil gives a list of what went wrong with each file, as texts."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error)


def _fingerprint(source: Path) -> str:
    digest = hashlib.sha256()
    files = [source] if source.is_file() else sorted(file for file in source.rglob("*") if file.is_file())
    for file in files:
        digest.update(f"{file.relative_to(source)}\0".encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:12]


def _copy(source: Path, place: Path) -> None:
    """Copy the model into a new folder at `place`, under its own name."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with unfinished(place.parent) as folder:
        copy = folder / "copy"
        copy.mkdir(mode=0o755)
        if source.is_dir():
            shutil.copytree(source, copy / source.name, ignore=_LEFT_OUT)
        else:
            shutil.copy2(source, copy / source.name)
        copy.replace(place)
