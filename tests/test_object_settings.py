"""Settings of an S3 server that has the buckets: whole, or one sentence."""

from pathlib import Path

import pytest

from service.errors import StartupError
from service.settings import load_settings

_KEYS = {"s3_access_key_id": "a", "s3_secret_access_key": "very secret"}


@pytest.fixture(autouse=True)
def _no_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAGEBIRD_DATA", str(tmp_path))


def test_without_an_address_buckets_are_folders() -> None:
    assert load_settings().s3_server is None


def test_an_address_and_keys_are_a_server() -> None:
    server = load_settings(s3_endpoint="https://s3.example.com/", s3_path_style=False, **_KEYS).s3_server

    assert server is not None
    assert (server.endpoint, server.region, server.path_style) == (
        "https://s3.example.com",
        "us-east-1",
        False,
    )


def test_no_secret_is_shown() -> None:
    settings = load_settings(s3_endpoint="http://s3:9000", s3_session_token="a token", **_KEYS)

    assert "very secret" not in repr(settings) + repr(settings.s3_server)
    assert "a token" not in repr(settings) + repr(settings.s3_server)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"s3_endpoint": "s3:9000", **_KEYS}, "SAGEBIRD_S3_ENDPOINT: an S3 server's address is http://"),
        ({"s3_endpoint": "http://s3/below", **_KEYS}, "SAGEBIRD_S3_ENDPOINT: an S3 server's address"),
        ({"s3_endpoint": "http://a:b@s3", **_KEYS}, "SAGEBIRD_S3_ENDPOINT: an S3 server's address"),
        ({"s3_endpoint": "http://s3:port", **_KEYS}, "SAGEBIRD_S3_ENDPOINT: an S3 server's address"),
        ({"s3_endpoint": "http://s3"}, "SAGEBIRD_S3_ENDPOINT needs SAGEBIRD_S3_ACCESS_KEY_ID and"),
        (_KEYS, "say nothing without SAGEBIRD_S3_ENDPOINT"),
        ({"s3_region": "no region"}, "SAGEBIRD_S3_REGION"),
    ],
)
def test_what_is_not_whole_is_refused_in_one_sentence(given: dict[str, str], complaint: str) -> None:
    with pytest.raises(StartupError) as caught:
        load_settings(**given)

    assert complaint in caught.value.message
    assert "very secret" not in caught.value.message
    assert "\n" not in caught.value.message
