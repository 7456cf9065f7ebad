"""Which output belongs to which input, and what a manifest lists (contract D.2)."""

import json
import os
from collections.abc import Iterator
from urllib.parse import quote, unquote_to_bytes

from service.errors import ValidationFault

SUFFIX = ".out"
REJECTED_SUFFIX = ".rejected"
REPORT = "_report.json"


def relative_name(key: str, prefix: str) -> str:
    """The part of an input's key that its output keeps.

    `prefix` is what the key was found by, a prefix of it. A prefix that names a folder, with or without the
    slash at its end, is dropped; of any other, what stands before its last slash is.
    """
    if prefix and not prefix.endswith("/"):
        prefix = prefix + "/" if key.startswith(prefix + "/") else prefix[: prefix.rfind("/") + 1]
    return key.removeprefix(prefix)


def stored_name(name: str) -> str:
    """A file's name as any store and document can have it.

    What is not UTF-8 is written as %E9, behind a slash, which no other name begins with.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return "/" + quote(name.encode("utf-8", "surrogateescape"))
    return name


def real_name(stored: str) -> str:
    """The name that `stored_name` made this of."""
    return os.fsdecode(unquote_to_bytes(stored[1:])) if stored.startswith("/") else stored


def check_distinct(names: list[str]) -> None:
    """Refuse inputs that would be written over each other. Raises ValidationFault."""
    if len(set(names)) == len(names):
        return
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValidationFault(f"Two inputs would be written to the same output, {name}{SUFFIX}.")
        seen.add(name)


def read_manifest(text: bytes) -> Iterator[tuple[str, str]]:
    """(prefix, name) of each input that a manifest lists; together they are its address.

    `[{"prefix": "s3://bucket/folder/"}, "a.csv", "sub/b.csv"]`. Raises ValidationFault.
    """
    try:
        items = json.loads(text)
    except ValueError as error:
        raise ValidationFault(f"The manifest is not JSON: {error}.") from error
    if not isinstance(items, list) or not items or not _has_prefix(items[0]):
        raise ValidationFault(
            'A manifest is a JSON list that begins with {"prefix": "s3://bucket/folder/"}; names follow.'
        )
    prefix = items[0]["prefix"]
    for position, name in enumerate(items[1:], 2):
        if not isinstance(name, str) or not name:
            raise ValidationFault(f"Entry {position} of the manifest is not a name.")
        yield prefix, name


def _has_prefix(item: object) -> bool:
    return isinstance(item, dict) and isinstance(item.get("prefix"), str)
