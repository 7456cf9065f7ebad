"""Credentials of sessions: good for what their key is, as long as both last, and made by nobody else."""

import time
from dataclasses import replace

import pytest

from service.access.sessions import SessionMaker, read_session
from service.errors import CredentialsExpired, CredentialsUnknown
from service.wire import sigv4
from tests.access.conftest import House


def _begun(house: House, lasts_s: float = 900.0) -> str:
    return SessionMaker(house.key_file).begin(house.minted.key.id, time.time() + lasts_s).id


def test_a_session_is_its_key_for_a_while(house: House) -> None:
    found = house.keyring.of_id(_begun(house))

    assert replace(found, expires_at=None) == house.minted.key
    assert house.keyring.is_good(found, time.time())
    house.ahead_s = 901
    assert not house.keyring.is_good(found, time.time() + 901)
    with pytest.raises(CredentialsExpired):
        house.keyring.check(found)
    with pytest.raises(CredentialsExpired):
        house.keyring.of_id(_begun(house, 0.0))


def test_a_session_lasts_no_longer_than_its_key(house: House) -> None:
    key = replace(house.minted.key, expires_at=time.time() + 60)
    house.keyring.replace([key])

    assert house.keyring.of_id(_begun(house)) is house.keyring.of_id(key.id)


def test_a_session_ends_with_its_key(house: House) -> None:
    session_id = _begun(house)
    found = house.keyring.of_id(session_id)
    house.keyring.replace([replace(house.minted.key, revoked_at=1.0)])

    assert not house.keyring.is_good(found, time.time())
    with pytest.raises(CredentialsUnknown):
        house.keyring.of_id(session_id)


def test_another_time_in_an_id_has_another_secret(house: House) -> None:
    session = SessionMaker(house.key_file).begin(house.minted.key.id, 1_900_000_000.0)
    longer = session.id.replace(f"{1_900_000_000:08X}", f"{1_999_999_999:08X}")
    scope = sigv4.CredentialScope(session.id, "20260102", "us-east-1", "sagemaker")

    assert house.keyring.signing_key(scope) == sigv4.signing_key(session.secret_access_key, scope)
    assert house.keyring.signing_key(scope._replace(access_key=longer)) != house.keyring.signing_key(scope)


def test_where_nobody_is_asked_for_a_key_any_credentials_will_do() -> None:
    one, other = (SessionMaker(None).begin("", time.time()) for _ in range(2))

    assert len({one.id, other.id, one.secret_access_key, other.secret_access_key}) == 4
    assert read_session(one.id) is not None


@pytest.mark.parametrize("text", ["", "SBTS", "SBKA234567ABCDEFGHIJ", "SBTSa234567ABCDEFGHI0000000000000000"])
def test_what_is_no_session_is_none(text: str) -> None:
    assert read_session(text) is None
