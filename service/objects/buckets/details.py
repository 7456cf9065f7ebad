"""What S3 knows of objects and buckets beside their files: in a folder of its own, never among the files.

Of each object there is one small document, by a digest of its key. What it says is said of versions of the
file: a file that was put there, or changed, by other means than S3 is an object of which nothing is known
beside. Who writes tells the version that is there and the one that will be, and then lets the file have its
name: whenever a process dies, the file that is there has its details.
"""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

OCTETS: Final = "binary/octet-stream"
"""The type of what nobody gave one. Source: S3."""

_BUCKET: Final = "bucket.json"
_OBJECTS: Final = "objects"
_INCOMING: Final = "incoming"
_UPLOADS: Final = "uploads"
_TEMPORARY: Final = ".new"


@dataclass(frozen=True, slots=True)
class Details:
    """What is known of one version of an object beside its bytes; all texts as S3's API has them.

    `headers` are the ones that a GET gives back, by their members' names.
    """

    etag: str
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)
    checksum_type: str = ""
    part_sizes: tuple[int, ...] = ()
    upload: str = ""

    @property
    def content_type(self) -> str:
        """Its media type."""
        return self.headers.get("ContentType", OCTETS)


@dataclass(slots=True)
class BucketFacts:
    """What is known of a bucket beside its folder; `kept` are documents that change nothing here."""

    created_s: float | None = None
    location: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)


def unknown(version: str) -> Details:
    """What is said of a file that S3 did not write: an ETag that is no MD5, and says so by its form."""
    return Details(f"{hashlib.md5(version.encode(), usedforsecurity=False).hexdigest()}-1")


class DetailsFolder:
    """The details of all buckets; safe between threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of_object(self, bucket: str, key: str) -> Mapping[str, Details]:
        """What is known of an object, by the versions of its file."""
        place, name = self._place(bucket, key)
        return _read_versions(place / name)

    @contextmanager
    def locked(self, bucket: str, key: str) -> Iterator["ObjectDetails"]:
        """The details of an object, which no other process changes meanwhile."""
        place, name = self._place(bucket, key)
        place.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield ObjectDetails(place / name, key)
        finally:
            os.close(descriptor)

    def of_bucket(self, bucket: str) -> BucketFacts:
        """What is known of a bucket."""
        try:
            found = json.loads((self._folder / bucket / _BUCKET).read_bytes())
        except (OSError, ValueError):
            return BucketFacts()
        return BucketFacts(**{name: found[name] for name in BucketFacts.__slots__ if name in found})

    @contextmanager
    def changing(self, bucket: str) -> Iterator[BucketFacts]:
        """What is known of a bucket, kept with what the block changed of it."""
        place = self._folder / bucket
        place.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            facts = self.of_bucket(bucket)
            yield facts
            write_document(place / _BUCKET, asdict(facts))
        finally:
            os.close(descriptor)

    def forget_bucket(self, bucket: str) -> None:
        """Remove all that is known of a bucket, its unfinished uploads too."""
        shutil.rmtree(self._folder / bucket, ignore_errors=True)

    def uploads(self, bucket: str) -> Path:
        """Where a bucket's unfinished uploads are."""
        return self._folder / bucket / _UPLOADS

    def upload_folders(self) -> Iterator[Path]:
        """Those of all buckets."""
        return self._folder.glob(f"*/{_UPLOADS}")

    @contextmanager
    def noted(self, bucket: str, key: str) -> Iterator[None]:
        """While something is written for a key, say so in a file, for who clears away after a kill."""
        place = self._folder / bucket / _INCOMING
        note = place / secrets.token_hex(12)
        try:
            note.write_text(key, encoding="utf-8")
        except FileNotFoundError:
            place.mkdir(parents=True, exist_ok=True)
            note.write_text(key, encoding="utf-8")
        try:
            yield
        finally:
            note.unlink(missing_ok=True)

    def notes(self) -> Iterator[tuple[str, str, Path]]:
        """What was being written when its process was killed, or still is: bucket, key, and the note."""
        for note in sorted(self._folder.glob(f"*/{_INCOMING}/*")):
            with suppress(OSError, UnicodeDecodeError):
                yield note.parts[-3], note.read_text(encoding="utf-8"), note

    def _place(self, bucket: str, key: str) -> tuple[Path, str]:
        name = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:40]
        return self._folder / bucket / _OBJECTS / name[:2], name


class ObjectDetails:
    """The details of one object, for who has their lock."""

    def __init__(self, file: Path, key: str) -> None:
        self._file = file
        self._key = key

    def of(self, version: str) -> Details | None:
        """What is known of a version."""
        return _read_versions(self._file).get(version)

    def keep(self, versions: Mapping[str, Details]) -> None:
        """From now on these versions are known, and no others. Raises OSError."""
        told = {version: asdict(details) for version, details in versions.items()}
        write_document(self._file, {"key": self._key, "versions": told})

    def forget(self) -> None:
        """From now on nothing is known of it."""
        self._file.unlink(missing_ok=True)


def write_document(file: Path, document: Any) -> None:
    """Write a small document, whole or not at all, and durably. Raises OSError."""
    temporary = file.with_name(f"{file.name}.{secrets.token_hex(6)}{_TEMPORARY}")
    try:
        with temporary.open("wb") as new:
            new.write(json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass"))
            new.flush()
            os.fsync(new.fileno())
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_path(file.parent)


def sync_path(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def details_from(document: Mapping[str, Any]) -> Details:
    """Details as they were kept; what they do not say is as at the beginning."""
    known = {name: document[name] for name in Details.__slots__ if name in document}
    return Details(**{**known, "part_sizes": tuple(known.get("part_sizes", ()))})


def _read_versions(file: Path) -> Mapping[str, Details]:
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return {version: details_from(found) for version, found in document.get("versions", {}).items()}
