"""Sums over arrays are those that are known, whatever way the bytes come."""

import random
import zlib

import pytest

from service.objects.buckets.crc import CRCS, Crc, joined

# Source: the catalogue of parametrised CRC algorithms, the sums of "123456789".
_CHECKS = {"CRC32": "cbf43926", "CRC32C": "e3069283", "CRC64NVME": "ae8b14860a799888"}
_SIZES = [0, 1, 63, 64, 262_143, 262_144, 262_145, 600_000]


def _sum(name: str, *parts: bytes) -> bytes:
    crc = Crc(name)
    for part in parts:
        crc.update(part)
    return crc.digest()


@pytest.mark.provenance("documented")
@pytest.mark.parametrize("name", CRCS)
def test_a_sum_is_the_one_that_is_known(name: str) -> None:
    assert _sum(name, b"123456789").hex() == _CHECKS[name]
    assert _sum(name, b"") == bytes(len(_CHECKS[name]) // 2)


@pytest.mark.parametrize("name", CRCS)
def test_how_the_bytes_come_makes_no_difference(name: str) -> None:
    draw = random.Random(7)
    data = draw.randbytes(600_000)
    whole = _sum(name, data)

    in_small_parts = [data[at : at + 9_999] for at in range(0, len(data), 9_999)]  # less than is done at once
    assert _sum(name, *in_small_parts) == whole
    assert _sum(name, data[:300_001], data[300_001:]) == whole


@pytest.mark.parametrize("name", CRCS)
def test_sums_of_parts_are_joined_to_that_of_the_whole(name: str) -> None:
    draw = random.Random(8)
    parts = [draw.randbytes(size) for size in _SIZES]

    sums = [(_sum(name, part), len(part)) for part in parts]

    assert joined(name, sums) == _sum(name, b"".join(parts))
    assert joined(name, []) == _sum(name, b"")


def test_blocks_agree_with_another_implementation() -> None:
    data = random.Random(9).randbytes(600_000)

    assert int.from_bytes(joined("CRC32", [(_sum("CRC32", data), len(data))])) == zlib.crc32(data)
