import time
from dataclasses import replace

import pytest

from service.access.sessions import SessionMaker
from service.errors import CredentialsExpired, CredentialsUnknown
from service.wire import sigv4
from tests.access.conftest import House

_SCOPE = sigv4.CredentialScope("", "20260102", "eu-west-1", "sagemaker")


def test_an_api_key_is_found_and_no_other(house: House) -> None:
    api_key = house.minted.api_key.encode()

    assert house.keyring.of_api_key(api_key) == house.minted.key
    for other in (b"", api_key[:-1], api_key + b"x", api_key.upper(), api_key * 100, "schlüssel".encode()):
        with pytest.raises(CredentialsUnknown):
            house.keyring.of_api_key(other)


def test_nothing_secret_is_kept_of_a_key(house: House) -> None:
    kept = repr(house.minted.key)

    assert house.minted.api_key not in kept
    assert house.minted.secret_access_key not in kept


def test_a_revoked_key_is_as_if_it_had_never_been(house: House) -> None:
    house.keyring.replace([replace(house.minted.key, revoked_at=1.0)])

    with pytest.raises(CredentialsUnknown):
        house.keyring.of_api_key(house.minted.api_key.encode())
    with pytest.raises(CredentialsUnknown):
        house.keyring.of_id(house.minted.key.id)
    assert not house.keyring.is_good(house.minted.key, 0.0)


def test_an_expired_key_is_told_that_it_is(house: House) -> None:
    house.keyring.replace([replace(house.minted.key, expires_at=time.time() + 60)])
    assert house.keyring.of_api_key(house.minted.api_key.encode()).name == "web"
    house.ahead_s = 60

    with pytest.raises(CredentialsExpired):
        house.keyring.of_api_key(house.minted.api_key.encode())
    with pytest.raises(CredentialsExpired):
        house.keyring.of_id(house.minted.key.id)


def test_whoever_came_in_is_told_when_his_key_is_good_no_more(house: House) -> None:
    key = replace(house.minted.key, expires_at=time.time() + 1200)
    house.keyring.replace([key])
    session = SessionMaker(house.key_file).begin(key.id, time.time() + 900)
    by_session = house.keyring.of_id(session.id)

    for ahead_s, key_is_good, session_is_good in ((0, True, True), (901, True, False), (1201, False, False)):
        house.ahead_s = ahead_s
        assert house.keyring.is_still_good(key) == key_is_good
        assert house.keyring.is_still_good(by_session) == session_is_good
    house.ahead_s = 0
    house.keyring.replace([replace(key, revoked_at=1.0)])
    assert not house.keyring.is_still_good(key)
    assert not house.keyring.is_still_good(by_session)


def test_a_key_that_stays_is_good_for_whoever_found_it_before_others_came(house: House) -> None:
    found = house.keyring.of_id(house.minted.key.id)
    house.keyring.replace([replace(house.minted.key), replace(house.minted.key, id="B", digest="00")])

    assert house.keyring.is_good(found, time.time())
    house.keyring.replace([replace(house.minted.key, endpoints=("other",))])
    assert not house.keyring.is_good(found, time.time())


def test_keys_sign_for_one_day_region_and_service_each(house: House) -> None:
    scope = _SCOPE._replace(access_key=house.minted.key.id)
    others = [
        scope._replace(date="20260103"),
        scope._replace(region="us-east-1"),
        scope._replace(service="s3"),
    ]

    keys = {house.keyring.signing_key(each) for each in (scope, scope, *others)}

    assert len(keys) == 4
    assert house.keyring.signing_key(scope) == sigv4.signing_key(house.minted.secret_access_key, scope)
