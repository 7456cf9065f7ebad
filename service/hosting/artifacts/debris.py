"""Folders that are filled under a temporary name, and what is left of them by those who were killed."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Final

from service.objects.beneath import Spot, step_down

NEW: Final = ".new-"
"""How the names of unfinished folders begin."""


@contextmanager
def unfinished(parent: Path) -> Iterator[Path]:
    """A new empty folder in `parent`, for its owner only; gone when the block ends, unless it was renamed.

    It is locked until then, so that nobody takes it for abandoned. Raises OSError.
    """
    folder, descriptor = _create_locked(parent)
    try:
        yield folder
    finally:
        try:
            remove_tree(folder)
        finally:
            os.close(descriptor)


def sweep(parent: Path) -> int:
    """Remove the unfinished folders in `parent` whose makers are gone; tells how many."""
    removed = 0
    for folder in _unfinished_in(parent):
        with suppress(OSError), Spot(folder).folder() as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # else somebody is at it
            remove_tree(folder)
            removed += 1
    return removed


def remove_tree(folder: Path) -> None:
    """Remove a folder and all that is in it, however deep; no link is followed. Raises OSError.

    What is in folders is moved up to the top until none is left, which needs no long paths, nor recursion.
    """
    try:
        with Spot(folder.parent).folder() as around, _opened(around, folder.name) as top:
            numbers = count()
            while _remove_files(top, numbers):
                pass
    except FileNotFoundError:
        return
    os.rmdir(folder)


@contextmanager
def _opened(around: int, name: str) -> Iterator[int]:
    descriptor = step_down(around, name)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _remove_files(top: int, numbers: "count[int]") -> bool:
    """Remove the files of `top`, and of its folders what is no folder; whether there were folders."""
    found = False
    for name, is_folder in _entries(top):
        if not is_folder:
            os.unlink(name, dir_fd=top)
            continue
        found = True
        with _opened(top, name) as inner:
            for deeper, is_deeper_folder in _entries(inner):
                if is_deeper_folder:
                    aside = f"{NEW}{next(numbers)}-{secrets.token_hex(4)}"
                    os.replace(deeper, aside, src_dir_fd=inner, dst_dir_fd=top)
                else:
                    os.unlink(deeper, dir_fd=inner)
        os.rmdir(name, dir_fd=top)
    return found


def _entries(folder: int) -> list[tuple[str, bool]]:
    with os.scandir(folder) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]


def _create_locked(parent: Path) -> tuple[Path, int]:
    while True:
        folder = parent / f"{NEW}{secrets.token_hex(6)}"
        folder.mkdir(mode=0o700)
        with suppress(FileNotFoundError):  # another process took it for abandoned before it was locked
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)


def _unfinished_in(parent: Path) -> list[Path]:
    try:
        with os.scandir(parent) as entries:
            return [
                Path(entry.path)
                for entry in entries
                if entry.name.startswith(NEW) and entry.is_dir(follow_symlinks=False)
            ]
    except OSError:
        return []
