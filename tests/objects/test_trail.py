"""What a long stream leaves in the memory of the operating system."""

import ctypes
import mmap
import os
from pathlib import Path

import pytest

from service.objects.beneath import Spot
from service.objects.buckets.buckets import Buckets
from service.objects.buckets.details import Details
from service.objects.buckets.uploads import Uploads
from service.objects.buckets.writing import Expected
from service.objects.trail import KEPT_BYTES
from service.objects.writing import replacing

_MIB = 1 << 20
_KEPT_MIB = KEPT_BYTES // _MIB
_LONG_MIB = _KEPT_MIB + 16
_BLOCK = os.urandom(_MIB)


def _resident_mib(file: Path, start_mib: int, end_mib: int) -> float:
    """How much of a span of a file is in memory, as the operating system says."""
    libc = ctypes.CDLL(None, use_errno=True)
    pages = (end_mib - start_mib) * _MIB // mmap.PAGESIZE
    found = (ctypes.c_ubyte * pages)()
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), end_mib * _MIB) as mapped:
        view = (ctypes.c_char * len(mapped)).from_buffer(mapped)
        address = ctypes.addressof(view) + start_mib * _MIB
        result = libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(pages * mmap.PAGESIZE), found)
        del view
    assert result == 0, os.strerror(ctypes.get_errno())
    return sum(one & 1 for one in found) * mmap.PAGESIZE / _MIB


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder on a disk: in one that lies in memory nothing can be given back."""
    probe = tmp_path / "probe"
    probe.write_bytes(_BLOCK)
    with probe.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, _MIB, os.POSIX_FADV_DONTNEED)
    if _resident_mib(probe, 0, 1):
        pytest.skip("this file system keeps every page in memory")
    return tmp_path


@pytest.fixture
def buckets(folder: Path) -> Buckets:
    found = Buckets(folder / "s3", folder / "details")
    found.create("kept", "us-east-1")
    return found


def _write(file: Path, size_mib: int) -> None:
    with replacing(Spot(file.parent) / file.name) as sink:
        for _ in range(size_mib):
            sink.write(_BLOCK)


def test_of_a_long_file_that_is_written_only_the_beginning_stays_in_memory(folder: Path) -> None:
    _write(folder / "long", _LONG_MIB)
    assert _resident_mib(folder / "long", _KEPT_MIB, _LONG_MIB) <= 1
    assert _resident_mib(folder / "long", 0, _KEPT_MIB) > 0


def test_a_file_that_is_not_long_stays_in_memory(folder: Path) -> None:
    _write(folder / "short", 16)
    assert _resident_mib(folder / "short", 0, 16) > 8


def test_parts_beyond_the_beginning_of_an_object_are_given_back(folder: Path, buckets: Buckets) -> None:
    uploads = Uploads(buckets)
    upload = uploads.begin("kept", "k", Details("", {}, {}), "", "")
    size = 8 * _MIB
    parts = []
    for number in range(1, _LONG_MIB // 8 + 1):
        writing = uploads.write_part("kept", "k", upload, number, size)
        for _ in range(8):
            writing.write(_BLOCK)
        etag = f"{number:032x}"
        parts.append({"PartNumber": writing.publish(etag, {}).number, "ETag": etag})
    uploads.complete("kept", "k", upload, parts, Expected())
    assert _resident_mib(folder / "s3/kept/k", _KEPT_MIB, _LONG_MIB) <= 1


def test_what_is_read_of_a_long_object_is_given_back_but_not_short_reads(
    folder: Path, buckets: Buckets
) -> None:
    file = folder / "s3/kept/k"
    _write(file, _LONG_MIB)
    opened = buckets.open("kept", "k")
    assert opened.read(KEPT_BYTES, 4096) == _BLOCK[:4096]
    opened.close()
    assert _resident_mib(file, _KEPT_MIB, _LONG_MIB) > 0
    opened = buckets.open("kept", "k")
    assert all(opened.read(at, _MIB) == _BLOCK for at in range(0, _LONG_MIB * _MIB, _MIB))
    opened.close()
    assert _resident_mib(file, _KEPT_MIB, _LONG_MIB) <= 1


def test_what_is_read_of_the_beginning_stays_in_memory(folder: Path, buckets: Buckets) -> None:
    file = folder / "s3/kept/k"
    _write(file, 16)
    opened = buckets.open("kept", "k")
    assert all(opened.read(at, _MIB) == _BLOCK for at in range(0, 16 * _MIB, _MIB))
    opened.close()
    assert _resident_mib(file, 0, 16) > 8
