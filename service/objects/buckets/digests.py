"""What is summed up of bytes on their way: MD5 for the ETag, and the checksums that clients of S3 send."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Any, Final

from service.errors import BucketFault
from service.objects.buckets.crc import CRCS, Crc, joined

_SIZES: Final = MappingProxyType({"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32})

CHECKSUMS: Final = tuple(_SIZES)
"""The names of checksums, as S3 has them."""

FULL_OBJECT: Final = "FULL_OBJECT"
"""A checksum over the bytes of an object."""
COMPOSITE: Final = "COMPOSITE"
"""A checksum over the checksums of an object's parts."""


class Digests:
    """MD5 and the checksums of the given names, over bytes as they come."""

    def __init__(self, names: Iterable[str] = (), *, sha256: bool = False) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._others: dict[str, Any] = {name: _begun(name) for name in names}
        self._sha256 = self._others.get("SHA256", hashlib.sha256()) if sha256 else None
        self._all = {id(one): one for one in (self._md5, *self._others.values(), self._sha256) if one}

    def update(self, data: bytes) -> None:
        """Go on over these bytes."""
        for one in self._all.values():
            one.update(data)

    @property
    def md5(self) -> bytes:
        """MD5 so far."""
        return self._md5.digest()

    @property
    def sha256_hex(self) -> str:
        """SHA-256 so far, "" where it was not asked for."""
        return "" if self._sha256 is None else str(self._sha256.hexdigest())

    @property
    def checksums(self) -> dict[str, str]:
        """The others so far, in base64."""
        return {name: encoded(one.digest()) for name, one in self._others.items()}


def check_checksum(name: str, value: str) -> None:
    """Refuse what cannot be a checksum of that name. Raises BucketFault."""
    try:
        size = len(base64.b64decode(value, validate=True))
    except ValueError:
        size = -1
    if size != _SIZES[name]:
        header = f"x-amz-checksum-{name.lower()}"
        raise BucketFault("InvalidRequest", f"Value for {header} header is invalid.")


def of_parts(name: str, kind: str, parts: Sequence[tuple[str, int]]) -> str:
    """The checksum of an object of parts, each with its own and its size. Raises BucketFault."""
    raw = [(base64.b64decode(text), size) for text, size in parts]
    if kind == FULL_OBJECT:
        if name not in CRCS:
            text = f"The FULL_OBJECT checksum type cannot be used with the {name.lower()} checksum algorithm."
            raise BucketFault("InvalidRequest", text)
        return encoded(joined(name, raw))
    whole = _begun(name)
    for digest, _ in raw:
        whole.update(digest)
    return f"{encoded(whole.digest())}-{len(raw)}"


def etag_of_parts(etags: Sequence[str]) -> str:
    """The ETag of an object of parts."""
    whole = hashlib.md5(b"".join(map(bytes.fromhex, etags)), usedforsecurity=False)
    return f"{whole.hexdigest()}-{len(etags)}"


def encoded(digest: bytes) -> str:
    """A digest as headers have it."""
    return base64.b64encode(digest).decode("ascii")


def _begun(name: str) -> Any:
    if name in CRCS:
        return Crc(name)
    return hashlib.sha1(usedforsecurity=False) if name == "SHA1" else hashlib.sha256()
