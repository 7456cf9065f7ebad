"""Environments that nobody needs are cleared, and no other: real folders and locks."""

import fcntl
import json
import os
import time
from pathlib import Path

import pytest

from service.errors import ModelFailure
from service.hosting.environments.keeping import (
    RECORD,
    Clearing,
    clear_unused,
    environments_there,
    hold,
    note_use,
    only_one,
)
from tests.conftest import wait_until

DAY_S = 86_400.0


def made(folder: Path, name: str, used_days_ago: float) -> Path:
    """What looks like an environment."""
    place = folder / name
    (place / "bin").mkdir(parents=True)
    (place / "lib").mkdir()
    (place / "lib64").symlink_to(place / "lib")
    (place / "bin" / "python").write_text("#!/bin/sh\n")
    (place / "bin" / "python").chmod(0o700)
    (place / RECORD).write_text("{}")
    with only_one(place):
        pass
    age(place, used_days_ago)
    return place


def age(place: Path, days: float) -> None:
    then_s = time.time() - days * DAY_S
    os.utime(place / RECORD, (then_s, then_s))


def age_of(place: Path) -> float:
    return (time.time() - (place / RECORD).stat().st_mtime) / DAY_S


def test_environments_are_told_with_what_was_asked_for_the_last_used_first(tmp_path: Path) -> None:
    old, young = made(tmp_path, "old", 2), made(tmp_path, "young", 1)
    (old / RECORD).write_text('{"python": "3.11.7", "asked": [], "packages": ["numpy<2"]}')
    asked = "# ours\nflask\n\n--index-url https://me:secret@host\nx @ https://me:secret@host/x.whl\nflask\n"
    told = {"python": "3.12.1", "asked": [asked], "packages": ["scikit-learn==1.5"]}
    (young / RECORD).write_text(json.dumps(told))
    age(old, 2)
    age(young, 1)
    made(tmp_path, "damaged", 1)  # {}
    (tmp_path / "begun").mkdir()

    found = environments_there(tmp_path)

    assert [(card.name, card.python, card.packages) for card in found] == [
        ("young", "3.12.1", ("flask", "scikit-learn==1.5")),
        ("old", "3.11.7", ("numpy<2",)),
    ]
    assert environments_there(tmp_path / "nowhere") == []


def test_what_nobody_used_for_so_long_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    old, young = made(tmp_path, "old", 31), made(tmp_path, "young", 29)
    (tmp_path / ".new-begun" / "lib").mkdir(parents=True)  # by whoever was killed at it

    assert clear_unused(tmp_path, 30 * DAY_S) == ["old"]

    assert not old.exists()
    assert (young / "lib64").is_symlink()
    assert list(tmp_path.glob(".new-*")) == []
    assert clear_unused(tmp_path / "nowhere", 30 * DAY_S) == []


def test_one_that_is_held_is_not_cleared_and_counts_as_used_until_then(tmp_path: Path) -> None:
    place = made(tmp_path, "held", 31)
    held = hold(str(place / "bin" / "python"))
    assert held is not None

    assert clear_unused(tmp_path, 30 * DAY_S) == []
    os.close(held)
    assert age_of(place) < 1
    assert clear_unused(tmp_path, 30 * DAY_S) == []
    age(place, 31)
    assert clear_unused(tmp_path, 30 * DAY_S) == ["held"]


def test_one_that_is_being_made_is_left_alone(tmp_path: Path) -> None:
    place = made(tmp_path, "begun", 31)
    with only_one(place):
        assert clear_unused(tmp_path, 30 * DAY_S) == []
    assert place.exists()


def test_whoever_finds_it_there_uses_it(tmp_path: Path) -> None:
    place = made(tmp_path, "found", 31)

    assert note_use(place)
    assert age_of(place) < 1
    with (place / RECORD).open("rb") as record:
        fcntl.flock(record, fcntl.LOCK_EX)  # as who clears it has it
        assert not note_use(place)
    (place / "bin" / "python").unlink()
    assert not note_use(place)
    assert not note_use(tmp_path / "nowhere")


def test_one_that_is_gone_cannot_be_held_and_others_need_not_be(tmp_path: Path) -> None:
    place = made(tmp_path, "gone", 31)
    clear_unused(tmp_path, 30 * DAY_S)

    with pytest.raises(ModelFailure, match="is gone"):
        hold(str(place / "bin" / "python"))
    assert hold(str(tmp_path / "another" / "bin" / "python")) is None


def test_a_look_clears_once_it_is_time_to(tmp_path: Path) -> None:
    place = made(tmp_path, "old", 31)
    Clearing(tmp_path, 30 * DAY_S).look()
    clearing = Clearing(tmp_path, 30 * DAY_S, 0)

    clearing.look()
    wait_until(lambda: not place.exists())
    later = made(tmp_path, "later", 31)
    clearing.look()  # not before an hour
    assert later.exists()
