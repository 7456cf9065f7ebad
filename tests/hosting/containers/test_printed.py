"""Marks of lines are read as the runner writes them; whoever has no key can mark nothing."""

from collections.abc import Callable
from time import monotonic

from service.hosting.containers.output import Lines
from service.hosting.containers.printed import Printed

_Kept = list[tuple[str, str, str]]


def _printed(kept: _Kept, clock: Callable[[], float] = monotonic) -> Printed:
    found = Printed(lambda place, text, request: kept.append((place, text, request)), clock)
    found.places.add("/g load")
    return found


def _mark(printed: Printed, text: str, kind: str = ".", process: int = 1, key: str = "") -> bytes:
    return f"\x1e{key or printed.key}{kind}/g call\x1fid\x1f{process}\x1f{text}".encode()


def test_a_marked_line_is_kept_for_its_request_and_told_without_its_mark() -> None:
    kept: _Kept = []
    printed = _printed(kept)

    assert printed.read(_mark(printed, "a")) == b"a"
    assert printed.read(b"b") == b"b"

    assert kept == [("/g call", "a", "id"), ("/g load", "b", "")]


def test_parts_of_a_line_are_put_together_by_process() -> None:
    kept: _Kept = []
    printed = _printed(kept)

    for process in (1, 2):
        assert printed.read(_mark(printed, f"<{process}", "+", process)) == b""
    assert printed.read(_mark(printed, ">", ".", 2)) == b"<2>"
    assert printed.read(_mark(printed, ">", ".", 1)) == b"<1>"


def test_parts_of_a_line_are_put_together_by_stream() -> None:
    printed = _printed([])

    assert printed.read(_mark(printed, "<", "+"), 0) == b""
    assert printed.read(_mark(printed, "a warning"), 1) == b"a warning"
    assert printed.read(_mark(printed, ">"), 0) == b"<>"


def test_a_mark_with_another_key_is_text() -> None:
    kept: _Kept = []
    printed = _printed(kept)
    forged = [_mark(printed, "x", key="0" * 16), f"\x1e{printed.key}./g call\x1fid".encode(), b"\x1e", b""]

    for line in forged:
        assert printed.read(line) == line

    assert {place for place, _, _ in kept} == {"/g load"}


def test_parts_without_end_do_not_fill_memory() -> None:
    kept: _Kept = []
    printed = _printed(kept)

    for process in range(2_000):
        printed.read(_mark(printed, "x" * 2048, "+", process))
    for _ in range(2_000):
        printed.read(_mark(printed, "y" * 2048, "+", 9_999_999))

    assert len(printed._open) <= 256
    assert max(len(text) for _, text, _ in kept) <= 1 << 19


def test_of_a_flood_what_is_left_out_is_counted() -> None:
    kept: _Kept = []
    told: list[str] = []
    seconds = [100.0]
    lines = Lines(told.append, _printed(kept, lambda: seconds[0]))

    lines.add(b"x\n" * 100_000)
    lines.add(b"x\n" * 100_000)
    assert [text for _, text, _ in kept] == ["x"] * 4_000
    seconds[0] += 1.0
    lines.add(b"y\n" * 100_000)

    left_out, *others = (text for _, text, _ in kept[4_000:])
    assert left_out == "… and 196,000 more lines, which were left out"
    assert others == ["y"] * 4_000
    assert lines.last == "y"
