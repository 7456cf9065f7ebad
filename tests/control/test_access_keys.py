from collections.abc import Iterator
from pathlib import Path

import pytest

from service.control.access_keys import add_access_key, list_access_keys, revoke_access_key
from service.domain.access_keys import AccessKey, Permission
from service.errors import ResourceNotFound
from service.store.store import ACCESS_KEYS, Store

_DAY_S = 86_400.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "state.db")
    yield opened
    opened.close()


def _key(key_id: str, created_at: float = 0.0, expires_at: float | None = None) -> AccessKey:
    return AccessKey(key_id, "a", "00", frozenset({Permission.INVOKE}), ("*",), created_at, expires_at)


def test_keys_are_kept_and_listed_the_newest_first(store: Store) -> None:
    assert list_access_keys(store) == []
    for number in range(3):
        add_access_key(store, _key(f"K{number}", float(number)))

    assert [key.id for key in list_access_keys(store)] == ["K2", "K1", "K0"]


def test_a_key_is_revoked_once_and_for_all(store: Store) -> None:
    add_access_key(store, _key("A"))
    add_access_key(store, _key("B"))

    assert revoke_access_key(store, "A", 5.0).revoked_at == 5.0
    revision = store.revision()
    assert revoke_access_key(store, "A", 6.0).revoked_at == 5.0

    assert store.revision() == revision
    assert {key.id: key.is_revoked for key in list_access_keys(store)} == {"A": True, "B": False}


def test_a_key_that_is_not_there_cannot_be_revoked(store: Store) -> None:
    with pytest.raises(ResourceNotFound, match="no key A"):
        revoke_access_key(store, "A", 5.0)


def test_what_is_over_for_long_is_forgotten_with_the_next_key(store: Store) -> None:
    for key in (
        _key("revoked"),
        _key("expired", expires_at=_DAY_S),
        _key("late", expires_at=80 * _DAY_S),
        _key("on"),
    ):
        add_access_key(store, key)
    revoke_access_key(store, "revoked", 2 * _DAY_S)

    add_access_key(store, _key("new", 100 * _DAY_S))

    assert {key.id for key in list_access_keys(store)} == {"late", "on", "new"}
    assert set(store.fact(ACCESS_KEYS)) == {"late", "on", "new"}
