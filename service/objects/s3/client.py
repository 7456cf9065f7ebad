"""The one client of an S3 server that a process has, and what its errors mean here.

botocore is imported where it is used: nobody pays for it without an S3 server.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

from service.errors import ObjectFault, ObjectUnreadable, StartupError
from service.log import get_logger
from service.object_settings import S3Server

NOT_THERE: Final = os.strerror(2)
_ABSENT: Final = frozenset({"404", "NoSuchKey", "NotFound"})
_NO_BUCKET: Final = "NoSuchBucket"
_WRONG_KEYS: Final = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken"}
)
_CONNECT_S: Final = 5.0
_READ_S: Final = 60.0
_ATTEMPTS: Final = 4
_CONNECTIONS: Final = 32


def client_of(server: S3Server) -> Any:
    """The client of this process; any number of threads may share it."""
    return _client(server, os.getpid())


@cache
def _client(server: S3Server, _pid: int) -> Any:
    """Connections must not go over into a process that is forked: hence the process is a part of the key."""
    from botocore.config import Config
    from botocore.session import Session

    # What other programs of this machine's user say of AWS is not for this server.
    nowhere = (None, None, os.devnull, None)
    session = Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": nowhere,
            "credentials_file": nowhere,
        }
    )
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path" if server.path_style else "virtual"},
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        connect_timeout=_CONNECT_S,
        read_timeout=_READ_S,
        max_pool_connections=_CONNECTIONS,
        # Only some servers know of checksums; parts have their MD5 in any case.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return session.create_client(
        "s3",
        region_name=server.region,
        endpoint_url=server.endpoint,
        aws_access_key_id=server.access_key_id,
        aws_secret_access_key=server.secret_access_key,
        aws_session_token=server.session_token or None,
        config=config,
    )


def check_server(server: S3Server) -> None:
    """See that a server takes the keys. One that does not answer may do so later: that is told.

    Raises: StartupError.
    """
    try:
        with told():
            client_of(server).list_buckets()
    except ServerRefused as refused:
        if refused.code in _WRONG_KEYS:
            raise StartupError(
                f"The S3 server {server.endpoint} does not take the keys (SAGEBIRD_S3_ACCESS_KEY_ID and "
                f"SAGEBIRD_S3_SECRET_ACCESS_KEY): {refused.code}."
            ) from None
    except ServerSilent as silent:
        get_logger("sagebird.s3").warning(
            "the S3 server does not answer yet", server=server.endpoint, reason=str(silent)
        )


class ServerRefused(Exception):
    """The server refuses a call; with its code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def is_absent(self) -> bool:
        """Whether there is no such object."""
        return self.code in _ABSENT


class ServerSilent(Exception):
    """The server cannot be reached, or breaks off."""


@contextmanager
def told() -> Iterator[None]:
    """In the block botocore's errors become those of this room. Raises ServerRefused, ServerSilent."""
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

    try:
        yield
    except ClientError as error:
        found = error.response.get("Error", {})
        raise ServerRefused(found.get("Code", ""), found.get("Message") or str(error)) from error
    except (HTTPClientError, OSError) as error:
        raise ServerSilent(str(error)) from error
    except BotoCoreError as error:
        raise ServerRefused("", str(error)) from error


@contextmanager
def worded(address: str, server: S3Server, *, writing: bool = False) -> Iterator[None]:
    """In the block errors of this room become sentences with the address. Raises ObjectFault."""
    try:
        with told():
            yield
    except ServerRefused as refused:
        raise _worded(address, _reason(address, refused), writing) from refused
    except ServerSilent as silent:
        raise _worded(address, f"the S3 server {server.endpoint} does not answer", writing) from silent


def no_bucket(name: str) -> ObjectFault:
    """There is no such bucket."""
    return ObjectFault(f"There is no bucket {name}.")


def is_no_bucket(refused: ServerRefused) -> bool:
    """Whether the bucket is not there."""
    return refused.code == _NO_BUCKET


def _reason(address: str, refused: ServerRefused) -> str:
    if refused.is_absent:
        return NOT_THERE
    if is_no_bucket(refused):
        return f"there is no bucket {address.split('/')[2]}"
    said = f"{refused.code}: {refused}" if refused.code else str(refused)
    return f"the S3 server says {said.rstrip('.')}"


def _worded(address: str, reason: str, writing: bool) -> ObjectFault:
    if writing:
        return ObjectFault(f"{address} cannot be written: {reason}.", writing=True)
    return ObjectUnreadable(address, reason)
