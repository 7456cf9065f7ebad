"""Copies of what an S3 server keeps that no files can be. With a server: contracts/test_objects.py."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from service.errors import ObjectFault
from service.objects.objects import ObjectPath, Objects, StoredObject
from service.objects.s3.copies import Copies


class _Listed:
    """A bucket that lists keys and has nothing to read: what cannot be a file is refused before."""

    def __init__(self, *keys: str) -> None:
        self._keys = keys

    def stat(self, _key: str) -> None:
        """There is none of that key."""

    def list(self, prefix: str) -> Iterator[StoredObject]:
        return (StoredObject(key, 1, "v") for key in self._keys if key.startswith(prefix))

    def address(self, key: str) -> str:
        return f"s3://b/{key}"


@pytest.mark.parametrize("keys", [("m/a", "m/a/b"), ("m/a", "m/a-b", "m/a/b/c"), ("m/a/b/c", "m/a/b")])
def test_what_is_file_and_folder_at_once_is_named(tmp_path: Path, keys: tuple[str, ...]) -> None:
    objects: Any = _Listed(*keys)

    with pytest.raises(ObjectFault, match=r"s3://b/m/a(/b)? and an object below it"):
        Copies(tmp_path).of(ObjectPath(cast(Objects, objects), "m"))
    assert not [each for each in tmp_path.rglob("*") if each.name == "a"]
