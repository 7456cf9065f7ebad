"""Alarms: they fire and recover by what was counted, outlive processes, and are described as given."""

from datetime import timedelta
from typing import Any

import pytest

from service.errors import ServiceFault
from tests.control.cloudwatch.conftest import CALLER, ERRORS, NOON, NOON_S, OF_VARIANT, Watch

_ARN = f"arn:aws:cloudwatch:eu-west-1:{CALLER.account}:alarm:errors"


def math(expression: str, **more: Any) -> dict[str, Any]:
    def metric(identifier: str, name: str) -> dict[str, Any]:
        named = {"Namespace": "AWS/SageMaker", "MetricName": name, "Dimensions": OF_VARIANT}
        return {
            "Id": identifier,
            "MetricStat": {"Metric": named, "Period": 60, "Stat": "Sum"},
            "ReturnData": False,
        }

    rest = {name: ERRORS[name] for name in ("AlarmName", "EvaluationPeriods", "ComparisonOperator")}
    metrics = [
        metric("all", "Invocations"),
        metric("bad", "Invocation5XXErrors"),
        {"Id": "rate", "Expression": expression},
    ]
    return {**rest, "Threshold": 10.0, "Metrics": metrics, **more}


def test_an_alarm_on_errors_fires_at_once_and_recovers(watch: Watch) -> None:
    watch.call("PutMetricAlarm", **ERRORS)
    assert watch.state() == "OK"  # nothing is asked of it, and what is missing does not breach
    watch.invoke(5)
    assert watch.state() == "OK"
    watch.invoke(2, failed=1)
    assert watch.state() == "ALARM"
    (alarm,) = watch.call("DescribeAlarms", StateValue="ALARM")["MetricAlarms"]
    assert (
        "1 out of the last 1 datapoints [1.0 (02/01/26 12:00:00)] was greater than the threshold (0.0)"
        in (alarm["StateReason"])
    )
    assert alarm["StateTransitionedTimestamp"] > NOON_S
    watch.pass_minutes(1)
    assert watch.state() == "ALARM"  # of the minute that is over
    watch.invoke(3)
    watch.pass_minutes(1)
    assert watch.state() == "OK"

    history = watch.call("DescribeAlarmHistory", AlarmName="errors")["AlarmHistoryItems"]
    assert [item["HistorySummary"] for item in history] == [
        "Alarm updated from ALARM to OK",
        "Alarm updated from OK to ALARM",
        "Alarm updated from INSUFFICIENT_DATA to OK",
        'Alarm "errors" created',
    ]


def test_an_alarm_recovers_where_nobody_asks_any_more(watch: Watch) -> None:
    watch.call("PutMetricAlarm", **ERRORS)
    watch.invoke(0, failed=1)
    assert watch.state() == "ALARM"
    watch.pass_minutes(5)
    assert watch.state() == "OK"


def test_two_of_three_datapoints_are_needed(watch: Watch) -> None:
    watch.call("PutMetricAlarm", **{**ERRORS, "EvaluationPeriods": 3, "DatapointsToAlarm": 2})
    for failed, state in ((1, "OK"), (0, "OK"), (1, "ALARM"), (0, "OK")):
        watch.invoke(2, failed=failed)
        watch.pass_minutes(1)
        assert watch.state() == state


def test_an_average_is_not_judged_before_its_period_is_over(watch: Watch) -> None:
    slow = {**ERRORS, "MetricName": "ModelLatency", "Statistic": "Average", "Threshold": 1000.0}
    watch.call("PutMetricAlarm", **slow)
    watch.invoke(1, model_s=0.005)
    assert watch.state() == "OK"
    watch.pass_minutes(1)
    assert watch.state() == "ALARM"


def test_a_percentile_may_be_watched(watch: Watch) -> None:
    rest = {name: value for name, value in ERRORS.items() if name != "Statistic"}
    slow = {**rest, "MetricName": "ModelLatency", "ExtendedStatistic": "p90", "Threshold": 1000.0}
    watch.call("PutMetricAlarm", **slow)
    watch.invoke(10, model_s=0.005)
    watch.pass_minutes(1)
    assert watch.state() == "ALARM"


def test_metric_math_may_be_watched(watch: Watch) -> None:
    watch.call("PutMetricAlarm", **math("100 * bad / all"))
    assert watch.state() == "INSUFFICIENT_DATA"
    watch.invoke(8, failed=2)
    watch.pass_minutes(1)
    assert watch.state() == "ALARM"
    watch.invoke(19, failed=1)
    watch.pass_minutes(1)
    assert watch.state() == "OK"
    (alarm,) = watch.call("DescribeAlarms", AlarmNames=["errors"])["MetricAlarms"]
    assert alarm["Metrics"] == math("100 * bad / all")["Metrics"]
    assert "MetricName" not in alarm


def test_what_clients_tell_may_be_watched_by_ten_seconds(watch: Watch) -> None:
    own = {**ERRORS, "Namespace": "mine", "MetricName": "m", "Dimensions": [], "Period": 10}
    watch.call("PutMetricAlarm", **own)
    datum = {"MetricName": "m", "Value": 1.0, "StorageResolution": 1}
    watch.call("PutMetricData", Namespace="mine", MetricData=[datum])
    assert watch.state() == "ALARM"
    watch.clock.advance(40)
    assert watch.state() == "OK"


def test_alarms_are_described_as_they_were_given(watch: Watch) -> None:
    topic = "arn:aws:sns:eu-west-1:123456789012:topic"
    given = {**ERRORS, "AlarmDescription": "it fails", "AlarmActions": [topic], "ActionsEnabled": False}
    watch.call("PutMetricAlarm", **given, Tags=[{"Key": "team", "Value": "a"}])
    (alarm,) = watch.call("DescribeAlarms", AlarmNamePrefix="err", ActionPrefix="arn:aws:sns")["MetricAlarms"]
    assert {name: alarm[name] for name in given} == given
    assert (alarm["AlarmArn"], alarm["OKActions"], alarm["StateValue"]) == (_ARN, [], "INSUFFICIENT_DATA")
    assert "Tags" not in alarm
    for nothing in (
        {"AlarmNames": ["none"]},
        {"AlarmNamePrefix": "x"},
        {"StateValue": "OK"},
        {"AlarmTypes": ["CompositeAlarm"]},
        {"ActionPrefix": "arn:aws:lambda"},
    ):
        assert watch.call("DescribeAlarms", **nothing)["MetricAlarms"] == []
    of_metric = {name: ERRORS[name] for name in ("Namespace", "MetricName", "Dimensions")}
    assert len(watch.call("DescribeAlarmsForMetric", **of_metric)["MetricAlarms"]) == 1
    assert watch.call("DescribeAlarmsForMetric", **of_metric, Statistic="Average")["MetricAlarms"] == []


def test_alarms_come_in_pages_and_outlive_processes(watch: Watch) -> None:
    for number in range(7):
        watch.call("PutMetricAlarm", **{**ERRORS, "AlarmName": f"a{number}"})
    watch.start()
    first = watch.call("DescribeAlarms", MaxRecords=5)
    second = watch.call("DescribeAlarms", MaxRecords=5, NextToken=first["NextToken"])
    names = [alarm["AlarmName"] for page in (first, second) for alarm in page["MetricAlarms"]]
    assert names == [f"a{number}" for number in range(7)]
    assert "NextToken" not in second
    events = watch.call("DescribeAlarmHistory", MaxRecords=4, ScanBy="TimestampAscending")
    rest = watch.call("DescribeAlarmHistory", ScanBy="TimestampAscending", NextToken=events["NextToken"])
    found = [item["AlarmName"] for page in (events, rest) for item in page["AlarmHistoryItems"]]
    assert found == [f"a{number}" for number in range(7)]
    later = watch.call("DescribeAlarmHistory", StartDate=NOON + timedelta(hours=1))
    assert later["AlarmHistoryItems"] == []


def test_an_alarm_that_is_put_again_keeps_its_state_and_its_tags(watch: Watch) -> None:
    watch.call("PutMetricAlarm", **ERRORS, Tags=[{"Key": "team", "Value": "a"}])
    watch.invoke(0, failed=1)
    assert watch.state() == "ALARM"
    watch.call("PutMetricAlarm", **{**ERRORS, "Threshold": 5.0}, Tags=[{"Key": "team", "Value": "b"}])
    (alarm,) = watch.call("DescribeAlarms")["MetricAlarms"]
    assert (alarm["StateValue"], alarm["Threshold"]) == ("ALARM", 5.0)
    assert watch.call("ListTagsForResource", ResourceARN=_ARN)["Tags"] == [{"Key": "team", "Value": "a"}]
    watch.pass_minutes(1)
    assert watch.state() == "OK"


def test_a_state_that_is_set_lasts_until_the_next_look(watch: Watch) -> None:
    watch.call("PutMetricAlarm", **ERRORS)
    assert watch.state() == "OK"
    watch.call(
        "SetAlarmState",
        AlarmName="errors",
        StateValue="ALARM",
        StateReason="drill",
        StateReasonData='{"a": 1}',
    )
    (alarm,) = watch.call("DescribeAlarms")["MetricAlarms"]
    assert (alarm["StateValue"], alarm["StateReason"], alarm["StateReasonData"]) == (
        "ALARM",
        "drill",
        '{"a": 1}',
    )
    assert watch.state() == "OK"
    with pytest.raises(ServiceFault, match="JSON"):
        watch.call("SetAlarmState", AlarmName="errors", StateValue="OK", StateReason="x", StateReasonData="{")


def test_tags_are_added_and_taken_away(watch: Watch) -> None:
    watch.call("PutMetricAlarm", **ERRORS)
    watch.call("TagResource", ResourceARN=_ARN, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    watch.call("UntagResource", ResourceARN=_ARN, TagKeys=["a", "none"])
    assert watch.call("ListTagsForResource", ResourceARN=_ARN)["Tags"] == [{"Key": "b", "Value": "2"}]
    many = [{"Key": str(number), "Value": ""} for number in range(50)]
    with pytest.raises(ServiceFault, match="50 tags"):
        watch.call("TagResource", ResourceARN=_ARN, Tags=many)
    for arn in ("arn:aws:cloudwatch:eu-west-1:123456789012:alarm:none", "nonsense"):
        with pytest.raises(ServiceFault) as caught:
            watch.call("ListTagsForResource", ResourceARN=arn)
        assert caught.value.code == "ResourceNotFoundException"


def test_all_alarms_that_are_named_go_or_none(watch: Watch) -> None:
    watch.call("PutMetricAlarm", **ERRORS)
    for operation in ("DeleteAlarms", "DisableAlarmActions"):
        with pytest.raises(ServiceFault) as caught:
            watch.call(operation, AlarmNames=["errors", "none"])
        assert caught.value.code == "ResourceNotFound"
    (alarm,) = watch.call("DescribeAlarms")["MetricAlarms"]
    assert alarm["ActionsEnabled"]
    watch.call("DisableAlarmActions", AlarmNames=["errors"])
    assert not watch.call("DescribeAlarms")["MetricAlarms"][0]["ActionsEnabled"]
    watch.call("EnableAlarmActions", AlarmNames=["errors"])
    assert watch.call("DescribeAlarms")["MetricAlarms"][0]["ActionsEnabled"]
    watch.call("DeleteAlarms", AlarmNames=["errors"])
    assert watch.call("DescribeAlarms")["MetricAlarms"] == []


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"EvaluationPeriods": None}, "MissingParameter"),
        ({"Threshold": None}, "MissingParameter"),
        ({"Namespace": None}, "MissingParameter"),
        ({"Statistic": None}, "InvalidParameterCombination"),
        ({"ExtendedStatistic": "p99"}, "InvalidParameterCombination"),
        ({"Statistic": None, "ExtendedStatistic": "tm99"}, "ValidationError"),
        ({"Period": 61}, "ValidationError"),
        ({"Threshold": float("nan")}, "ValidationError"),
        ({"Period": 60, "EvaluationPeriods": 1441}, "ValidationError"),
        ({"DatapointsToAlarm": 2}, "ValidationError"),
        ({"TreatMissingData": "maybe"}, "ValidationError"),
        ({"ComparisonOperator": "GreaterThanUpperThreshold"}, "ValidationError"),
        ({"ThresholdMetricId": "ad1"}, "ValidationError"),
        ({"Metrics": math("all")["Metrics"]}, "InvalidParameterCombination"),
        (
            {**math("all"), **dict.fromkeys(ERRORS.keys() - math("all").keys()), "Metrics": []},
            "ValidationError",
        ),
    ],
)
def test_an_alarm_that_cannot_be_judged_is_refused(watch: Watch, more: dict[str, Any], code: str) -> None:
    fields = {name: value for name, value in {**ERRORS, **more}.items() if value is not None}
    with pytest.raises(ServiceFault) as caught:
        watch.call("PutMetricAlarm", **fields)
    assert caught.value.code == code
    assert watch.call("DescribeAlarms")["MetricAlarms"] == []


def test_an_alarm_of_which_an_expression_is_not_served_has_no_data(watch: Watch) -> None:
    watch.call("PutMetricAlarm", **math("ANOMALY_DETECTION_BAND(all, 2)"))
    assert watch.state() == "INSUFFICIENT_DATA"


def test_looks_do_nothing_where_nobody_has_alarms(watch: Watch) -> None:
    watch.alarms.look()
    assert not (watch.folder / "neighbours.db").exists()
