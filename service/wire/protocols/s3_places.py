"""Which bucket and which object a request of S3 is about: by its host, its path and its query.

Virtual hosts are told of names below `localhost`, below the names that a setting allows as `*.example.com`,
and below Amazon's own: `bucket.localhost`, and `bucket.s3.localhost` as well.
"""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, unquote_to_bytes

from service.errors import BucketFault
from service.http.asgi import Scope
from service.origins import host_name, read_ip
from service.wire.protocols.s3 import S3Asked

_SERVICE = re.compile(r"(?:(?P<bucket>.+)\.)?s3(?:[.-][a-z0-9-]+)*")
_AMAZON = re.compile(r"(?:(?P<bucket>.+)\.)?s3(?:[.-][a-z0-9-]+)*\.amazonaws\.com(?:\.cn)?")
_LOCALHOST = "localhost"
_MOST_FIELDS = 256


def bucket_of_host(header: str, bases: Sequence[str] = ()) -> str:
    """The bucket that a Host header names, if it can be one, else "": `bases` are the names below which."""
    name = host_name(header)
    if name is None or read_ip(name) is not None:
        return ""
    amazon = _AMAZON.fullmatch(name)
    if amazon is not None:
        return amazon["bucket"] or ""
    for base in (_LOCALHOST, *bases):
        if name.endswith(f".{base}"):
            below = name.removesuffix(f".{base}")
            found = _SERVICE.fullmatch(below)
            return below if found is None else found["bucket"] or ""
    return ""


def split_path(raw: bytes) -> tuple[str, str]:
    """Bucket and key of a path as it was sent. Raises BucketFault."""
    bucket, _, key = raw.removeprefix(b"/").partition(b"/")
    return _text(bucket), _text(key)


def read_query(raw: bytes) -> dict[str, str]:
    """What stands behind the question mark. Raises BucketFault."""
    try:
        text = raw.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise _bad_uri() from None
    return dict(pairs)


def asked_of(scope: Scope, bucket: str, key: str) -> S3Asked:
    """A request about a bucket and a key; what a presigned URL has of headers counts. Raises BucketFault."""
    query = read_query(scope.get("query_string", b""))
    headers = _hoisted(query) if "X-Amz-Signature" in query else {}
    for name, value in scope["headers"]:
        text, known = value.decode("latin-1"), name.decode("latin-1")
        headers[known] = f"{headers[known]},{text}" if known in headers and known != "host" else text
    return S3Asked(scope["method"], bucket, key, query, headers)


def _hoisted(query: Mapping[str, str]) -> dict[str, str]:
    """Checksums do not count: who makes a URL does not know the body."""
    lowered = {name.lower(): value for name, value in query.items()}
    return {
        name: value
        for name, value in lowered.items()
        if name.startswith("x-amz-") and not name.startswith(("x-amz-checksum-", "x-amz-sdk-"))
    }


def _text(raw: bytes) -> str:
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise _bad_uri() from None


def _bad_uri() -> BucketFault:
    return BucketFault("InvalidURI", "Couldn't parse the specified URI.")
