"""What variants use as metrics of /aws/sagemaker/Endpoints, by the operations of CloudWatch."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.observe.utilization import Utilization
from tests.control.cloudwatch.conftest import NOON_S, OF_VARIANT, Watch

NAMESPACE = "/aws/sagemaker/Endpoints"
NAMES = ["CPUUtilization", "DiskUtilization", "MemoryUtilization"]


def use(watch: Watch, cpu: float, memory: float = 2.0, disk: float = 40.0) -> None:
    watch.using.add([Utilization("e", "v", cpu, memory, disk)], watch.context.now_s)


def told(watch: Watch, name: str, *statistics: str, **more: Any) -> Any:
    return watch.statistics(name, *statistics, Namespace=NAMESPACE, **more)


def test_statistics_are_per_cent_by_the_minute(watch: Watch) -> None:
    use(watch, 30.0)
    use(watch, 170.0)
    watch.clock.advance(60)
    use(watch, 50.0, memory=4.0)

    first, second = told(watch, "CPUUtilization", "Average", "Minimum", "Maximum", "SampleCount")

    assert first == {
        **{"Timestamp": NOON_S, "Unit": "Percent", "Average": 100.0, "SampleCount": 2.0},
        **{"Minimum": 30.0, "Maximum": 170.0},
    }
    assert (second["Timestamp"], second["Average"]) == (NOON_S + 60, 50.0)
    assert [each["Maximum"] for each in told(watch, "MemoryUtilization", "Maximum")] == [2.0, 4.0]
    assert [each["Average"] for each in told(watch, "DiskUtilization", "Average")] == [40.0, 40.0]
    (point, _) = told(watch, "CPUUtilization", ExtendedStatistics=["p90"])
    assert 30.0 <= point["ExtendedStatistics"]["p90"] <= 170.0
    assert told(watch, "CPUUtilization", "Average", Unit="Count") == []
    assert told(watch, "CPUUtilization", "Average", Dimensions=OF_VARIANT[:1]) == []
    assert told(watch, "GPUUtilization", "Average") == []


def test_they_are_there_after_a_restart_and_in_data_and_lists(watch: Watch) -> None:
    use(watch, 30.0)
    watch.start()

    listed = watch.call("ListMetrics", Namespace=NAMESPACE)["Metrics"]
    assert [each["MetricName"] for each in listed] == NAMES
    assert listed[0]["Dimensions"] == [
        {"Name": "EndpointName", "Value": "e"},
        {"Name": "VariantName", "Value": "v"},
    ]
    end = datetime.fromtimestamp(watch.context.now_s + 1, UTC)
    metric = {"Namespace": NAMESPACE, "MetricName": "CPUUtilization", "Dimensions": OF_VARIANT}
    found = watch.call(
        "GetMetricData",
        MetricDataQueries=[
            {"Id": "cpu", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Average"}},
            {"Id": "half", "Expression": "cpu / 2"},
        ],
        StartTime=end - timedelta(hours=1),
        EndTime=end,
    )
    assert [each["Values"] for each in found["MetricDataResults"]] == [[30.0], [15.0]]


def test_what_clients_tell_under_that_name_is_there_too(watch: Watch) -> None:
    use(watch, 30.0)
    datum = {"MetricName": "CPUUtilization", "Value": 50.0, "Unit": "Percent", "Dimensions": OF_VARIANT}
    watch.call("PutMetricData", Namespace=NAMESPACE, MetricData=[datum])

    (point,) = told(watch, "CPUUtilization", "Average")

    assert point["Average"] == pytest.approx(40.0)
    assert [each["MetricName"] for each in watch.call("ListMetrics")["Metrics"]] == NAMES


def test_an_alarm_watches_them(watch: Watch) -> None:
    watch.call(
        "PutMetricAlarm",
        AlarmName="errors",
        Namespace=NAMESPACE,
        MetricName="CPUUtilization",
        Dimensions=OF_VARIANT,
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=80.0,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )
    use(watch, 95.0)
    assert watch.state() == "ALARM"
