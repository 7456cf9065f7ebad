"""Which function answers which operation of CloudWatch Logs."""

from collections.abc import Mapping
from time import time
from types import MappingProxyType
from typing import Any, Final

from service.control.logs import events, groups
from service.control.logs.context import LogsContext, LogsOperation
from service.domain import unserved
from service.domain.caller import Caller
from service.store.logs import LogStore

_ANSWERED: Final = MappingProxyType[str, LogsOperation](
    {
        "CreateLogGroup": groups.create_log_group,
        "DeleteLogGroup": groups.delete_log_group,
        "DescribeLogGroups": groups.describe_log_groups,
        "CreateLogStream": groups.create_log_stream,
        "DeleteLogStream": groups.delete_log_stream,
        "DescribeLogStreams": groups.describe_log_streams,
        "PutRetentionPolicy": groups.put_retention_policy,
        "DeleteRetentionPolicy": groups.delete_retention_policy,
        **dict.fromkeys(("ListTagsForResource", "ListTagsLogGroup"), groups.list_tags),
        **dict.fromkeys(("TagResource", "TagLogGroup"), groups.tag),
        **dict.fromkeys(("UntagResource", "UntagLogGroup"), groups.untag),
        "PutLogEvents": events.put_log_events,
        "GetLogEvents": events.get_log_events,
        "FilterLogEvents": events.filter_log_events,
    }
)

SERVED: Final = frozenset(_ANSWERED)
"""The operations of logs that are served."""


class LogsOperations:
    """Runs operations of CloudWatch Logs. All of them may wait for the disk."""

    def __init__(self, store: LogStore | None) -> None:
        """Without a store nothing is kept, and no group is there."""
        self._store = store

    def answer(self, caller: Caller, operation: str, fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Run one. Raises ServiceFault, UnknownOperation."""
        found = _ANSWERED.get(operation)
        if found is None or self._store is None:
            raise unserved.refusal("logs", "logs", operation)
        return found(LogsContext(self._store, caller, int(time() * 1000)), fields)
