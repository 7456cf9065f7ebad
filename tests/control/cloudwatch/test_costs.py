"""What questions and alarms may cost: counted before it is spent, and no alarm keeps others waiting."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.control.cloudwatch.alarms import ALARM
from service.control.cloudwatch.context import SERVICE, CloudWatchContext
from service.control.cloudwatch.data import get_metric_data
from service.control.cloudwatch.evaluation import AlarmClock
from service.errors import ServiceFault, Unavailable
from tests.control.cloudwatch.conftest import ERRORS, NOON, OF_VARIANT, Watch


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
        ([{"Id": "a", "Expression": "m"}, metric("m", period_s=1)], 200_000, "400,000"),
        (
            [
                {"Id": "a", "Expression": "SUM(METRICS())"},
                {"Id": "b", "Expression": "a", "Period": 86_400},
                metric("m", period_s=1),
            ],
            120_000,
            "360,000",
        ),
        (
            [*(metric(f"m{number}") for number in range(499)), {"Id": "e", "Expression": "SUM(METRICS())"}],
            60 * 606,
            "303,000",
        ),
    ],
)
def test_expressions_over_more_datapoints_than_are_held_at_once_are_refused(
    watch: Watch, queries: list[dict[str, Any]], span_s: int, asked: str
) -> None:
    with pytest.raises(ServiceFault, match=f"up to {asked} datapoints, which exceeds the limit") as caught:
        ask(watch, *queries, span_s=span_s)
    assert caught.value.code == "ValidationError"


@pytest.mark.provenance("documented")
def test_metrics_alone_are_told_however_many_they_are_and_as_far_as_a_page_goes(watch: Watch) -> None:
    watch.invoke(6)
    queries = [metric(f"m{number}") for number in range(500)]
    fields: dict[str, Any] = {
        "MetricDataQueries": queries,
        "StartTime": NOON - timedelta(days=2),  # 1,440,500 periods, with a datapoint in 500
        "EndTime": NOON + timedelta(minutes=1),
        "MaxDatapoints": 200,
    }
    pages, token = list[int](), dict[str, str]()
    while not pages or token:
        page = watch.call("GetMetricData", **fields, **token)
        pages.append(sum(len(each["Values"]) for each in page["MetricDataResults"]))
        token = {"NextToken": page["NextToken"]} if "NextToken" in page else {}

    assert pages == [200, 200, 100]


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


# Alarms


def put_alarm(watch: Watch, name: str, endpoint: str = "e", **more: Any) -> None:
    dimensions = [{"Name": "EndpointName", "Value": endpoint}, OF_VARIANT[0]]
    given = {**ERRORS, "AlarmName": name, "MetricName": "InvocationsPerInstance", "Dimensions": dimensions}
    watch.call("PutMetricAlarm", **{**given, **more})


def put_expression(watch: Watch, name: str, expression: str) -> None:
    rest = ("EvaluationPeriods", "ComparisonOperator", "Threshold", "TreatMissingData")
    watch.call(
        "PutMetricAlarm",
        AlarmName=name,
        Metrics=[metric("m", ReturnData=False), {"Id": "x", "Expression": expression}],
        **{each: ERRORS[each] for each in rest},
    )


def states(watch: Watch) -> dict[str, str]:
    return {alarm["AlarmName"]: alarm["StateValue"] for alarm in watch.call("DescribeAlarms")["MetricAlarms"]}


def test_a_look_that_takes_long_goes_on_with_the_next_alarms(watch: Watch) -> None:
    for name in "abcd":
        put_alarm(watch, name, endpoint=name)
    read: list[str] = []

    def slowly(endpoint: str) -> None:
        read.append(endpoint)
        watch.clock.advance(10.0)

    alarms = AlarmClock(counting(watch, slowly))
    for number in range(1, 7):
        alarms.look()
        assert len(read) == number
        alarms.look()  # and it is not due again for as long as it deserves
        assert len(read) == number
        watch.clock.advance(101.0)
    assert read == ["a", "b", "c", "d", "a", "b"]
    assert states(watch) == dict.fromkeys("abcd", "OK")


def test_alarms_on_one_metric_read_it_once_in_a_look(watch: Watch) -> None:
    for name in "abcd":
        put_alarm(watch, name)
    read: list[str] = []
    AlarmClock(counting(watch, read.append)).look()
    assert read == ["e"]
    assert states(watch) == dict.fromkeys("abcd", "OK")


def test_who_begins_a_look_does_not_wait_for_it(watch: Watch) -> None:
    put_alarm(watch, "a")
    reads, goes_on = threading.Semaphore(0), threading.Event()

    def wait(_: str) -> None:
        reads.release()
        goes_on.wait(60)

    alarms = AlarmClock(counting(watch, wait))
    before = set(threading.enumerate())
    alarms.begin()
    assert reads.acquire(timeout=60)
    alarms.begin()  # one is going on
    (thread,) = set(threading.enumerate()) - before
    assert states(watch) == {"a": "INSUFFICIENT_DATA"}
    goes_on.set()
    thread.join(60)
    assert states(watch) == {"a": "OK"}
    alarms.begin()  # none is due
    assert not set(threading.enumerate()) - before


def test_an_alarm_that_cannot_be_judged_says_why_and_stops_no_other(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    put_alarm(watch, "a")
    put_alarm(watch, "z")
    put_expression(watch, "m1", "SEARCH(m)")
    put_expression(watch, "m2", "CEIL(1/0)")
    with watch.kept.change() as change:  # as a release before kept it that took what is no number
        kept = change.find(SERVICE, ALARM, "a")
        assert kept is not None
        given = {**kept.document["given"], "Threshold": None}
        change.put(replace(kept, document={**kept.document, "given": given}))
    watch.invoke(1)
    for _ in range(3):
        watch.state("z")
    assert states(watch) == {"a": "INSUFFICIENT_DATA", "m1": "INSUFFICIENT_DATA", "m2": "OK", "z": "ALARM"}
    why = {alarm["AlarmName"]: alarm["StateReason"] for alarm in watch.call("DescribeAlarms")["MetricAlarms"]}
    assert "cannot be judged. TypeError" in why["a"]
    assert "cannot be judged. Error in expression 'x': SEARCH" in why["m1"]
    told = [record.msg for record in caplog.records if record.name == "sagebird.alarms"]
    assert [each["alarm"] for each in told if isinstance(each, dict)] == ["a", "m1"]


def test_alarms_wait_where_nothing_can_be_read(watch: Watch) -> None:
    put_alarm(watch, "a")

    def locked(_: str) -> None:
        raise Unavailable("locked")

    alarms = AlarmClock(counting(watch, locked))
    with pytest.raises(Unavailable):
        alarms.evaluate()
    alarms.look()
    (alarm,) = watch.call("DescribeAlarms")["MetricAlarms"]
    assert alarm["StateReason"] == "Unchecked: Initial alarm creation"


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), float("-inf")])
def test_a_threshold_is_a_number(watch: Watch, threshold: float) -> None:
    with pytest.raises(ServiceFault, match="Threshold must be a number"):
        put_alarm(watch, "a", Threshold=threshold)
