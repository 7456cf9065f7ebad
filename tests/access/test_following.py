from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from service.access.following import KeyFollower
from service.access.key_file import open_key_file
from service.access.keyring import Keyring
from service.access.minting import mint
from service.domain.access_keys import CODEC, Permission
from service.http.remembered import Epoch


@dataclass
class _Timer:
    at_s: float
    call: Callable[[], object]
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True


@dataclass
class _House:
    """A follower with a clock that stands still, whose timers ring when a test says so."""

    folder: Path
    now_s: float = 1000.0
    timers: list[_Timer] = field(default_factory=list)
    epoch: Epoch = field(default_factory=Epoch)

    def __post_init__(self) -> None:
        self.key_file = open_key_file(self.folder / "key")
        self.keyring = Keyring(self.key_file, lambda: self.now_s)
        self.follower = KeyFollower(self.keyring, self.key_file, self.epoch, self)

    def call_later(self, delay: float, callback: Callable[[], object]) -> _Timer:
        self.timers.append(_Timer(self.now_s + delay, callback))
        return self.timers[-1]

    def pending(self) -> list[_Timer]:
        return [timer for timer in self.timers if not timer.is_cancelled]

    def documents(self, *ends: float | None) -> dict[str, Any]:
        """Keys as the store keeps them, which expire so."""
        keys = [mint("a", [Permission.INVOKE], ["*"], self.key_file, 0.0, end).key for end in ends]
        return {key.id: CODEC.write(key) for key in keys}


@pytest.fixture
def house(tmp_path: Path) -> _House:
    return _House(tmp_path)


def test_keys_are_those_of_the_store_and_what_was_remembered_is_forgotten(house: _House) -> None:
    documents = house.documents(None, None)
    house.follower.follow(documents)
    assert {key.id for key in house.keyring.all()} == documents.keys()
    assert house.epoch.number == 1

    kept = dict(list(documents.items())[:1])
    house.follower.follow(kept)

    assert {key.id for key in house.keyring.all()} == kept.keys()
    assert house.epoch.number == 2


def test_nothing_is_forgotten_while_nothing_changes(house: _House) -> None:
    documents = house.documents(None)
    for _ in range(3):
        house.follower.follow(dict(documents))

    assert house.epoch.number == 1


def test_what_was_remembered_is_forgotten_when_a_key_expires(house: _House) -> None:
    house.follower.follow(house.documents(1005.0, 1010.0, None))
    (timer,) = house.pending()
    assert timer.at_s == pytest.approx(1005, abs=0.1)
    house.now_s = timer.at_s
    timer.call()

    assert house.epoch.number == 2
    assert house.pending()[-1].at_s == pytest.approx(1010, abs=0.1)


def test_a_date_that_is_far_is_looked_at_again_meanwhile(house: _House) -> None:
    """The clock may be set anew."""
    house.follower.follow(house.documents(1_000_000.0))
    (timer,) = house.pending()

    assert timer.at_s <= 1031
    house.now_s = 2_000_000.0
    timer.call()
    assert all(timer.is_cancelled or timer.at_s < 2_000_000 for timer in house.timers)


def test_a_new_look_takes_the_place_of_the_last_timer(house: _House) -> None:
    house.follower.follow(house.documents(1005.0))
    house.follower.follow(house.documents(None))

    assert house.pending() == []


@pytest.mark.parametrize("documents", [None, 7, "all", []])
def test_what_cannot_be_read_lets_nobody_in(house: _House, documents: object) -> None:
    house.follower.follow(house.documents(None))
    house.follower.follow(documents if documents is not None else "nothing")

    assert house.keyring.all() == []


def test_a_key_that_cannot_be_read_takes_no_other_with_it(house: _House) -> None:
    documents = house.documents(None)
    broken = {"b": {}, "c": None, "d": {**next(iter(documents.values())), "permissions": ["everything"]}}
    house.follower.follow({**broken, **documents})

    assert {key.id for key in house.keyring.all()} == documents.keys()


def test_keys_of_another_key_file_still_have_their_api_keys(house: _House) -> None:
    minted = mint("a", [Permission.INVOKE], ["*"], house.key_file, 0.0)
    house.follower.follow({minted.key.id: CODEC.write(replace(minted.key, sealed_by="another"))})

    assert house.keyring.of_api_key(minted.api_key.encode()).id == minted.key.id
