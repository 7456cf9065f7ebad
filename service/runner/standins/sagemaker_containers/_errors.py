"""Exceptions. Source: sagemaker-containers 2.8.6."""

from __future__ import annotations

UNSUPPORTED = (
    "Content type %s is not supported by this framework.\n\n"
    "Please implement input_fn to to deserialize the request data or an output_fn to\n"
    "serialize the response. For more information, see the SageMaker Python SDK README."
)
"""AWS's own words, with their mistake."""


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
