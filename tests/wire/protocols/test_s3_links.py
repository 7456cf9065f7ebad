"""Presigned URLs of S3 are good for as long as they say."""

from datetime import UTC, datetime, timedelta

import pytest

from service.errors import BucketFault
from service.wire.protocols.s3_links import check_link

_SIGNED = datetime(2026, 12, 1, 12, 0, 0, tzinfo=UTC)
_NEW = {"X-Amz-Signature": "0" * 64, "X-Amz-Date": "20261201T120000Z", "X-Amz-Expires": "60"}
_OLD = {"AWSAccessKeyId": "a", "Signature": "s", "Expires": str(int(_SIGNED.timestamp()) + 60)}


@pytest.mark.parametrize("query", [_NEW, _OLD])
def test_a_link_is_good_until_its_time_is_over(query: dict[str, str]) -> None:
    for seconds in (0, 59, 60):
        check_link(query, _SIGNED + timedelta(seconds=seconds))
    with pytest.raises(BucketFault) as raised:
        check_link(query, _SIGNED + timedelta(seconds=61))
    assert (raised.value.code, raised.value.message) == ("AccessDenied", "Request has expired")
    assert raised.value.members["Expires"] == "2026-12-01T12:01:00Z"
    assert raised.value.members["ServerTime"] == "2026-12-01T12:01:01Z"


def test_the_newer_kind_tells_how_long_it_lasted() -> None:
    with pytest.raises(BucketFault) as raised:
        check_link(_NEW, _SIGNED + timedelta(days=1))
    assert raised.value.members["X-Amz-Expires"] == "60"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"X-Amz-Expires": "soon"}, "X-Amz-Expires should be a number"),
        ({"X-Amz-Expires": "-1"}, "X-Amz-Expires should be a number"),
        ({"X-Amz-Expires": "604801"}, "X-Amz-Expires must be less than a week"),
        ({"X-Amz-Date": "yesterday"}, "X-Amz-Date must be in the ISO8601 Long Format"),
        ({"X-Amz-Date": "20261301T120000Z"}, "X-Amz-Date must be in the ISO8601 Long Format"),
    ],
)
def test_a_link_that_says_nothing_of_its_time_is_refused(given: dict[str, str], told: str) -> None:
    with pytest.raises(BucketFault, match=told) as raised:
        check_link(_NEW | given, _SIGNED)
    assert raised.value.code == "AuthorizationQueryParametersError"


@pytest.mark.parametrize("text", ["soon", "-1", "", "9" * 400, "٣"])
def test_a_link_of_the_older_kind_has_a_time_as_well(text: str) -> None:
    with pytest.raises(BucketFault, match="Invalid date") as raised:
        check_link(_OLD | {"Expires": text}, _SIGNED)
    assert raised.value.code == "AccessDenied"


@pytest.mark.parametrize("query", [{}, {"list-type": "2"}, {"Expires": "1"}, {"X-Amz-Expires": "1"}])
def test_what_is_no_link_passes(query: dict[str, str]) -> None:
    check_link(query, _SIGNED)
