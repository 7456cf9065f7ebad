"""Credentials of sessions: good for what their key is, as long as both last, and made by nobody else."""

import time
from dataclasses import replace
from hashlib import sha256

import pytest

from service.access.sessions import Session, SessionMaker, read_session
from service.errors import CredentialsExpired, CredentialsUnknown
from service.wire import sigv4
from tests.access.conftest import SIGNERS, House


def _session(house: House, lasts_s: float = 900.0) -> Session:
    return SessionMaker(house.key_file).begin(house.minted.key.id, time.time() + lasts_s)


def _begun(house: House, lasts_s: float = 900.0) -> str:
    return _session(house, lasts_s).id


def _let_in(house: House, signer: str, key_id: str, secret: str, token: str = "") -> None:
    """Let a request in that is signed so. Raises: NotAuthenticated."""
    service = "s3" if signer.startswith("s3") else "sagemaker"
    brought = {"key_id": key_id, "secret": secret, "token": token}
    head = house.sign("GET", body=b"", headers={}, signer=signer, service=service, **brought)
    claim = house.claims.read(head, dict(head.headers).get(b"authorization"))
    house.claims.check_body(claim, sha256(b"").hexdigest().encode())


@pytest.mark.provenance("documented")
@pytest.mark.parametrize("signer", SIGNERS)
def test_a_session_is_let_in_with_its_own_token_and_with_no_other(house: House, signer: str) -> None:
    session, other = _session(house), _session(house)
    pair = (session.id, session.secret_access_key)

    _let_in(house, signer, *pair, token=session.token)
    for token in ("bogus", other.token, session.token[:-1], f"{session.token}=", "\u00e9"):
        with pytest.raises(CredentialsUnknown, match="The security token included in the request is invalid"):
            _let_in(house, signer, *pair, token=token)
    with pytest.raises(CredentialsUnknown):
        _let_in(house, signer, *pair)
    with pytest.raises(CredentialsUnknown):
        _let_in(house, signer, house.minted.key.id, house.minted.secret_access_key, token=session.token)


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
