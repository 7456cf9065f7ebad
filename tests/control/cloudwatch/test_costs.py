"""What questions and alarms may cost: counted before it is spent, and no alarm keeps others waiting."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.control.cloudwatch.context import CloudWatchContext
from service.control.cloudwatch.data import get_metric_data
from service.errors import ServiceFault
from tests.control.cloudwatch.conftest import NOON, OF_VARIANT, Watch


def metric(
    identifier: str, name: str = "Invocations", stat: str = "Sum", period_s: int = 60, **more: Any
) -> dict[str, Any]:
    named = {"Namespace": "AWS/SageMaker", "MetricName": name, "Dimensions": OF_VARIANT}
    return {"Id": identifier, "MetricStat": {"Metric": named, "Period": period_s, "Stat": stat}, **more}


def counting(watch: Watch, look: Callable[[str], None]) -> CloudWatchContext:
    """A context in which `look` is called when a metric of an endpoint is read."""

    def instances(endpoint: str, _: str) -> int:
        look(endpoint)
        return 1

    return replace(watch.context, instances=instances)


def ask(watch: Watch, *queries: dict[str, Any], span_s: int = 600) -> Any:
    end = NOON + timedelta(minutes=1)
    start = end - timedelta(seconds=span_s)
    return watch.call("GetMetricData", MetricDataQueries=list(queries), StartTime=start, EndTime=end)


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    ("queries", "span_s", "asked"),
    [
        ([{"Id": "a", "Expression": "1", "Period": 1}], 60 * 86_400, "5,184,000"),
        ([{"Id": "a", "Expression": "m"}, metric("m", period_s=1)], 100_000, "200,000"),
        (
            [
                {"Id": "a", "Expression": "SUM(METRICS())"},
                {"Id": "b", "Expression": "a", "Period": 86_400},
                metric("m", period_s=1),
            ],
            60_000,
            "180,000",
        ),
        ([metric(f"m{number}") for number in range(500)], 60 * 202, "101,000"),
    ],
)
def test_more_datapoints_than_one_call_tells_are_refused(
    watch: Watch, queries: list[dict[str, Any]], span_s: int, asked: str
) -> None:
    with pytest.raises(ServiceFault, match=f"up to {asked} datapoints, which exceeds the limit") as caught:
        ask(watch, *queries, span_s=span_s)
    assert caught.value.code == "ValidationError"


@pytest.mark.parametrize("period_s", [61, 0, -60])
def test_a_period_that_nothing_has_is_refused(watch: Watch, period_s: int) -> None:
    with pytest.raises(ServiceFault, match="The parameter Period must be") as caught:
        ask(watch, {"Id": "a", "Expression": "1", "Period": period_s})
    assert caught.value.code == "InvalidParameterValue"


def test_expressions_that_are_too_much_work_are_refused(watch: Watch) -> None:
    work = "+".join(["FILL(m,0)"] * 150)
    with pytest.raises(ServiceFault, match="Error in expression 'e': it takes more than") as caught:
        ask(watch, metric("m", period_s=1), {"Id": "e", "Expression": work}, span_s=30_000)
    assert caught.value.code == "ValidationError"


@pytest.mark.parametrize("expression", ["CEIL(1/0)", "SUM(FILL(m,1e308)) * 1e308", "CEIL(1e999)"])
def test_what_comes_to_no_number_has_no_datapoint(watch: Watch, expression: str) -> None:
    watch.invoke(1)
    found = ask(watch, metric("m", ReturnData=False), {"Id": "e", "Expression": expression})
    assert found["MetricDataResults"][0]["Values"] == []


def test_a_metric_is_read_once_for_one_question(watch: Watch) -> None:
    watch.invoke(6)
    asked: list[str] = []
    found = get_metric_data(
        counting(watch, asked.append),
        {
            "MetricDataQueries": [
                metric(f"m{number}", "InvocationsPerInstance", stat)
                for number, stat in enumerate(("Sum", "Maximum", "p50", "Sum"))
            ],
            "StartTime": NOON,
            "EndTime": NOON + timedelta(minutes=1),
        },
    )
    assert [each["Values"] for each in found["MetricDataResults"]][::3] == [[6.0], [6.0]]
    assert asked == ["e"]
