"""Exceptions. Source: sagemaker-containers 2.8.6."""

from __future__ import annotations

from _sagebird_standins import UNSUPPORTED


class ClientError(Exception):
    """What user code did wrong."""


class UnsupportedFormatError(Exception):
    """A content type that is not read or written."""

    def __init__(self, content_type: str, **details: object) -> None:
        self.message = UNSUPPORTED % content_type
        super().__init__(self.message, **details)


class ImportModuleError(ClientError):
    """A module that cannot be imported."""


class InstallModuleError(ClientError):
    """A module that cannot be installed."""


class ExecuteUserScriptError(ClientError):
    """A script that failed."""


class ChannelDoesNotExistException(Exception):
    """A channel of training data that is not there."""
