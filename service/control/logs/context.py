"""What the operations of CloudWatch Logs work with: groups and streams by the names that callers give."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from service.domain.caller import Caller
from service.errors import ServiceFault
from service.store.logs import LogGroup, LogStore, LogStream

LogsFields = Mapping[str, Any]
"""The members of a request, as botocore's model names them."""

LogsOutput = Mapping[str, Any] | None
LogsOperation = Callable[["LogsContext", LogsFields], LogsOutput]

_GROUP: Final = ":log-group:"


@dataclass(frozen=True, slots=True)
class LogsContext:
    """What an operation needs beside its members."""

    store: LogStore
    caller: Caller
    now_ms: int

    def group(self, fields: LogsFields) -> LogGroup:
        """The group that a request is about, by name or ARN. Raises ServiceFault."""
        name, identifier = fields.get("logGroupName"), fields.get("logGroupIdentifier")
        if (name is None) == (identifier is None):
            refuse("Exactly one of logGroupName and logGroupIdentifier must be specified.")
        return self.group_named(name_of(str(name or identifier)))

    def group_named(self, name: str) -> LogGroup:
        """Raises ServiceFault."""
        found = self.store.group(name)
        if found is None:
            missing("The specified log group does not exist.")
        return found

    def stream(self, group: LogGroup, name: str) -> LogStream:
        """Raises ServiceFault."""
        found = self.store.stream(group, name)
        if found is None:
            missing("The specified log stream does not exist.")
        return found

    def arn(self, group: str) -> str:
        """The name of a group for other services."""
        arns = self.caller.arns
        return f"arn:{arns.partition}:logs:{arns.region}:{arns.account}{_GROUP}{group}"


def name_of(identifier: str) -> str:
    """The name of a group that is known by its ARN, with or without what stands for its streams."""
    if not identifier.startswith("arn:"):
        return identifier
    return identifier.partition(_GROUP)[2].removesuffix(":*")


def refuse(message: str) -> NoReturn:
    """Raises ServiceFault."""
    raise ServiceFault("InvalidParameterException", message)


def missing(message: str) -> NoReturn:
    """Raises ServiceFault. Source: CloudWatch Logs, observed."""
    raise ServiceFault("ResourceNotFoundException", message)


def exists(message: str) -> NoReturn:
    """Raises ServiceFault."""
    raise ServiceFault("ResourceAlreadyExistsException", message)
