"""Parts on their way to the disk: the same bytes at the same place, past the page cache and through it."""

import errno
import fcntl
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.objects.buckets.part_files import PartFile, PartFiles

_MIB = 1 << 20
_PAGE = 4096


@pytest.fixture
def files() -> PartFiles:
    return PartFiles()


def _open(files: PartFiles, path: Path, start: int, size: int) -> PartFile:
    return files.open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), start, size)


def _is_direct(file: Any) -> bool:
    return type(file).__name__ == "_DirectFile"


def _write(file: PartFile, body: bytes) -> None:
    for data in _blocks(body, _MIB):
        file.write(data)
    file.finish()


def _blocks(body: bytes, size: int) -> Iterator[bytes]:
    return (body[at : at + size] for at in range(0, len(body), size))


@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize("start", [0, 8 * _MIB, 8 * _MIB + 1])
@pytest.mark.parametrize(
    ("size", "block"),
    [
        (0, 1),
        (1, 1),
        (4 * _MIB - 1, 3 * _MIB),
        (4 * _MIB, _MIB),
        (4 * _MIB + 1, 777_777),
        (6 * _MIB, 5 * _MIB),
        (6 * _MIB + _PAGE, 2 * _MIB),
        (9 * _MIB - 5, 9 * _MIB),
    ],
)
def test_a_part_is_written_to_its_place(
    files: PartFiles, tmp_path: Path, memory_path: Path, memory: bool, start: int, size: int, block: int
) -> None:
    path = (memory_path if memory else tmp_path) / "body"
    before = os.urandom(start)
    path.write_bytes(before + b"\0" * size + b"what follows")
    body = os.urandom(size)
    file = _open(files, path, start, size)

    for data in _blocks(body, block):
        file.write(data)
    file.finish()
    file.close()
    file.close()

    assert path.read_bytes() == before + body + b"what follows"


def test_parts_of_one_file_are_written_side_by_side(files: PartFiles, tmp_path: Path) -> None:
    bodies = [os.urandom(5 * _MIB) for _ in range(12)]
    parts = [_open(files, tmp_path / "body", number * 5 * _MIB, 5 * _MIB) for number in range(12)]

    for blocks in zip(*(_blocks(body, _MIB) for body in bodies), strict=True):
        for part, block in zip(parts, blocks, strict=True):
            part.write(block)
    for part in parts:
        part.finish()
        part.close()

    assert (tmp_path / "body").read_bytes() == b"".join(bodies)


def test_as_many_as_may_hold_memory_go_past_the_cache_and_make_room(files: PartFiles, tmp_path: Path) -> None:
    with ExitStack() as stack:
        opened = [_open(files, tmp_path / f"{number}", 0, 8 * _MIB) for number in range(20)]
        for each in opened:
            stack.callback(each.close)
        direct = [each for each in opened if _is_direct(each)]
        if not direct:
            pytest.skip("this disk writes nothing past the page cache")
        assert len(direct) == 8
        direct[0].close()
        another = _open(files, tmp_path / "another", 0, 8 * _MIB)
        stack.callback(another.close)
        assert _is_direct(another)


def test_small_parts_and_those_of_no_known_size_hold_no_buffers(files: PartFiles, tmp_path: Path) -> None:
    for size in (None, 0, 4 * _MIB - 1):
        file = files.open(os.open(tmp_path / "body", os.O_WRONLY | os.O_CREAT), 0, size)
        assert not _is_direct(file)
        file.close()


def test_what_is_given_up_holds_neither_file_nor_memory(files: PartFiles, tmp_path: Path) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    for number in range(50):
        file = _open(files, tmp_path / f"{number}", 0, 64 * _MIB)
        file.write(b"x" * (3 * _MIB))
        file.close()
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_disk_that_is_full_is_told(files: PartFiles, tmp_path: Path) -> None:
    file = _open(files, tmp_path / "body", 0, 16 * _MIB)
    with _no_file_longer_than(5 * _MIB), pytest.raises(OSError, match="too large"):
        _write(file, b"x" * (16 * _MIB))
    file.close()


def test_a_disk_that_asks_for_larger_blocks_gets_the_bytes_through_the_cache(
    files: PartFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, body, write = tmp_path / "body", os.urandom(8 * _MIB), os.pwrite

    def refuse_direct(descriptor: int, data: memoryview, at: int) -> int:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return write(descriptor, data, at)

    monkeypatch.setattr(os, "pwrite", refuse_direct)
    file = _open(files, path, 0, len(body))
    _write(file, body)
    file.close()
    assert path.read_bytes() == body


@contextmanager
def _no_file_longer_than(size: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_the_disk_is_asked_early_for_what_came_of_a_part_through_the_cache(
    files: PartFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _, start, length, advice: asked.append((start, length)))
    file = _open(files, tmp_path / "body", 20 * _MIB + 1, 20 * _MIB)

    for _ in range(20):
        file.write(b"x" * _MIB)
    file.finish()
    file.close()

    assert asked == [(20 * _MIB + 1, 8 * _MIB), (28 * _MIB + 1, 8 * _MIB)]
