"""The operations of CloudWatch Logs on groups and streams: make, list, remove, how long they keep, tags."""

from collections.abc import Mapping
from typing import Any, Final

from service.control.logs.context import (
    LogsContext,
    LogsFields,
    LogsOutput,
    exists,
    missing,
    name_of,
    refuse,
)
from service.errors import ServiceFault
from service.store.logs import LogGroup, LogStream

_RETENTIONS: Final = frozenset(  # Source: botocore's model of logs, shape Days
    (
        *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
        *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
    )
)
_MOST_TAGS: Final = 50
_PAGE: Final = 50


def create_log_group(context: LogsContext, fields: LogsFields) -> None:
    """CreateLogGroup."""
    tags = fields.get("tags", {})
    kind = fields.get("logGroupClass", "STANDARD")
    if not context.store.make_group(fields["logGroupName"], tags, kind):
        exists("The specified log group already exists")


def delete_log_group(context: LogsContext, fields: LogsFields) -> None:
    """DeleteLogGroup."""
    context.store.delete_group(context.group_named(fields["logGroupName"]))


def describe_log_groups(context: LogsContext, fields: LogsFields) -> LogsOutput:
    """DescribeLogGroups: a page, in the order of names."""
    prefix, part = fields.get("logGroupNamePrefix", ""), fields.get("logGroupNamePattern", "")
    if prefix and part:
        refuse("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
    most = fields.get("limit", _PAGE)
    if identifiers := fields.get("logGroupIdentifiers"):
        named = [context.store.group(name_of(identifier)) for identifier in identifiers]
        return {"logGroups": [_shown_group(context, each) for each in named if each is not None]}
    after = fields.get("nextToken", "")
    found = context.store.groups(prefix, part=part, after=after, most=most + 1)
    page = {"logGroups": [_shown_group(context, group) for group in found[:most]]}
    return page if len(found) <= most else {**page, "nextToken": found[most - 1].name}


def create_log_stream(context: LogsContext, fields: LogsFields) -> None:
    """CreateLogStream."""
    group = context.group_named(fields["logGroupName"])
    if not context.store.make_stream(group, fields["logStreamName"]):
        exists("The specified log stream already exists")


def delete_log_stream(context: LogsContext, fields: LogsFields) -> None:
    """DeleteLogStream."""
    group = context.group_named(fields["logGroupName"])
    context.store.delete_stream(context.stream(group, fields["logStreamName"]))


def describe_log_streams(context: LogsContext, fields: LogsFields) -> LogsOutput:
    """DescribeLogStreams: a page, in the order of names or of last events."""
    group, prefix = context.group(fields), fields.get("logStreamNamePrefix", "")
    by_time = fields.get("orderBy", "LogStreamName") == "LastEventTime"
    if by_time and prefix:
        refuse("Cannot order by LastEventTime with a logStreamNamePrefix.")
    found = context.store.streams(group, prefix)
    if by_time:
        found.sort(key=lambda stream: stream.last_ms or 0)
    if fields.get("descending", False):
        found.reverse()
    begin, most = _place(fields.get("nextToken", "0")), fields.get("limit", _PAGE)
    page = {"logStreams": [_shown_stream(context, group, each) for each in found[begin : begin + most]]}
    return page if len(found) <= begin + most else {**page, "nextToken": str(begin + most)}


def put_retention_policy(context: LogsContext, fields: LogsFields) -> None:
    """PutRetentionPolicy."""
    days = fields["retentionInDays"]
    if days not in _RETENTIONS:
        refuse(
            f"1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: "
            f"Member must satisfy enum value set: {sorted(_RETENTIONS)}"
        )
    context.store.keep_for(context.group_named(fields["logGroupName"]), days)


def delete_retention_policy(context: LogsContext, fields: LogsFields) -> None:
    """DeleteRetentionPolicy."""
    context.store.keep_for(context.group_named(fields["logGroupName"]), None)


def list_tags(context: LogsContext, fields: LogsFields) -> LogsOutput:
    """ListTagsForResource, ListTagsLogGroup."""
    return {"tags": dict(_tagged(context, fields).tags)}


def tag(context: LogsContext, fields: LogsFields) -> None:
    """TagResource, TagLogGroup."""
    group = _tagged(context, fields)
    tags = {**group.tags, **fields["tags"]}
    if len(tags) > _MOST_TAGS:
        raise ServiceFault("TooManyTagsException", f"A log group can have no more than {_MOST_TAGS} tags.")
    context.store.tag(group, tags)


def untag(context: LogsContext, fields: LogsFields) -> None:
    """UntagResource, UntagLogGroup."""
    group, gone = _tagged(context, fields), {*fields.get("tagKeys", ()), *fields.get("tags", ())}
    context.store.tag(group, {name: value for name, value in group.tags.items() if name not in gone})


def _tagged(context: LogsContext, fields: LogsFields) -> LogGroup:
    arn = fields.get("resourceArn")
    if arn is not None and ":log-group:" not in arn:
        missing("The specified resource does not exist.")
    return context.group_named(name_of(arn if arn is not None else fields["logGroupName"]))


def _place(token: str) -> int:
    if not token.isdecimal() or not token.isascii() or len(token) > 9:
        refuse("The specified nextToken is invalid.")
    return int(token)


def _shown_group(context: LogsContext, group: LogGroup) -> Mapping[str, Any]:
    arn = context.arn(group.name)
    shown = {
        "logGroupName": group.name,
        "creationTime": group.created_ms,
        "metricFilterCount": 0,
        "arn": f"{arn}:*",
        "storedBytes": group.size_bytes,
        "logGroupClass": group.kind,
        "logGroupArn": arn,
    }
    return shown if group.retention_days is None else {**shown, "retentionInDays": group.retention_days}


def _shown_stream(context: LogsContext, group: LogGroup, stream: LogStream) -> Mapping[str, Any]:
    times = {
        "firstEventTimestamp": stream.first_ms,
        "lastEventTimestamp": stream.last_ms,
        "lastIngestionTime": stream.taken_ms,
    }
    return {
        "logStreamName": stream.name,
        "creationTime": stream.created_ms,
        **{name: value for name, value in times.items() if value is not None},
        "arn": f"{context.arn(group.name)}:log-stream:{stream.name}",
        "storedBytes": 0,
    }
