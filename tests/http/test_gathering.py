import resource
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http.gathering import Gathering

PART = bytes(range(256)) * 256
PARTS = 64


def gathered(parts: list[bytes]) -> tuple[bytes, int]:
    with Gathering(parts[0]) as body:
        for part in parts[1:]:
            body.add(part)
        return body.whole(), body.size


@given(st.lists(st.integers(0, 200_000), min_size=1, max_size=12))
def test_a_body_is_its_parts_in_their_order(sizes: list[int]) -> None:
    parts = [bytes([number]) * size for number, size in enumerate(sizes)]
    assert gathered(parts) == (b"".join(parts), sum(sizes))


def test_bodies_that_never_end_hold_little_memory() -> None:
    tracemalloc.start()
    try:
        with ExitStack() as stack:
            bodies = [stack.enter_context(Gathering()) for _ in range(16)]
            for body in bodies:
                for _ in range(PARTS):
                    body.add(bytes(PART))
            held, _ = tracemalloc.get_traced_memory()
            assert held < 16 * 2 * (256 << 10) < 16 * PARTS * len(PART)
            assert bodies[-1].whole() == PART * PARTS
    finally:
        tracemalloc.stop()


def test_a_body_stays_in_memory_where_there_is_no_folder_for_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    assert gathered([PART] * PARTS) == (PART * PARTS, PARTS * len(PART))


@pytest.fixture
def largest_file_bytes() -> Iterator[int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    yield 1_000_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_body_stays_in_memory_once_the_disk_is_full(largest_file_bytes: int) -> None:
    assert PARTS * len(PART) > 2 * largest_file_bytes
    assert gathered([PART] * PARTS) == (PART * PARTS, PARTS * len(PART))


def test_what_is_let_go_of_closes_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    with Gathering() as body:
        for _ in range(PARTS):
            body.add(PART)
        assert len(list(Path("/proc/self/fd").iterdir())) == open_before + 1
        assert list(tmp_path.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before
