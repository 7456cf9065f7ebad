"""The objects of a bucket in the order of their keys, from anywhere on.

That is the order of their UTF-8 bytes, which is the one that Python has of texts.

Folders are opened as they are come to, and those that hold nothing of what is asked for are left alone: a
page costs what is on it and the folders that lead there, not the bucket.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from service.objects.beneath import Spot
from service.objects.writing import PART

_SLASH: Final = "/"
_LAST: Final = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Found:
    """A file, by its key; or all that is below a folder, where `status` is None."""

    key: str
    status: os.stat_result | None


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk through the objects of a bucket whose keys begin with `prefix` and come behind `after`.

    What is below a folder is told as one where `delimiter` is a slash and the folder is below the prefix.
    `is_marked` says whether a folder is an object itself, by its key that ends in a slash.
    """

    bucket: Spot
    prefix: str
    after: str
    delimiter: str
    is_marked: Callable[[str], bool]

    def __iter__(self) -> Iterator[Found]:
        """What is there, in order. Raises OSError where the bucket cannot be read."""
        start = self.prefix.rpartition(_SLASH)[0]
        if not start:
            yield from self._below("")
            return
        if self._reaches(start + _SLASH):
            yield from self._folder(start + _SLASH)

    def _below(self, key: str) -> Iterator[Found]:
        """What is in the folder with this key, "" for the bucket itself."""
        spot = self.bucket / key[:-1] if key else self.bucket
        try:
            with spot.folder() as descriptor, os.scandir(descriptor) as entries:
                names = sorted(filter(None, map(_named, entries)))
        except OSError:
            if not key:
                raise
            return  # gone meanwhile, or nobody may look into it
        for name in names:
            inner = key + name
            if name.endswith(_SLASH):
                if self._reaches(inner):
                    yield from self._folder(inner)
            elif inner > self.after and inner.startswith(self.prefix):
                with suppress(OSError):
                    yield Found(inner, (spot / name).status())

    def _folder(self, key: str) -> Iterator[Found]:
        if self.delimiter == _SLASH and len(key) > len(self.prefix):
            if next(iter(Walk(self.bucket, key, self.after, "", self.is_marked)), None) is not None:
                yield Found(key, None)
            return
        if key.startswith(self.prefix) and key > self.after and self.is_marked(key):
            with suppress(OSError):
                yield Found(key, (self.bucket / key[:-1]).status())
        yield from self._below(key)

    def _reaches(self, key: str) -> bool:
        """Whether anything in the folder with this key may be asked for."""
        if not (key.startswith(self.prefix) or self.prefix.startswith(key)):
            return False
        return key > self.after or self.after.startswith(key)


def _named(entry: "os.DirEntry[str]") -> str | None:
    """An entry's name, with a slash behind where it is a folder; None for what can be no object."""
    name = entry.name
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError:  # its bytes are no UTF-8
            return None
    with suppress(OSError):
        if entry.is_dir(follow_symlinks=False):
            return name + _SLASH
        unfinished = name.startswith(".") and name.endswith(PART)
        if entry.is_file(follow_symlinks=False) and not unfinished:
            return name
    return None


@dataclass(frozen=True, slots=True)
class Page:
    """Some objects and some beginnings of keys, in one order; `behind` is where the next page starts."""

    objects: list[Found]
    prefixes: list[str]
    behind: str
    is_cut: bool


def behind_all(prefix: str) -> str:
    """What comes behind every key that begins so."""
    return prefix + _LAST


def page_of(walk: Walk, most: int) -> Page:
    """The first so many of a walk; what shares a beginning up to the delimiter counts as one."""
    objects: list[Found] = []
    prefixes: list[str] = []
    behind = walk.after
    for found in walk if most else ():
        prefix = found.key if found.status is None else _beginning(found.key, walk)
        if prefix and prefixes and prefixes[-1] == prefix:
            continue
        if len(objects) + len(prefixes) == most:
            return Page(objects, prefixes, behind, is_cut=True)
        if prefix:
            prefixes.append(prefix)
            behind = behind_all(prefix)
        else:
            objects.append(found)
            behind = found.key
    return Page(objects, prefixes, behind, is_cut=False)


def _beginning(key: str, walk: Walk) -> str:
    """A key up to the first delimiter behind the prefix, "" where there is none."""
    if not walk.delimiter:
        return ""
    at = key.find(walk.delimiter, len(walk.prefix))
    return "" if at < 0 else key[: at + len(walk.delimiter)]
