"""Which function answers which operation of CloudWatch."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from service.control.cloudwatch import alarms, data, statistics
from service.control.cloudwatch.context import (
    SERVICE,
    CloudWatchContext,
    CloudWatchFields,
    CloudWatchOperation,
)
from service.domain import unserved
from service.domain.caller import Caller

_ANSWERED: Final = MappingProxyType[str, CloudWatchOperation](
    {
        "GetMetricStatistics": statistics.get_metric_statistics,
        "GetMetricData": data.get_metric_data,
        "ListMetrics": statistics.list_metrics,
        "PutMetricData": statistics.put_metric_data,
        "PutMetricAlarm": alarms.put_metric_alarm,
        "DescribeAlarms": alarms.describe_alarms,
        "DescribeAlarmsForMetric": alarms.describe_alarms_for_metric,
        "DescribeAlarmHistory": alarms.describe_alarm_history,
        "DeleteAlarms": alarms.delete_alarms,
        "SetAlarmState": alarms.set_alarm_state,
        "EnableAlarmActions": alarms.enable_alarm_actions,
        "DisableAlarmActions": alarms.disable_alarm_actions,
        "ListTagsForResource": alarms.list_tags_for_resource,
        "TagResource": alarms.tag_resource,
        "UntagResource": alarms.untag_resource,
    }
)

SERVED: Final = frozenset(_ANSWERED)
"""The operations of cloudwatch that are served."""


class CloudWatchOperations:
    """Runs operations of CloudWatch. All of them may wait for the disk."""

    def __init__(self, context: CloudWatchContext) -> None:
        self._context = context

    def answer(self, caller: Caller, operation: str, fields: CloudWatchFields) -> Mapping[str, Any] | None:
        """Run one, on behalf of its caller. Raises ServiceFault, Unavailable, UnknownOperation."""
        found = _ANSWERED.get(operation)
        if found is None:
            raise unserved.refusal(SERVICE, SERVICE, operation)
        return found(replace(self._context, caller=caller), fields)
