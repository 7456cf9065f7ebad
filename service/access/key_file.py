"""The key file: one secret of the server's own, from which each secret access key is derived.

A signature can only be verified by who has the secret itself, so that a digest of it would not do. Derived,
no secret lies anywhere: the store holds ids, which are worth nothing without this file, and this file is
worth nothing without the ids. Who reads both, as the server does, can sign.
"""

import hmac
import os
import re
import secrets
import stat
from base64 import urlsafe_b64encode
from contextlib import suppress
from pathlib import Path

from service.errors import StartupError

_BYTES = 32
_CONTENT = re.compile(rb"[0-9a-f]{%d}\n?" % (2 * _BYTES))
_OTHERS = 0o077
_SECRET_BYTES = 30  # 40 characters, as AWS's have
_OF_SECRETS = b"sagebird secret access key\0"
_OF_THE_FILE = b"sagebird key file\0"
_FINGERPRINT_CHARS = 12


class KeyFile:
    """What is in a key file; nothing shows it."""

    __slots__ = ("_content", "fingerprint")

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.fingerprint = hmac.digest(content, _OF_THE_FILE, "sha256").hex()[:_FINGERPRINT_CHARS]
        """Which file it is, told by nothing that is in it."""

    def secret_of(self, key_id: str) -> str:
        """The secret access key of one access key."""
        derived = hmac.digest(self._content, _OF_SECRETS + key_id.encode("utf-8"), "sha256")
        return urlsafe_b64encode(derived[:_SECRET_BYTES]).decode("ascii")


def open_key_file(path: Path) -> KeyFile:
    """Read the key file; where there is none, one is made first, that nobody else may read.

    Raises:
        StartupError: it cannot be read or made, others may read it, or it is none.
    """
    try:
        if not path.exists():
            _make(path)
        return KeyFile(bytes.fromhex(_read(path)))
    except OSError as error:
        raise StartupError(
            f"The key file {path} cannot be read or made (SAGEBIRD_KEY_FILE): {error.strerror}."
        ) from None


def _read(path: Path) -> str:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_mode & _OTHERS:
            raise StartupError(
                f"The key file {path} must be a file that its owner alone may read: chmod 600 {path}."
            )
        content = file.read(2 * _BYTES + 2)
    if not _CONTENT.fullmatch(content):
        raise StartupError(f"The key file {path} does not hold {2 * _BYTES} hexadecimal digits.")
    return content.decode("ascii").strip()


def _make(path: Path) -> None:
    """Make a key file whole or not at all; of several who do so at once, one has made it for all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.parent / f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{secrets.token_hex(_BYTES)}\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(unfinished, path)
    finally:
        unfinished.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
