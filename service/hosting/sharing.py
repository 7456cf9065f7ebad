"""Arrays of large models, in memory once for all processes of a machine that have loaded the same model.

Each process loads its models by itself and answers by its own objects. But the pages of memory below their
large arrays are exchanged for pages of a file in memory that hold the very same bytes, and that the processes
have in common: the first one that loads a model fills it. Who wrote to such a page would get a copy of its
own, so that no code can tell the difference. Bytes are compared before pages are exchanged: whatever else
goes wrong, a model's numbers stay what they are. Arrays that are small stay each process's own, and all do
where the system has no such files.
Source: mmap(2) on MAP_FIXED and MAP_PRIVATE, memfd_create(2), fcntl(2) on seals.
"""

import ctypes
import fcntl
import hashlib
import mmap
import os
import pickle
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from zlib import crc32

import numpy as np
import numpy.typing as npt
import orjson

from service.hosting.footprint import arrays_of
from service.hosting.memory import BLOCKS, has_own_mapping

_PAGE: Final = mmap.PAGESIZE
_LEAST_BYTES: Final = 1 << 16
"""What lies together is shared from here on, and allocated with a mapping of its own while a model is loaded:
so arrays begin at the same place of a page in each process, and their pages are alike."""

_MOST_ARRAYS: Final = 8192
_MOST_MAPPINGS: Final = 24_000  # of 65,530 that a process may have; each array takes about two
_MAP_FIXED: Final = 0x10
_PARTS_AT_ONCE: Final = 8
_NAME: Final = "sagebird-"
_TRAILER_BYTES: Final = 8
_WAITS: Final = "waits for another process to load it, whose memory it will share"

Pages = npt.NDArray[np.uint8]
_Mark = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class ArrayStore:
    """What the processes of one family share; they find each other by `folder`, which nobody else may enter.

    Models are shared whose files have more than `least_bytes` when unpacked. So many `sharers` count equal
    parts of what they share.
    """

    folder: Path
    least_bytes: int
    sharers: int = 1

    def is_for(self, size_bytes: int) -> bool:
        """Whether a model with files of so many bytes is shared."""
        return size_bytes > self.least_bytes and hasattr(os, "memfd_create")

    def part_of(self, size_bytes: int) -> int:
        """What such a model counts in one process."""
        return size_bytes // self.sharers if self.is_for(size_bytes) else size_bytes

    def open(self, model: str, tell: Callable[[str], None]) -> "SharedArrays":
        """The arrays of a model, which is to be loaded now, by a name that changes with its files.

        Waits for whoever loads it first, which `tell` is told. To be used in a `with`, in which it is loaded.
        """
        name = hashlib.blake2b(model.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        cleanup = ExitStack()
        try:
            pages = _find(self.folder, name)
            if pages is None:
                _lock(cleanup, self.folder / f"{name}.lock", tell)
                pages = _find(self.folder, name)
            if pages is None:
                pages = _Pages.create(name)
            else:
                cleanup.close()  # it is filled: whoever comes next need not wait
            return SharedArrays(self.folder / name, pages, cleanup)
        except BaseException:
            cleanup.close()
            raise


class SharedArrays:
    """The arrays of one model, for the thread that loads it; in a `with`, which the model ends with.

    `close` it once the model is gone.
    """

    def __init__(self, name: Path, pages: "_Pages | None", cleanup: ExitStack) -> None:
        """`pages` None: nothing can be shared. `cleanup` is what is to be let go once it is loaded."""
        self._name = name
        self._pages = pages
        self._loading = cleanup
        self._link: Path | None = None
        self._left = _MOST_ARRAYS if _count_mappings() < _MOST_MAPPINGS else 0
        self._parts: list[object] = []

    def __enter__(self) -> "SharedArrays":
        self._loading.enter_context(BLOCKS.mapped_from(_LEAST_BYTES))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parts.clear()
        with self._loading:
            if kind is not None:
                self.close()
            elif self._pages is not None:
                self._publish(self._pages)

    def note(self, part: object) -> None:
        """A part of the model is there; some at a time are exchanged, lest all of it be there twice."""
        self._parts.append(part)
        if len(self._parts) >= _PARTS_AT_ONCE:
            self.exchange(self._parts)
            self._parts.clear()

    def exchange(self, parts: Iterable[object]) -> int:
        """Have the arrays of these on common pages as far as may be; how many bytes are."""
        if self._pages is None:
            return 0
        held = arrays_of(list(parts))
        return sum(self._exchange(buffer, self._pages) for buffer in held)

    def close(self) -> None:
        """Be found by nobody any more."""
        if self._link is not None:
            self._link.unlink(missing_ok=True)
            self._link = None
        if self._pages is not None:
            self._pages.close()
            self._pages = None

    def _exchange(self, buffer: pickle.PickleBuffer, ours: "_Pages") -> int:
        array = np.frombuffer(buffer.raw(), np.uint8)
        if not has_own_mapping(_address(array)):
            return 0  # pages of the heap stay when it is freed, and would keep the whole file
        begin = -_address(array) % _PAGE
        size_bytes = (len(array) - begin) // _PAGE * _PAGE
        if size_bytes < _LEAST_BYTES or not self._left:
            return 0
        pages = array[begin : begin + size_bytes]
        offset = ours.place(pages)
        if offset is None:
            return 0
        self._left -= 1
        ours.map_over(pages, offset)
        return size_bytes

    def _publish(self, pages: "_Pages") -> None:
        if not pages.seal():
            self.close()
            return
        self._link = self._name.with_name(f"{self._name.name}.{os.getpid()}.{pages.descriptor}")
        self._link.unlink(missing_ok=True)  # of a process that was killed
        self._link.symlink_to(f"/proc/{os.getpid()}/fd/{pages.descriptor}")


class _Pages:
    """A file in memory that is made of arrays' pages. Once it is sealed, nobody can change it any more."""

    def __init__(self, descriptor: int, places: Mapping[_Mark, list[int]], *, is_sealed: bool) -> None:
        self.descriptor = descriptor
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.mmap.restype = ctypes.c_void_p
        self._libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
        self._libc.memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
        self._places = dict(places)
        self._end_bytes = 0
        self._is_sealed = is_sealed

    @classmethod
    def create(cls, name: str) -> "_Pages | None":
        """An empty one; None where the system has none."""
        try:
            flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
            return cls(os.memfd_create(_NAME + name, flags), {}, is_sealed=False)
        except OSError:
            return None

    @classmethod
    def open(cls, link: Path, name: str) -> "_Pages | None":
        """The one that another process has open there under that name; None where there is none any more."""
        try:
            if not os.readlink(os.readlink(link)).startswith(f"/memfd:{_NAME}{name}"):
                return None
            descriptor = os.open(link, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            return cls(descriptor, _read_places(descriptor), is_sealed=True)
        except (OSError, ValueError):
            os.close(descriptor)
            return None

    def place(self, pages: Pages) -> int | None:
        """Where the same bytes are, put there if need be; None where they cannot be."""
        mark = len(pages), crc32(pages[:_PAGE].data), crc32(pages[-_PAGE:].data)
        for offset in self._places.get(mark, ()):
            if self._holds(pages, offset):
                return offset
        if self._is_sealed or not self._add(pages):
            return None
        offset = self._end_bytes
        self._end_bytes += len(pages)
        self._places.setdefault(mark, []).append(offset)
        return offset

    def map_over(self, pages: Pages, offset: int) -> None:
        """Put the pages there in place of those that an array has, which hold the same. Raises OSError."""
        address, protection = _address(pages), mmap.PROT_READ | mmap.PROT_WRITE
        flags = mmap.MAP_PRIVATE | _MAP_FIXED
        if self._libc.mmap(address, len(pages), protection, flags, self.descriptor, offset) != address:
            raise OSError(ctypes.get_errno(), "the pages of an array cannot be exchanged")

    def seal(self) -> bool:
        """Let nobody change it any more, this process included; whether there is anything to be shared."""
        if self._is_sealed:
            return True
        index = orjson.dumps([[*mark, offsets] for mark, offsets in self._places.items()])
        try:
            os.ftruncate(self.descriptor, self._end_bytes)  # an array may have been written in part
            _write(self.descriptor, index + len(index).to_bytes(_TRAILER_BYTES, "little"), self._end_bytes)
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
            fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, seals)
        except OSError:
            return False
        self._is_sealed = True
        return bool(self._places)

    def close(self) -> None:
        """Let go of it; pages that are in use stay."""
        os.close(self.descriptor)

    def _holds(self, pages: Pages, offset: int) -> bool:
        held = mmap.mmap(
            self.descriptor, len(pages), flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ, offset=offset
        )
        same = np.frombuffer(held, np.uint8)
        return bool(self._libc.memcmp(_address(pages), _address(same), len(pages)) == 0)

    def _add(self, pages: Pages) -> bool:
        try:
            _write(self.descriptor, pages.data, self._end_bytes)
        except OSError:  # there is no memory left for a copy: the array stays where it is
            return False
        return True


def _find(folder: Path, name: str) -> _Pages | None:
    """The pages of a model that some process has loaded."""
    for link in folder.glob(f"{name}.*.*"):
        pages = _Pages.open(link, name)
        if pages is not None:
            return pages
        link.unlink(missing_ok=True)
    return None


def _lock(cleanup: ExitStack, place: Path, tell: Callable[[str], None]) -> None:
    """Be the only one who loads a model first; the system ends a lock with its process."""
    lock = cleanup.enter_context(place.open("ab"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        tell(_WAITS)
        fcntl.flock(lock, fcntl.LOCK_EX)


def _read_places(descriptor: int) -> dict[_Mark, list[int]]:
    """Where a file has which pages. Raises OSError, ValueError: it is not sealed, or has no index."""
    if not fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE:
        raise ValueError("it is still being filled")
    end = os.fstat(descriptor).st_size - _TRAILER_BYTES
    size_bytes = int.from_bytes(os.pread(descriptor, _TRAILER_BYTES, end), "little")
    index = orjson.loads(os.pread(descriptor, size_bytes, end - size_bytes))
    return {(size, first, last): offsets for size, first, last, offsets in index}


def _write(descriptor: int, data: Any, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[written:], offset + written


def _address(array: Pages) -> int:
    return int(array.__array_interface__["data"][0])


def _count_mappings() -> int:
    with suppress(OSError), open("/proc/self/maps", "rb") as maps:
        return sum(1 for _ in maps)
    return 0
