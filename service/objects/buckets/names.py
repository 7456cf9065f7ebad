"""Which names buckets and keys can have where they are folders and files. Nothing is looked at here."""

import re
from typing import Final

from service.errors import BucketFault
from service.objects.writing import PART
from service.s3uri import parse_s3_uri

# Source: S3 user guide, "General purpose bucket naming rules".
_NEW_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_ADDRESS: Final = re.compile(r"[0-9]+(?:\.[0-9]+){3}", re.ASCII)
_RESERVED_BEGINNINGS: Final = ("xn--", "sthree-")
_RESERVED_ENDINGS: Final = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")

_MOST_KEY_BYTES: Final = 1024
_MOST_NAME_BYTES: Final = 255  # of a file, on nearly every file system


def check_new_bucket(name: str) -> None:
    """Refuse what S3 would not call a bucket. Raises BucketFault."""
    if name.startswith(_RESERVED_BEGINNINGS) or name.endswith(_RESERVED_ENDINGS):
        raise _no_name(name)
    check_bucket_name(name)


def check_bucket_name(name: str) -> None:
    """Refuse what no bucket of S3 is called, new or old. Raises BucketFault."""
    if not is_bucket_name(name):
        raise _no_name(name)


def is_bucket_name(name: str) -> bool:
    """Whether a bucket of S3 may be called so."""
    return bool(_NEW_BUCKET.fullmatch(name)) and ".." not in name and not _ADDRESS.fullmatch(name)


def is_bucket(name: str) -> bool:
    """Whether a folder of that name can be a bucket, whoever made it."""
    uri = parse_s3_uri(f"s3://{name}")
    return uri is not None and uri.bucket == name


def names_of(key: str) -> tuple[str, ...]:
    """The names of the folders and the file that a key stands for. Raises BucketFault.

    A key that ends in a slash stands for a folder.
    """
    raw = key.encode("utf-8", "surrogatepass")
    if len(raw) > _MOST_KEY_BYTES:
        size = {"Size": str(len(raw)), "MaxSizeAllowed": str(_MOST_KEY_BYTES)}
        raise BucketFault("KeyTooLongError", "Your key is too long", **size)
    names = tuple(key.removesuffix("/").split("/"))
    for name in names:
        _check_name(name, key)
    return names


def _check_name(name: str, key: str) -> None:
    if name in ("", ".", ".."):
        raise _refusal("has an empty name, . or .. between its slashes", key)
    if "\0" in name or any("\ud800" <= letter <= "\udfff" for letter in name):
        raise _refusal("has a character that no file's name can have", key)
    if len(name.encode()) > _MOST_NAME_BYTES:
        text = (
            "Your key is too long: keys are files here, and no name between its slashes may have more than "
            f"{_MOST_NAME_BYTES} bytes."
        )
        raise BucketFault("KeyTooLongError", text, MaxSizeAllowed=str(_MOST_NAME_BYTES))
    if name.startswith(".") and name.endswith(PART):
        raise _refusal(
            f"is the name of an unfinished file, which begins with a dot and ends with {PART}", key
        )


def _refusal(reason: str, key: str) -> BucketFault:
    text = f"Keys are files here, and this one cannot be one: it {reason}."
    return BucketFault("InvalidArgument", text, ArgumentName="Key", ArgumentValue=key)


def _no_name(name: str) -> BucketFault:
    return BucketFault("InvalidBucketName", "The specified bucket is not valid.", BucketName=name)
