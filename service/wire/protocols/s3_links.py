"""How long a presigned URL of S3 may be used: what it says of itself, in either of its two kinds.

Source: S3 API reference, "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)"; S3 user
guide, "Signing and authenticating REST requests", query string request authentication alternative.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from service.errors import BucketFault
from service.wire.sigv4 import read_time

_MOST_LASTING_S: Final = 604_800
_MOST_DIGITS: Final = 12


def check_link(query: Mapping[str, str], now: datetime) -> None:
    """Refuse a link whose time is over, whoever signed it; what is no link passes. Raises BucketFault."""
    if "X-Amz-Signature" in query:
        _check(*_dated(query), now)
    elif {"Signature", "AWSAccessKeyId", "Expires"} <= query.keys():
        text = query["Expires"]
        if not _is_number(text):
            raise BucketFault("AccessDenied", f"Invalid date (should be seconds since epoch): {text}")
        _check(int(text), {}, now)


def _dated(query: Mapping[str, str]) -> tuple[float, dict[str, str]]:
    """When a link of the newer kind ends, and what it says of that. Raises BucketFault."""
    lasts, begin_s = query.get("X-Amz-Expires", ""), read_time(query.get("X-Amz-Date", "").encode())
    if begin_s is None:
        raise _malformed("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    if not _is_number(lasts):
        raise _malformed("X-Amz-Expires should be a number")
    if int(lasts) > _MOST_LASTING_S:
        text = "X-Amz-Expires must be less than a week (in seconds) that is, the given X-Amz-Expires must be "
        raise _malformed(f"{text}less than {_MOST_LASTING_S} seconds")
    return begin_s + int(lasts), {"X-Amz-Expires": lasts}


def _check(end_s: float, said: Mapping[str, str], now: datetime) -> None:
    if now.timestamp() > end_s:
        told = {**said, "Expires": _shown(datetime.fromtimestamp(end_s, UTC)), "ServerTime": _shown(now)}
        raise BucketFault("AccessDenied", "Request has expired", **told)


def _malformed(text: str) -> BucketFault:
    return BucketFault("AuthorizationQueryParametersError", text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < _MOST_DIGITS


def _shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
