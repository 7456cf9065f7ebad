"""Alarms: made, described, set, and forgotten. What state they are in is found out by evaluation.py."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import orjson

from service.control.cloudwatch.alarm_rules import check_alarm
from service.control.cloudwatch.context import SERVICE, CloudWatchContext, CloudWatchFields
from service.control.cloudwatch.sources import metric_of
from service.domain.cloudwatch.alarm import AlarmState
from service.errors import ServiceFault
from service.store.documents import DocumentEvent, KeptDocument
from service.store.neighbours import KeptChange, KeptView

ALARM: Final = "alarm"
_MOST_ALARMS: Final = 5_000
_PAGE: Final = 50
_MOST_TAGS: Final = 50
_CREATED: Final = "Unchecked: Initial alarm creation"


def put_metric_alarm(context: CloudWatchContext, fields: CloudWatchFields) -> None:
    """PutMetricAlarm: a new one has no data yet; one that is there keeps its state and its tags."""
    check_alarm(fields)
    name, now_s = fields["AlarmName"], context.now_s
    given = {member: value for member, value in fields.items() if member != "Tags"}
    with context.kept.change() as change:
        before = change.find(SERVICE, ALARM, name)
        if before is None:
            if len(change.all(SERVICE, ALARM)) >= _MOST_ALARMS:
                raise ServiceFault("LimitExceeded", f"No more than {_MOST_ALARMS} alarms are kept.")
            state = {
                "value": AlarmState.INSUFFICIENT,
                "reason": _CREATED,
                "updated_s": now_s,
                "moved_s": now_s,
            }
            tags = _tags(fields.get("Tags", []))
            kept = KeptDocument(SERVICE, ALARM, name, {"state": state}, now_s, tags)
        else:
            kept = before
        document = {"given": given, "changed_s": now_s, "state": kept.document["state"]}
        change.put(replace(kept, document=document))
        happened = "created" if before is None else "updated"
        _note(
            change,
            name,
            now_s,
            "ConfigurationUpdate",
            f'Alarm "{name}" {happened}',
            {"type": happened.title()},
        )


def set_state(
    change: KeptChange, kept: KeptDocument, now_s: float, value: AlarmState, reason: str, data: str | None
) -> None:
    """Have an alarm be in a state, and remember it if that is another one than before."""
    before = kept.document["state"]
    moved = before["value"] != value
    state = {
        "value": value,
        "reason": reason,
        "data": data,
        "updated_s": now_s,
        "moved_s": now_s if moved else before["moved_s"],
    }
    change.put(replace(kept, document={**kept.document, "state": state}))
    if moved:
        told = {"version": "1.0", "oldState": _told(before), "newState": _told(state)}
        _note(
            change, kept.name, now_s, "StateUpdate", f"Alarm updated from {before['value']} to {value}", told
        )


def set_alarm_state(context: CloudWatchContext, fields: CloudWatchFields) -> None:
    """SetAlarmState: until the next look at what the alarm goes by."""
    data = fields.get("StateReasonData")
    if data is not None:
        try:
            orjson.loads(data)
        except ValueError:
            raise ServiceFault("InvalidFormat", "StateReasonData must be JSON.") from None
    with context.kept.change() as change:
        kept = _get(change, fields["AlarmName"])
        set_state(change, kept, context.now_s, AlarmState(fields["StateValue"]), fields["StateReason"], data)


def delete_alarms(context: CloudWatchContext, fields: CloudWatchFields) -> None:
    """DeleteAlarms: all that are named, or none."""
    with context.kept.change() as change:
        for name in fields["AlarmNames"]:
            if not change.remove(SERVICE, ALARM, name):
                raise _not_found(name)
            _note(
                change,
                name,
                context.now_s,
                "ConfigurationUpdate",
                f'Alarm "{name}" deleted',
                {"type": "Delete"},
            )


def _switch_actions(enabled: bool, context: CloudWatchContext, fields: CloudWatchFields) -> None:
    with context.kept.change() as change:
        for name in fields["AlarmNames"]:
            kept = _get(change, name)
            given = {**kept.document["given"], "ActionsEnabled": enabled}
            change.put(replace(kept, document={**kept.document, "given": given}))


enable_alarm_actions: Final = partial(_switch_actions, True)
disable_alarm_actions: Final = partial(_switch_actions, False)


# Describing


def describe_alarms(context: CloudWatchContext, fields: CloudWatchFields) -> Mapping[str, Any]:
    """DescribeAlarms: by names, or by how they begin; those on one metric are the only ones there are."""
    if "AlarmNames" in fields and "AlarmNamePrefix" in fields:
        raise ServiceFault(
            "InvalidParameterCombination", "AlarmNames and AlarmNamePrefix cannot be used in one request"
        )
    after = "" if "NextToken" not in fields else _read_token(fields["NextToken"])
    most = fields.get("MaxRecords", _PAGE)
    found = [kept for kept in _all(context) if kept.name > after and _is_asked(kept, fields)]
    told = [_described(context, kept) for kept in found[:most]]
    more = {"NextToken": _token(found[most - 1].name)} if len(found) > most else {}
    return {"MetricAlarms": told, "CompositeAlarms": [], **more}


def describe_alarms_for_metric(context: CloudWatchContext, fields: CloudWatchFields) -> Mapping[str, Any]:
    """DescribeAlarmsForMetric."""
    wanted = metric_of(fields["Namespace"], fields["MetricName"], fields.get("Dimensions", []))
    also = [name for name in ("Statistic", "ExtendedStatistic", "Period", "Unit") if name in fields]
    found = []
    for kept in _all(context):
        given = kept.document["given"]
        own = metric_of(given.get("Namespace", ""), given.get("MetricName", ""), given.get("Dimensions", []))
        if own == wanted and all(given.get(name) == fields[name] for name in also):
            found.append(_described(context, kept))
    return {"MetricAlarms": found}


def describe_alarm_history(context: CloudWatchContext, fields: CloudWatchFields) -> Mapping[str, Any]:
    """DescribeAlarmHistory: the newest first, unless asked otherwise."""
    with context.kept.view() as view:
        events = view.events(SERVICE, ALARM, fields.get("AlarmName"))
    start_s = fields["StartDate"].timestamp() if "StartDate" in fields else 0.0
    end_s = fields["EndDate"].timestamp() if "EndDate" in fields else context.now_s
    wanted = [
        event
        for event in events
        if start_s <= event.at_s <= end_s
        and fields.get("HistoryItemType") in (None, event.document["HistoryItemType"])
    ]
    if fields.get("ScanBy", "TimestampDescending") == "TimestampDescending":
        wanted.reverse()
    first = 0 if "NextToken" not in fields else _read_number(fields["NextToken"])
    most = fields.get("MaxRecords", 100)
    told = [
        {"AlarmName": event.name, "AlarmType": "MetricAlarm", "Timestamp": event.at_s, **event.document}
        for event in wanted[first : first + most]
    ]
    more = {"NextToken": _token(str(first + most))} if len(wanted) > first + most else {}
    return {"AlarmHistoryItems": told, **more}


def _is_asked(kept: KeptDocument, fields: CloudWatchFields) -> bool:
    given, state = kept.document["given"], kept.document["state"]
    actions = [
        *given.get("AlarmActions", ()),
        *given.get("OKActions", ()),
        *given.get("InsufficientDataActions", ()),
    ]
    return (
        ("AlarmNames" not in fields or kept.name in fields["AlarmNames"])
        and kept.name.startswith(fields.get("AlarmNamePrefix", ""))
        and fields.get("StateValue") in (None, state["value"])
        and "MetricAlarm" in fields.get("AlarmTypes", ["MetricAlarm"])
        and "ChildrenOfAlarmName" not in fields
        and "ParentsOfAlarmName" not in fields
        and ("ActionPrefix" not in fields or any(one.startswith(fields["ActionPrefix"]) for one in actions))
    )


def _described(context: CloudWatchContext, kept: KeptDocument) -> dict[str, Any]:
    given, state = kept.document["given"], kept.document["state"]
    return {
        "ActionsEnabled": True,
        "OKActions": [],
        "AlarmActions": [],
        "InsufficientDataActions": [],
        **({} if "Metrics" in given else {"Dimensions": []}),
        **given,
        "AlarmArn": _arn(context, kept.name),
        "AlarmConfigurationUpdatedTimestamp": kept.document["changed_s"],
        "StateValue": state["value"],
        "StateReason": state["reason"],
        "StateReasonData": state.get("data"),
        "StateUpdatedTimestamp": state["updated_s"],
        "StateTransitionedTimestamp": state["moved_s"],
    }


def _all(context: CloudWatchContext) -> list[KeptDocument]:
    with context.kept.view() as view:
        return view.all(SERVICE, ALARM)


# Tags


def list_tags_for_resource(context: CloudWatchContext, fields: CloudWatchFields) -> Mapping[str, Any]:
    """ListTagsForResource."""
    with context.kept.view() as view:
        tags = _of_arn(view, fields["ResourceARN"]).tags
    return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def tag_resource(context: CloudWatchContext, fields: CloudWatchFields) -> Mapping[str, Any]:
    """TagResource."""
    with context.kept.change() as change:
        kept = _of_arn(change, fields["ResourceARN"])
        tags = {**kept.tags, **_tags(fields["Tags"])}
        if len(tags) > _MOST_TAGS:
            raise ServiceFault("InvalidParameterValue", f"A resource has at most {_MOST_TAGS} tags.")
        change.put(replace(kept, tags=tags))
    return {}


def untag_resource(context: CloudWatchContext, fields: CloudWatchFields) -> Mapping[str, Any]:
    """UntagResource."""
    with context.kept.change() as change:
        kept = _of_arn(change, fields["ResourceARN"])
        left = {key: value for key, value in kept.tags.items() if key not in fields["TagKeys"]}
        change.put(replace(kept, tags=left))
    return {}


def _tags(pairs: Sequence[Mapping[str, str]]) -> dict[str, str]:
    tags = {pair["Key"]: pair["Value"] for pair in pairs}
    if len(tags) > _MOST_TAGS:
        raise ServiceFault("InvalidParameterValue", f"A resource has at most {_MOST_TAGS} tags.")
    return tags


def _of_arn(view: KeptView, arn: str) -> KeptDocument:
    *_, kind, name = arn.split(":", 6) if arn.count(":") >= 6 else ("", "")
    kept = view.find(SERVICE, ALARM, name) if kind == ALARM else None
    if kept is None:
        raise ServiceFault("ResourceNotFoundException", f"There is no resource {arn}.")
    return kept


def _arn(context: CloudWatchContext, name: str) -> str:
    return context.caller.arns.of("cloudwatch", f"{ALARM}:{name}")


def _get(view: KeptView, name: str) -> KeptDocument:
    kept = view.find(SERVICE, ALARM, name)
    if kept is None:
        raise _not_found(name)
    return kept


def _not_found(name: str) -> ServiceFault:
    return ServiceFault("ResourceNotFound", f"There is no alarm {name}.")


def _note(
    change: KeptChange, name: str, now_s: float, kind: str, summary: str, data: Mapping[str, Any]
) -> None:
    told = {
        "HistoryItemType": kind,
        "HistorySummary": summary[:255],
        "HistoryData": orjson.dumps(data).decode()[:4095],
    }
    change.note(SERVICE, ALARM, DocumentEvent(name, now_s, told))


def _told(state: Mapping[str, Any]) -> dict[str, Any]:
    data = state.get("data")
    reason = {} if data is None else {"stateReasonData": orjson.loads(data)}
    return {"stateValue": state["value"], "stateReason": state["reason"], **reason}


def _token(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except (ValueError, binascii.Error):
        raise ServiceFault("InvalidNextToken", "Request parameter NextToken is invalid.") from None


def _read_number(token: str) -> int:
    text = _read_token(token)
    if not text.isascii() or not text.isdigit():
        raise ServiceFault("InvalidNextToken", "Request parameter NextToken is invalid.")
    return int(text)
