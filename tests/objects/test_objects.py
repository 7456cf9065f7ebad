"""Objects in pieces and as gzip, whatever keeps them."""

import gzip
import os
from pathlib import Path

import pytest

from service.errors import ObjectFault
from service.objects.objects import read_chunks
from service.objects.resolver import shared_folder


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("x")
    file.chmod(0)

    with pytest.raises(ObjectFault, match="secret cannot be read: Permission denied"):
        list(read_chunks(shared_folder(tmp_path) / file.name))


def test_gzip_is_unpacked_on_the_way_in_pieces(tmp_path: Path) -> None:
    data = os.urandom(300_000)
    file = tmp_path / "a.gz"
    file.write_bytes(gzip.compress(data[:100_000]) + gzip.compress(data[100_000:]))

    chunks = list(read_chunks(shared_folder(tmp_path) / file.name, unpack=True, size=1000))

    assert b"".join(chunks) == data
    assert max(map(len, chunks)) <= 1000


@pytest.mark.parametrize(
    "data",
    [b"1,2\n3,4\n", gzip.compress(os.urandom(1000))[:-20], gzip.compress(b"x" * 99)[:-8] + b"\0" * 8],
    ids=["no gzip", "cut off", "another checksum"],
)
def test_what_is_no_whole_gzip_is_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.gz").write_bytes(data)

    with pytest.raises(ObjectFault, match="is not a whole gzip file"):
        list(read_chunks(shared_folder(tmp_path) / "a.gz", unpack=True))
