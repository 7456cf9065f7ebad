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


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_bodies_that_wait_share_one_file_that_goes_with_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    open_before = open_files()
    with Gathering() as last:
        with ExitStack() as stack:
            for body in [last, *(stack.enter_context(Gathering()) for _ in range(8))]:
                for _ in range(PARTS):
                    body.add(PART)
            assert open_files() == open_before + 1
            assert list(tmp_path.iterdir()) == []
        assert open_files() == open_before + 1
        assert last.whole() == PART * PARTS
    assert open_files() == open_before


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 400_000), st.booleans()), max_size=24))
def test_bodies_that_come_at_once_are_not_mixed(steps: list[tuple[int, int, bool]]) -> None:
    bodies = [Gathering() for _ in range(4)]
    sent = [b""] * 4
    with ExitStack() as stack:
        for number, (which, size, ends) in enumerate(steps):
            part = bytes([number]) * size
            bodies[which].add(part)
            sent[which] += part
            if ends:
                with bodies[which] as body:
                    assert body.whole() == sent[which]
                bodies[which], sent[which] = Gathering(), b""
        for body, all_sent in zip(bodies, sent, strict=True):
            assert stack.enter_context(body).whole() == all_sent
