"""Names of objects in buckets, in each spelling that AWS takes. Nothing is opened here."""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

# Source: S3 user guide, bucket naming rules; what is told of here can be no other folder's name.
_BUCKET = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,254}", re.ASCII)
_VIRTUAL_HOST = re.compile(r"(?P<bucket>.+)\.s3[.-][a-z0-9.-]*amazonaws\.com(\.cn)?")
_PATH_HOST = re.compile(r"s3[.-][a-z0-9.-]*amazonaws\.com(\.cn)?")


@dataclass(frozen=True, slots=True)
class S3Uri:
    """One object or prefix: `key` has no leading slash and may be empty."""

    bucket: str
    key: str


def parse_s3_uri(text: str) -> S3Uri | None:
    """`s3://bucket/key`, or an https address of Amazon S3 in either of its styles; None for anything else."""
    if text.startswith("s3://"):
        bucket, _, key = text.removeprefix("s3://").partition("/")
    elif text.startswith("https://"):
        bucket, key = _from_address(text)
    else:
        return None
    return S3Uri(bucket, key) if _BUCKET.fullmatch(bucket) and ".." not in bucket else None


def _from_address(text: str) -> tuple[str, str]:
    try:
        address = urlsplit(text)
        host = address.hostname or ""
    except ValueError:  # brackets that hold no address
        return "", ""
    path = unquote(address.path).removeprefix("/")
    virtual = _VIRTUAL_HOST.fullmatch(host)
    if virtual is not None:
        return virtual["bucket"], path
    if _PATH_HOST.fullmatch(host):
        bucket, _, key = path.partition("/")
        return bucket, key
    return "", ""
