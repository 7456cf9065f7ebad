"""Places below a folder, with somebody at the other end who swaps what lies there."""

import os
import shutil
import threading
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from service.objects.beneath import Spot, shown
from service.objects.writing import replacing


def test_a_spot_is_made_of_names_only(tmp_path: Path) -> None:
    assert (Spot(tmp_path) / "a/b").path == tmp_path / "a" / "b"
    for name in ("", "..", "a/../b", "/etc", "a//b", ".", "a\0b"):
        with pytest.raises(ValueError, match="no name below"):
            Spot(tmp_path) / name


def test_the_root_may_be_reached_over_a_link_and_nothing_below_it(tmp_path: Path) -> None:
    (tmp_path / "real" / "in").mkdir(parents=True)
    (tmp_path / "real" / "in" / "file").write_text("x")
    (tmp_path / "root").symlink_to("real")
    (tmp_path / "real" / "again").symlink_to("in")

    with os.fdopen((Spot(tmp_path / "root") / "in/file").open()) as file:
        assert file.read() == "x"
    with pytest.raises(OSError, match="it is a link, and none is followed here"):
        (Spot(tmp_path / "root") / "again/file").open()
    with os.fdopen((Spot(tmp_path / "root", links=True) / "again/file").open()) as file:
        assert file.read() == "x"


def test_names_are_shown_with_what_cannot_be_printed_escaped() -> None:
    assert shown(os.fsdecode(b"mod\xe9l\n")) == r"mod\xe9l\n"
    assert shown("grün") == "grün"


class Swapper:
    """Swaps a folder or file for a link to one elsewhere, and back, as fast as it can."""

    def __init__(self, place: Path, elsewhere: Path) -> None:
        self._place, self._aside = place, place.with_name("aside")
        self._link = place.with_name("link")
        self._link.symlink_to(elsewhere)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._swap)
        self.rounds = 0

    def __enter__(self) -> "Swapper":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _move(self, one: Path, other: Path) -> None:
        while True:
            try:
                one.rename(other)
            except OSError:  # whoever is at it made a folder where it found none
                shutil.rmtree(other, ignore_errors=True)  # which may be written to meanwhile
            else:
                return

    def _swap(self) -> None:
        for self.rounds in count(1):
            self._move(self._place, self._aside)
            self._move(self._link, self._place)
            self._move(self._place, self._link)
            self._move(self._aside, self._place)
            if self._ended.is_set():
                return


@pytest.mark.parametrize("swapped", ["in", "in/file"])
def test_whoever_swaps_a_name_for_a_link_has_nothing_read(tmp_path: Path, swapped: str) -> None:
    for folder, text in (("root/in", "mine"), ("secret", "theirs")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "file").write_text(text)
    elsewhere = tmp_path / "secret" if swapped == "in" else tmp_path / "secret" / "file"
    spot, seen, tries = Spot(tmp_path / "root") / "in/file", set(), 0

    with Swapper(tmp_path / "root" / swapped, elsewhere) as swapper:
        while swapper.rounds < 2000 or tries < 2000:
            tries += 1
            with suppress(OSError), os.fdopen(spot.open()) as file:
                seen.add(file.read())

    assert seen == {"mine"}


def test_whoever_swaps_a_folder_for_a_link_has_nothing_written_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "root" / "out").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()

    with Swapper(tmp_path / "root" / "out", tmp_path / "elsewhere") as swapper:
        for number in count():
            with suppress(Exception), replacing(Spot(tmp_path / "root") / f"out/{number}") as sink:
                sink.write(b"x")
            if number > 200 and swapper.rounds > 1000:
                break

    assert list((tmp_path / "elsewhere").iterdir()) == []
