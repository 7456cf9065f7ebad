"""Uploads in parts: what has come of each, and how they become one object.

Parts of one size, as all clients send them, are written to where they belong in one file, which becomes the
object by getting its name: nothing is copied. Any other part has a file of its own, and then the object is
made by copying. An upload lives in a folder below the bucket's details until it is completed or aborted.
"""

import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from service.errors import BucketFault
from service.objects.buckets.buckets import Buckets, ObjectHead, cannot_write
from service.objects.buckets.details import Details, details_from, write_document
from service.objects.buckets.digests import etag_of_parts, of_parts
from service.objects.buckets.writing import Expected, ObjectWriting, adopt
from service.objects.trail import Trail

MOST_PARTS: Final = 10_000
LEAST_PART_BYTES: Final = 5 << 20
MOST_BYTES: Final = 5 << 40

_ID: Final = re.compile(r"[0-9a-f]{48}")
_PART: Final = re.compile(r"part\.([0-9]{1,5})\.json")
_ABOUT: Final = "about.json"
_BODY: Final = "body"
_SLOT: Final = "slot"
_BLOCK: Final = 1 << 20
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload that has begun; `algorithm` and `checksum_type` are "" where no checksum was asked for."""

    id: str
    key: str
    started: datetime
    details: Details
    algorithm: str
    checksum_type: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part that has come; `offset` is where it lies in the body, -1 where it has a file of its own."""

    number: int
    size_bytes: int
    etag: str
    modified_s: float
    checksums: Mapping[str, str]
    offset: int
    file: str


class Uploads:
    """The uploads of all buckets; safe between threads and processes."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

    def begin(self, bucket: str, key: str, details: Details, algorithm: str, checksum_type: str) -> str:
        """Begin one; tells its id. Raises BucketFault."""
        self._buckets.bucket(bucket)
        self._buckets.spot(bucket, key)
        if key.endswith("/"):
            raise BucketFault(
                "InvalidArgument", "A key that ends with / is a folder here: it holds no bytes."
            )
        folder, identifier = self._folder(bucket), secrets.token_hex(24)
        started_s = datetime.now(UTC).timestamp()
        about = {"key": key, "started_s": started_s, "details": asdict(details)}
        about |= {"algorithm": algorithm, "checksum_type": checksum_type}
        try:
            hidden = folder / f".{identifier}"
            hidden.mkdir(parents=True)
            write_document(hidden / _ABOUT, about)
            hidden.rename(folder / identifier)
        except OSError as error:
            raise cannot_write(error) from error
        return identifier

    def get(self, bucket: str, key: str, identifier: str) -> Upload:
        """One that has begun. Raises BucketFault."""
        self._buckets.bucket(bucket)
        found = self._read(bucket, identifier)
        if found is None or found.key != key:
            raise _no_such_upload(identifier)
        return found

    def all(self, bucket: str) -> list[Upload]:
        """Those of a bucket, by their keys and then as they began. Raises BucketFault."""
        self._buckets.bucket(bucket)
        try:
            names = os.listdir(self._folder(bucket))
        except FileNotFoundError:
            return []
        found = filter(None, (self._read(bucket, name) for name in names))
        return sorted(found, key=lambda upload: (upload.key, upload.started, upload.id))

    def parts(self, bucket: str, identifier: str) -> list[Part]:
        """The parts that have come, by their numbers."""
        folder = self._folder(bucket) / identifier
        found = []
        with suppress(FileNotFoundError):
            for name in os.listdir(folder):
                if _PART.fullmatch(name):
                    with suppress(FileNotFoundError):
                        found.append(Part(**json.loads((folder / name).read_bytes())))
        return sorted(found, key=lambda part: part.number)

    def write_part(
        self, bucket: str, key: str, identifier: str, number: int, size: int | None
    ) -> "PartWriting":
        """Begin to write a part, of a size if that is known. Raises BucketFault."""
        self.get(bucket, key, identifier)
        try:
            return PartWriting(self._folder(bucket) / identifier, number, size)
        except FileNotFoundError:
            raise _no_such_upload(identifier) from None
        except OSError as error:
            raise cannot_write(error) from error

    def abort(self, bucket: str, key: str, identifier: str) -> None:
        """Leave nothing of an upload. Raises BucketFault."""
        self.get(bucket, key, identifier)
        self._remove(bucket, identifier)

    def complete(
        self, bucket: str, key: str, identifier: str, wanted: Sequence[Mapping[str, Any]], expected: Expected
    ) -> ObjectHead:
        """Make an object of parts, each named by PartNumber and ETag. Raises BucketFault.

        Who asks again after it was done, as clients do that heard no answer, is told the same.
        """
        try:
            with self._locked(bucket, identifier):
                upload = self.get(bucket, key, identifier)
                parts = _chosen(upload, self.parts(bucket, identifier), wanted)
                made = self._make(bucket, upload, parts, expected)
                self._remove(bucket, identifier)
                return made
        except (BucketFault, FileNotFoundError) as error:
            done = self._buckets.find(bucket, key) if self._buckets.bucket(bucket) else None
            if done is not None and done.details.upload == identifier:
                self._remove(bucket, identifier)
                return done
            raise error if isinstance(error, BucketFault) else _no_such_upload(identifier) from None

    def clear(self) -> None:
        """Remove what killed processes left of uploads that they were making or taking away."""
        for folder in self._buckets.details.upload_folders():
            for half in folder.glob(".*"):
                shutil.rmtree(half, ignore_errors=True)

    def _make(self, bucket: str, upload: Upload, parts: list[Part], expected: Expected) -> ObjectHead:
        folder = self._folder(bucket) / upload.id
        details = _details_of(upload, parts)
        size = sum(part.size_bytes for part in parts)
        if size > MOST_BYTES:
            raise BucketFault(
                "EntityTooLarge", "Your proposed upload exceeds the maximum allowed object size."
            )
        if _is_one_piece(parts):
            adopted = adopt(self._buckets, bucket, upload.key, expected, folder / _BODY, size, details)
            if adopted is not None:
                return adopted
        writing = ObjectWriting(self._buckets, bucket, upload.key, expected)
        try:
            for block in _blocks(folder, parts):
                writing.write(block)
            return writing.publish(details)
        finally:
            writing.abandon()

    def _read(self, bucket: str, identifier: str) -> Upload | None:
        if not _ID.fullmatch(identifier):
            return None
        try:
            about = json.loads((self._folder(bucket) / identifier / _ABOUT).read_bytes())
        except (OSError, ValueError):
            return None
        started = datetime.fromtimestamp(about["started_s"], UTC)
        details = details_from(about["details"])
        return Upload(identifier, about["key"], started, details, about["algorithm"], about["checksum_type"])

    def _remove(self, bucket: str, identifier: str) -> None:
        """Take an upload away at once for everybody, and then its files."""
        folder = self._folder(bucket)
        hidden = folder / f".{identifier}"
        with suppress(OSError):
            (folder / identifier).rename(hidden)
        shutil.rmtree(hidden, ignore_errors=True)

    @contextmanager
    def _locked(self, bucket: str, identifier: str) -> Iterator[None]:
        """While nobody else completes the upload. Raises FileNotFoundError, BucketFault."""
        if not _ID.fullmatch(identifier):
            raise _no_such_upload(identifier)
        with _held(self._folder(bucket) / identifier):
            yield

    def _folder(self, bucket: str) -> Path:
        return self._buckets.details.uploads(bucket)


class PartWriting:
    """A write of one part. It has to be published or abandoned in the end."""

    def __init__(self, folder: Path, number: int, size: int | None) -> None:
        """Begin. Raises OSError."""
        self.size_bytes = 0
        self._folder, self._number, self._most = folder, number, size
        self._offset, self._claim = _place(folder, number, size)
        self._name = "" if self._claim else f"part.{number}.{secrets.token_hex(8)}"
        if self._claim:
            self._descriptor = os.open(folder / _BODY, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        else:
            self._descriptor = os.open(folder / self._name, _NEW, 0o600)
        self._trail = Trail(self._descriptor, max(self._offset, 0))

    def write(self, data: bytes) -> None:
        """Add bytes. Raises BucketFault."""
        start = max(self._offset, 0) + self.size_bytes
        self.size_bytes += len(data)
        if self._most is not None and self.size_bytes > self._most:
            raise BucketFault("IncompleteBody", "The body is longer than it was said to be.")
        try:
            view = memoryview(data)
            while view:
                done = os.pwrite(self._descriptor, view, start)
                view, start = view[done:], start + done
        except OSError as error:
            raise cannot_write(error) from error
        self._trail.wrote(len(data))

    def publish(self, etag: str, checksums: Mapping[str, str]) -> Part:
        """From now on this is the part of its number. Raises BucketFault."""
        try:
            os.fdatasync(self._descriptor)
            self._trail.synced()
            now_s = datetime.now(UTC).timestamp()
            part = Part(self._number, self.size_bytes, etag, now_s, checksums, self._offset, self._name)
            file = self._folder / f"part.{self._number}.json"
            with suppress(OSError, ValueError):
                former = json.loads(file.read_bytes())["file"]
                if former and former != self._name:
                    (self._folder / former).unlink(missing_ok=True)
            write_document(file, asdict(part))
        except FileNotFoundError:
            raise _no_such_upload(self._folder.name) from None
        except OSError as error:
            raise cannot_write(error) from error
        self._claim = self._name = ""
        self.abandon()
        return part

    def abandon(self) -> None:
        """Leave nothing of it; what is published stays."""
        if self._descriptor < 0:
            return
        os.close(self._descriptor)
        self._descriptor = -1
        for name in filter(None, (self._claim, self._name)):
            (self._folder / name).unlink(missing_ok=True)


def _place(folder: Path, number: int, size: int | None) -> tuple[int, str]:
    """Where in the body a part can be written, and the file that claims it; -1 and "" where it cannot."""
    if not size:
        return -1, ""
    usual = _usual_size(folder, size)
    offset = (number - 1) * usual
    if size > usual or offset + size > MOST_BYTES:
        return -1, ""
    claim = f"claim.{number}"
    try:
        os.close(os.open(folder / claim, _NEW, 0o600))
    except FileExistsError:  # it was sent before, or is being sent: that place is not to be written to
        return -1, ""
    return offset, claim


def _usual_size(folder: Path, size: int) -> int:
    """How large the parts of an upload are: as the first one that came, which may be this one."""
    slot = folder / _SLOT
    if not slot.exists():
        with _held(folder):  # the first ones come in the same moment, and to several processes
            if not slot.exists():
                write_document(slot, size)
    return int(json.loads(slot.read_bytes()))


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """While nobody else holds it. Raises FileNotFoundError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _chosen(upload: Upload, parts: list[Part], wanted: Sequence[Mapping[str, Any]]) -> list[Part]:
    """The parts that are wanted, which have to be there, and in order. Raises BucketFault."""
    known = {part.number: part for part in parts}
    found: list[Part] = []
    for one in wanted:
        part = known.get(one.get("PartNumber", 0))
        if found and part is not None and part.number <= found[-1].number:
            text = "The list of parts was not in ascending order. Parts must be ordered by part number."
            raise BucketFault("InvalidPartOrder", text)
        if part is None or one.get("ETag", "").strip('"') != part.etag or not _agrees(part, one):
            raise BucketFault(
                "InvalidPart",
                "One or more of the specified parts could not be found.  The part may not have been "
                "uploaded, or the specified entity tag may not match the part's entity tag.",
                UploadId=upload.id,
                PartNumber=str(one.get("PartNumber", "")),
            )
        found.append(part)
    if any(part.size_bytes < LEAST_PART_BYTES for part in found[:-1]):
        text = "Your proposed upload is smaller than the minimum allowed size"
        raise BucketFault("EntityTooSmall", text, MinSizeAllowed=str(LEAST_PART_BYTES))
    return found


def _agrees(part: Part, wanted: Mapping[str, Any]) -> bool:
    """Whether the checksums that are named for a part are its own."""
    return all(wanted.get(f"Checksum{name}", text) == text for name, text in part.checksums.items())


def _details_of(upload: Upload, parts: list[Part]) -> Details:
    checksums = {}
    if upload.algorithm and all(upload.algorithm in part.checksums for part in parts):
        sums = [(part.checksums[upload.algorithm], part.size_bytes) for part in parts]
        checksums[upload.algorithm] = of_parts(upload.algorithm, upload.checksum_type, sums)
    given = upload.details
    return Details(
        etag_of_parts([part.etag for part in parts]),
        given.headers,
        given.metadata,
        given.tags,
        checksums,
        upload.checksum_type if checksums else "",
        tuple(part.size_bytes for part in parts),
        upload.id,
    )


def _is_one_piece(parts: list[Part]) -> bool:
    """Whether the parts follow each other in the body, from its beginning on."""
    end = 0
    for part in parts:
        if part.offset != end:
            return False
        end += part.size_bytes
    return True


def _blocks(folder: Path, parts: list[Part]) -> Iterator[bytes]:
    """The bytes of all parts, a block at a time. Raises BucketFault."""
    for part in parts:
        try:
            with (folder / (part.file or _BODY)).open("rb") as file:
                file.seek(max(part.offset, 0))
                left = part.size_bytes
                while left and (block := file.read(min(_BLOCK, left))):
                    left -= len(block)
                    yield block
        except OSError as error:
            raise cannot_write(error) from error


def _no_such_upload(identifier: str) -> BucketFault:
    text = (
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been "
        "aborted or completed."
    )
    return BucketFault("NoSuchUpload", text, UploadId=identifier)
