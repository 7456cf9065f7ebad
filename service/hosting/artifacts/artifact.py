"""Where a model's bytes lie: names to paths inside the allowed roots, archives to unpacked folders.

Names and archives come from strangers: nothing outside the roots is told of or opened, and an archive never
writes outside its own folder nor more than its limits (archive). What the files mean, flavours know.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from math import inf
from pathlib import Path
from typing import Final

from service.clock import Clock, SystemClock
from service.errors import ModelFailure, ModelFault, ModelNotFound
from service.hosting.artifacts.archive import Limits, NotAllowedError, extract
from service.hosting.artifacts.debris import NEW, remove_tree, unfinished
from service.hosting.artifacts.naming import (
    fetched,
    fingerprint_afar,
    is_sound,
    local_path,
    may_be_model,
    real_path,
    spellings,
)
from service.media.tables import quoted
from service.media.types import ARCHIVES
from service.objects.beneath import lies_in, stamp
from service.objects.objects import Objects
from service.objects.resolver import Resolver, open_resolver
from service.s3uri import S3Uri, parse_s3_uri
from service.settings import Settings

_SCRIPTS: Final = ("inference.py", "code/inference.py")
_LISTED_DEPTH: Final = 2
_NOTHING: Final = "nothing"
_OLD_S: Final = 3600.0


class ArtifactStore:
    """Models below some root folders, and the place where their archives are unpacked.

    Any number of threads and processes may share the place.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        unpacked: Path,
        limits: Limits,
        clock: Clock | None = None,
        resolver: Resolver | None = None,
        *,
        trusted: Sequence[str] = ("*",),
        barred: Sequence[Path] = (),
    ) -> None:
        """`resolver` knows what s3:// addresses mean; without it none is found.

        Of buckets only those count whose name fits one of the patterns `trusted`. Nothing in the folders
        `barred` is ever a model, whatever it is called and wherever it is linked from.
        """
        self._roots = tuple(roots)
        self._trusted = tuple(trusted)
        self._barred = tuple(barred)
        self._resolver = resolver
        self._unpacked = unpacked
        self._limits = limits
        self._clock = SystemClock() if clock is None else clock

    def resolve(self, location: str | Path, *, within: Path | None = None, asking: bool = True) -> Path:
        """Find a folder or archive by path, file:// or s3:// address or name.

        `within` takes names below it only; the key of an s3:// address is a name below its bucket. Without
        `asking` no server is: what it has is where it was copied last. Else this may take long.

        `x.tar.gz` also finds the folder `x`, and `x` the archive, where only the other one exists. The
        result is free of symbolic links, a root or below one, and strictly below `within`.

        Raises: ModelNotFound, in the same words for what is missing and for what lies outside; ModelFailure
        where a server cannot be asked.
        """
        name = str(location)
        missing = ModelNotFound(f"There is no model {quoted(name)} in the model folder.")
        found = parse_s3_uri(name) if within is None else None
        if found is not None:
            return self._in_bucket(found, missing, asking)
        if not is_sound(name, within is not None):
            raise missing
        inside = None if within is None else Path(os.path.realpath(within))
        for base in [*self._folders(), Path()] if inside is None else [inside]:
            for candidate in spellings(base / local_path(name, inside is not None)):
                real = real_path(candidate)
                if real is None or not self._is_allowed(real):
                    continue
                if inside is not None and inside not in real.parents:
                    continue
                if may_be_model(real, candidate):
                    return real
        raise missing

    def is_afar(self, location: str | Path) -> bool:
        """Whether a server is asked for what lies there."""
        uri = parse_s3_uri(str(location))
        return uri is not None and self._resolver is not None and self._resolver.is_afar(uri.bucket)

    def _in_bucket(self, uri: S3Uri, missing: ModelNotFound, asking: bool) -> Path:
        """A model in a bucket: a key is a name in it, and no key at all means all that it holds."""
        for objects, candidate in self._candidates(uri, missing):
            real = fetched(objects, "/".join(candidate.parts), asking=asking)
            if real is not None and self._is_allowed(real) and may_be_model(real, candidate):
                return real
        raise missing

    def _candidates(self, uri: S3Uri, missing: ModelNotFound) -> Iterator[tuple[Objects, Path]]:
        """What an address in a bucket may mean. Raises ModelNotFound."""
        if self._resolver is None:
            raise missing
        if not self._is_trusted(uri.bucket):
            raise ModelNotFound(
                f"Bucket {uri.bucket} may hold no models: SAGEBIRD_MODEL_BUCKETS does not name it."
            )
        bucket, name = self._resolver.bucket(uri.bucket), uri.key.rstrip("/")
        if name and not is_sound(name, is_target=True):
            raise missing
        for candidate in spellings(Path(name)) if name else [Path()]:
            yield bucket, candidate

    def _folders(self) -> list[Path]:
        return [Path(os.path.realpath(root)) for root in self._roots]

    def _is_allowed(self, real: Path) -> bool:
        """Whether models may lie there. `real` has no links in it."""
        bucket = self._bucket_at(real)
        inside = any(real.is_relative_to(folder) for folder in self._folders())
        allowed = inside if bucket is None else self._is_trusted(bucket)
        return allowed and not lies_in(real, self._barred)

    def _bucket_at(self, real: Path) -> str | None:
        return None if self._resolver is None else self._resolver.bucket_at(real)

    def _is_trusted(self, bucket: str) -> bool:
        return bool(bucket) and any(fnmatchcase(bucket, pattern) for pattern in self._trusted)

    def _check_links(self, folder: Path) -> None:
        """Refuse a model's folder that reaches for what it must not. Raises ModelNotFound, ModelFailure."""
        in_bucket = self._bucket_at(folder) is not None
        for link in _links_below(folder):
            real = Path(os.path.realpath(link))
            name = quoted(str(link.relative_to(folder)))
            if in_bucket and not real.is_relative_to(folder):
                raise ModelFailure(
                    f"{folder.name} holds {name}, which is a link that leads out of its folder."
                )
            if lies_in(real, self._barred):
                raise ModelFailure(f"{folder.name} holds {name}, which is a link to dropped files.")

    def version_of(self, location: str) -> str:
        """The fingerprint of the model at a location; nothing is copied for it.

        Raises: ModelNotFound; ModelFailure beyond the limit of files.
        """
        uri = parse_s3_uri(location)
        if uri is None or not self.is_afar(location):
            return self.fingerprint(self.resolve(location))
        missing = ModelNotFound(f"There is no model {quoted(location)} in the model folder.")
        for objects, candidate in self._candidates(uri, missing):
            found = fingerprint_afar(objects, "/".join(candidate.parts), self._limits.max_members)
            if found is not None:
                return found
        raise missing

    def fingerprint(self, path: Path) -> str:
        """Short text that changes when any file of the folder (or the archive) does; reads no contents.

        Raises: ModelNotFound; ModelFailure beyond the limit of files.
        """
        seen = sorted("\0".join(map(str, entry)) for entry in self._entries(path))
        return hashlib.blake2b("\0".join(seen).encode(errors="surrogateescape"), digest_size=16).hexdigest()

    def size_bytes(self, path: Path) -> int:
        """Bytes of the archive, or of all files of the folder.

        Raises: ModelNotFound; ModelFailure beyond the limit of files.
        """
        return sum(size for _, size, _ in self._entries(path))

    def open(self, path: Path) -> Path:
        """The folder itself, or the folder into which the archive is unpacked, once for each of its versions.

        Versions that nobody opened for an hour are removed when another one is unpacked.

        Raises: ModelNotFound; ModelFailure where the archive is damaged, hostile or over the limits.
        """
        if path.is_dir():
            self._check_links(path)
            return path
        version = self.fingerprint(path)
        place = hashlib.blake2b(os.fsencode(path), digest_size=16).hexdigest()
        target = self._unpacked / place / version
        try:
            os.utime(target)  # used now, so not old
        except (FileNotFoundError, NotADirectoryError):
            self._unpack(path, version, target)
        return target

    def nothing(self) -> Path:
        """An empty folder, for containers that are given no model. Raises ModelFailure."""
        place = self._unpacked / _NOTHING
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ModelFailure(f"{place} cannot be made: {error.strerror}.") from error
        return place

    def list_models(self, folder: Path, endings: Sequence[str]) -> list[str]:
        """Names that `resolve(name, within=folder)` finds now: archives and model folders, at most two deep.

        A model folder has a script, or a file with one of the `endings`.

        Raises: ModelNotFound; ModelFailure where the folder cannot be read.
        """
        found, folders = [], [(folder, "")]
        while folders:
            place, prefix = folders.pop()
            for entry in _scan(place):
                name = prefix + entry.name
                if entry.name.startswith(".") or not self._is_callable(entry, name, folder):
                    continue
                if _is_model(entry, tuple(endings)):
                    found.append(name)
                elif entry.is_dir() and name.count("/") + 1 < _LISTED_DEPTH:
                    folders.append((Path(entry.path), f"{name}/"))
        return sorted(found)

    def _is_callable(self, entry: "os.DirEntry[str]", name: str, folder: Path) -> bool:
        try:
            return not entry.is_symlink() or bool(self.resolve(name, within=folder))
        except ModelNotFound:
            return False

    def _entries(self, path: Path) -> Iterator[tuple[str, int, int]]:
        """Name and stamp of the archive, or of everything below the folder."""
        if not path.is_dir():
            try:
                status = path.stat()
            except OSError as error:
                raise ModelNotFound(f"There is no model {quoted(path.name)} in the model folder.") from error
            yield "", *stamp(status)
            return
        folders, count = [(path, "")], 0
        while folders:
            folder, prefix = folders.pop()
            for entry in _scan(folder):
                if entry.name == "__pycache__":
                    continue
                count += 1
                if count > self._limits.max_members:
                    raise ModelFailure(
                        f"{quoted(path.name)} holds more than {self._limits.max_members} files."
                    )
                name = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    folders.append((Path(entry.path), f"{name}/"))
                    yield name, 0, 0
                else:
                    yield _entry(entry, name)

    def _unpack(self, path: Path, version: str, target: Path) -> None:
        try:
            # Whoever the models are for, their files are the owner's.
            self._unpacked.mkdir(mode=0o700, parents=True, exist_ok=True)
            with unfinished(self._unpacked) as temporary:
                extract(path, temporary, self._limits)
                if self.fingerprint(path) != version:
                    raise NotAllowedError("changed while it was unpacked; ask again")
                target.parent.mkdir(mode=0o700, exist_ok=True)  # what is refused leaves none
                _publish(temporary, target)
            self._remove_old(target)
        except NotAllowedError as error:
            raise ModelFailure(f"{path.name} {error}.") from error
        except OSError as error:
            raise ModelFailure(f"{path.name} could not be unpacked: {error.strerror or error}.") from error

    def _remove_old(self, target: Path) -> None:
        oldest_ns = (self._clock.now().timestamp() - _OLD_S) * 1e9
        for entry in _scan(target.parent):
            if not entry.name.startswith((NEW, target.name)) and 0 < _entry(entry, "")[2] < oldest_ns:
                with suppress(OSError):  # another process may be at it too
                    remove_tree(Path(entry.path))


def changed_s(path: Path) -> float:
    """When the newest file or folder of a model came about here, in seconds since 1970.

    Not as files say, which copies keep, but as the file system saw it. Infinite where that cannot be told.
    """
    newest_s, places = 0.0, [path]
    try:
        while places:
            place = places.pop()
            newest_s = max(newest_s, place.stat().st_ctime)
            for entry in _scan(place) if place.is_dir() else ():
                if entry.is_dir(follow_symlinks=False):
                    places += [] if entry.name == "__pycache__" else [Path(entry.path)]
                else:
                    newest_s = max(newest_s, entry.stat(follow_symlinks=False).st_ctime)
    except (OSError, ModelFault):
        return inf
    return newest_s


def open_artifacts(settings: Settings, further: Sequence[Path] = ()) -> ArtifactStore:
    """Models from the models folder, `further` ones, and the buckets that may hold models."""
    return ArtifactStore(
        [settings.models, *further],
        settings.data / "unpacked",
        Limits(settings.archive_max_bytes, settings.archive_max_members, settings.archive_max_ratio),
        resolver=open_resolver(settings),
        trusted=settings.model_buckets,
        barred=(settings.inbox, settings.outbox),
    )


# ---- folders


def _is_model(entry: "os.DirEntry[str]", endings: tuple[str, ...]) -> bool:
    if entry.is_file():
        return entry.name.endswith(ARCHIVES)
    if not entry.is_dir():
        return False
    folder = Path(entry.path)
    return any((folder / script).is_file() for script in _SCRIPTS) or any(
        inner.name.endswith(endings) and inner.is_file() for inner in _scan(folder)
    )


def _links_below(folder: Path) -> Iterator[Path]:
    places = [folder]
    while places:
        for entry in _scan(places.pop()):
            if entry.is_symlink():
                yield Path(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                places.append(Path(entry.path))


def _scan(folder: Path) -> Iterator["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except FileNotFoundError as error:
        raise ModelNotFound(f"There is no model {quoted(folder.name)} in the model folder.") from error
    except OSError as error:
        raise ModelFailure(f"{quoted(folder.name)} cannot be read: {error.strerror}.") from error


def _entry(entry: "os.DirEntry[str]", name: str) -> tuple[str, int, int]:
    """Name and stamp (of no size unless a file) of what the entry is or leads to."""
    try:
        if entry.is_symlink():
            name = f"{name} -> {os.readlink(entry.path)}"
        status = entry.stat()
    except OSError:  # gone meanwhile, or a link to nowhere
        return name, 0, 0
    size_bytes, changed_ns = stamp(status)
    return name, size_bytes if stat.S_ISREG(status.st_mode) else 0, changed_ns


def _publish(temporary: Path, target: Path) -> None:
    """Put the finished folder in its place; whoever comes second leaves the first one's there."""
    try:
        temporary.rename(target)
    except OSError:
        if not target.is_dir():
            raise
