"""Metrics: numbers equal to what was sent, whatever restarts; what clients tell is kept, and bounded."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.errors import ServiceFault, UnknownOperation
from tests.control.cloudwatch.conftest import NOON, NOON_S, OF_VARIANT, Watch


def put(watch: Watch, *values: float, name: str = "m", **more: Any) -> None:
    data = [{"MetricName": name, "Value": value, **more} for value in values]
    watch.call("PutMetricData", Namespace="mine", MetricData=data)


def own(watch: Watch, *statistics: str, name: str = "m", **more: Any) -> Any:
    return watch.statistics(
        name, *statistics, Namespace="mine", Dimensions=more.pop("dimensions", []), **more
    )


def ask(watch: Watch, *queries: dict[str, Any], minutes: int = 60, **more: Any) -> Any:
    end = datetime.fromtimestamp(watch.context.now_s + 1, UTC)
    return watch.call(
        "GetMetricData",
        MetricDataQueries=list(queries),
        StartTime=end - timedelta(minutes=minutes),
        EndTime=end,
        **more,
    )


def query(identifier: str, name: str, stat: str = "Sum", **more: Any) -> dict[str, Any]:
    metric = {"Namespace": "AWS/SageMaker", "MetricName": name, "Dimensions": OF_VARIANT}
    return {"Id": identifier, "MetricStat": {"Metric": metric, "Period": 60, "Stat": stat}, **more}


def test_numbers_are_those_that_were_sent(watch: Watch) -> None:
    watch.invoke(7, failed=3, seconds=0.01, model_s=0.004)
    watch.pass_minutes(1)
    watch.invoke(5)

    (first, second) = watch.statistics("Invocations", "Sum", "SampleCount", "Average", "Minimum", "Maximum")

    assert first == {
        **{"Timestamp": NOON_S, "Unit": "None", "Sum": 10.0, "SampleCount": 10, "Average": 1.0},
        **{"Minimum": 1.0, "Maximum": 1.0},
    }
    assert (second["Timestamp"], second["Sum"]) == (NOON_S + 60, 5.0)
    assert [each["Sum"] for each in watch.statistics("Invocation5XXErrors", "Sum")] == [3.0, 0.0]
    assert watch.statistics("Invocation5XXErrors", "Average", "Maximum")[0]["Average"] == 0.3
    assert [each["Sum"] for each in watch.statistics("Invocation4XXErrors", "Sum")] == [0.0, 0.0]
    assert [each["Sum"] for each in watch.statistics("InvocationModelErrors", "Sum")] == [3.0, 0.0]
    assert [each["Sum"] for each in watch.statistics("InvocationsPerInstance", "Sum")] == [5.0, 2.5]


def test_latencies_are_microseconds(watch: Watch) -> None:
    watch.invoke(3, seconds=0.010, model_s=0.004)
    watch.invoke(1, seconds=0.050, model_s=0.040)

    (model,) = watch.statistics("ModelLatency", "Sum", "Average", "Minimum", "Maximum")
    (overhead,) = watch.statistics("OverheadLatency", "Average")

    assert model["Unit"] == "Microseconds"
    assert model["Sum"] == pytest.approx(52_000)
    assert model["Average"] == pytest.approx(13_000)
    assert overhead["Average"] == pytest.approx(7_000)
    # As exact as the bucket that they are counted in.
    assert (model["Minimum"], model["Maximum"]) == (3_000, 50_000)
    (told,) = watch.statistics("ModelLatency", ExtendedStatistics=["p50", "p99"])
    assert 3_000 <= told["ExtendedStatistics"]["p50"] <= 5_000
    assert 20_000 <= told["ExtendedStatistics"]["p99"] <= 50_000


def test_nothing_is_lost_or_counted_twice_when_processes_come_anew(watch: Watch) -> None:
    watch.invoke(4)
    watch.pass_minutes(1)
    put(watch, 1.0, 2.0)
    watch.invoke(6)  # flushed, and in no datapoint yet: its gateway is killed
    watch.start()
    watch.keeping.catch_up()
    watch.invoke(1)

    assert sum(each["Sum"] for each in watch.statistics("Invocations", "Sum")) == 11
    assert own(watch, "Sum")[0]["Sum"] == 3.0


def test_periods_begin_at_the_start_and_join_minutes(watch: Watch) -> None:
    for _ in range(4):
        watch.invoke(2)
        watch.pass_minutes(1)
    told = watch.statistics(
        "Invocations",
        "Sum",
        period_s=120,
        StartTime=NOON + timedelta(minutes=1, seconds=20),
        EndTime=NOON + timedelta(hours=1),
    )
    assert [(each["Timestamp"] - NOON_S, each["Sum"]) for each in told] == [(60, 4.0), (180, 2.0)]


def test_another_set_of_dimensions_is_another_metric(watch: Watch) -> None:
    watch.invoke(1)
    assert watch.statistics("Invocations", "Sum", Dimensions=OF_VARIANT[1:]) == []
    assert watch.statistics("Invocations", "Sum", Dimensions=[*OF_VARIANT, {"Name": "A", "Value": "b"}]) == []
    assert watch.statistics("Invocations", "Sum", Unit="Count") == []
    assert watch.statistics("NoSuchMetric", "Sum") == []


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({}, "MissingParameter"),
        ({"Statistics": ["Sum"], "Period": 61}, "InvalidParameterValue"),
        ({"Statistics": ["Sum"], "StartTime": NOON, "EndTime": NOON}, "InvalidParameterCombination"),
        ({"Statistics": ["Sum"], "StartTime": NOON - timedelta(days=2)}, "InvalidParameterCombination"),
        ({"ExtendedStatistics": ["tm99"]}, "InvalidParameterValue"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(watch: Watch, more: dict[str, Any], code: str) -> None:
    with pytest.raises(ServiceFault) as caught:
        watch.statistics("Invocations", **more)
    assert caught.value.code == code


def test_metric_data_is_told_per_query_and_calculated_with(watch: Watch) -> None:
    watch.invoke(8, failed=2)
    watch.pass_minutes(1)
    watch.invoke(5)

    found = ask(
        watch,
        query("all", "Invocations", ReturnData=False),
        query("bad", "Invocation5XXErrors", Label="errors"),
        {"Id": "rate", "Expression": "100 * bad / all", "Label": "per cent"},
        ScanBy="TimestampAscending",
    )

    errors, rate = found["MetricDataResults"]
    assert (errors["Label"], errors["Values"], errors["StatusCode"]) == ("errors", [2.0, 0.0], "Complete")
    assert errors["Timestamps"] == [NOON_S, NOON_S + 60]
    assert (rate["Id"], rate["Values"]) == ("rate", [20.0, 0.0])
    newest = ask(watch, query("a", "Invocations"))["MetricDataResults"][0]
    assert newest["Values"] == [5.0, 10.0]


def test_pages_of_metric_data_hold_all_of_it_once(watch: Watch) -> None:
    for number in range(1, 6):
        watch.invoke(number)
        watch.pass_minutes(1)
    queries = (
        query("a", "Invocations"),
        query("b", "Invocation5XXErrors"),
        query("c", "ModelLatency", "SampleCount"),
    )
    whole = {each["Id"]: each["Values"] for each in ask(watch, *queries)["MetricDataResults"]}
    found: dict[str, list[float]] = {"a": [], "b": [], "c": []}
    token: dict[str, Any] = {}
    for _ in range(20):
        page = ask(watch, *queries, MaxDatapoints=2, **token)
        assert sum(len(each["Values"]) for each in page["MetricDataResults"]) <= 2
        for each in page["MetricDataResults"]:
            found[each["Id"]] += each["Values"]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert found == whole
    assert whole["a"] == [5.0, 4.0, 3.0, 2.0, 1.0]
    with pytest.raises(ServiceFault):
        ask(watch, *queries, NextToken="no token")


@pytest.mark.parametrize(
    "queries",
    [
        [],
        [{"Id": "A", "Expression": "1"}],
        [{"Id": "a"}],
        [{"Id": "a", "Expression": "1"}, {"Id": "a", "Expression": "2"}],
        [{"Id": "a", "Expression": "a + 1"}],
        [{"Id": "a", "Expression": "b"}, {"Id": "b", "Expression": "a"}],
        [{"Id": f"a{number}", "Expression": f"a{number + 1}"} for number in range(499)],
        [
            {"Id": "a0", "Expression": "1"},
            *({"Id": f"a{n}", "Expression": f"a{n - 1}", "ReturnData": n == 499} for n in range(1, 500)),
        ],
        [{"Id": "a", "Expression": "SEARCH('x', 'Sum', 60)"}],
        [{"Id": "a", "Expression": "SELECT AVG(x) FROM y"}],
        [query("a", "Invocations", "tm99")],
        [query("a", "Invocations"), {"Id": "b", "Expression": "a", "MetricStat": {}}],
    ],
)
def test_queries_that_are_not_served_are_refused(watch: Watch, queries: list[dict[str, Any]]) -> None:
    with pytest.raises(ServiceFault) as caught:
        ask(watch, *queries)
    assert caught.value.code == "ValidationError"


def test_metrics_are_listed_by_what_they_have(watch: Watch) -> None:
    watch.invoke(1)
    put(watch, 1.0, Dimensions=[{"Name": "d", "Value": "1"}])
    put(watch, 1.0, name="other")

    everything = watch.call("ListMetrics")["Metrics"]
    assert [each["MetricName"] for each in everything if each["Namespace"] == "mine"] == ["m", "other"]
    names = {each["MetricName"] for each in everything if each["Namespace"] == "AWS/SageMaker"}
    assert {"Invocations", "Invocation5XXErrors", "ModelLatency", "OverheadLatency"} <= names
    assert sorted(everything[0]["Dimensions"], key=str) == sorted(OF_VARIANT, key=str)
    by_dimension = watch.call("ListMetrics", Dimensions=[{"Name": "d"}])["Metrics"]
    assert by_dimension == [
        {"Namespace": "mine", "MetricName": "m", "Dimensions": [{"Name": "d", "Value": "1"}]}
    ]
    assert watch.call("ListMetrics", Dimensions=[{"Name": "d", "Value": "2"}])["Metrics"] == []
    assert watch.call("ListMetrics", Namespace="mine", MetricName="other", RecentlyActive="PT3H")["Metrics"]


def test_a_page_has_500_metrics(watch: Watch) -> None:
    data = [{"MetricName": f"m{number:04}", "Value": 1.0} for number in range(700)]
    watch.call("PutMetricData", Namespace="mine", MetricData=data)
    first = watch.call("ListMetrics", Namespace="mine")
    second = watch.call("ListMetrics", Namespace="mine", NextToken=first["NextToken"])
    names = [each["MetricName"] for page in (first, second) for each in page["Metrics"]]
    assert names == [f"m{number:04}" for number in range(700)]
    assert "NextToken" not in second


def test_what_clients_tell_is_summed(watch: Watch) -> None:
    put(watch, 1.0, 3.0, Unit="Seconds")
    watch.call(
        "PutMetricData",
        Namespace="mine",
        MetricData=[
            {"MetricName": "m", "Unit": "Seconds", "Values": [5.0, 7.0], "Counts": [2.0, 1.0]},
            {
                "MetricName": "sums",
                "StatisticValues": {"SampleCount": 4, "Sum": 10, "Minimum": 1, "Maximum": 4},
            },
        ],
    )
    (told,) = own(watch, "SampleCount", "Sum", "Minimum", "Maximum", ExtendedStatistics=["p50"])
    assert told["ExtendedStatistics"]["p50"] == pytest.approx(5.0, rel=0.011)
    del told["ExtendedStatistics"]
    assert told == {
        **{"Timestamp": NOON_S, "Unit": "Seconds", "SampleCount": 5.0, "Sum": 21.0},
        **{"Minimum": 1.0, "Maximum": 7.0},
    }
    (sums,) = own(watch, "Average", name="sums", ExtendedStatistics=["p50"])
    assert sums == {"Timestamp": NOON_S, "Unit": "None", "Average": 2.5}


def test_by_the_second_is_kept_for_three_hours_then_by_the_minute(watch: Watch) -> None:
    for second in range(3):
        put(watch, 1.0, StorageResolution=1, Timestamp=NOON + timedelta(seconds=10 * second))
    assert [each["Sum"] for each in own(watch, "Sum", period_s=10, EndTime=NOON + timedelta(minutes=1))] == [
        1.0
    ] * 3
    watch.clock.advance(4 * 3600)
    watch.alarms.look()
    hours: dict[str, Any] = {"StartTime": NOON - timedelta(hours=1), "EndTime": NOON + timedelta(hours=1)}
    assert [each["Sum"] for each in own(watch, "Sum", **hours)] == [3.0]
    watch.clock.advance(500 * 86_400)
    watch.alarms.look()
    assert watch.call("ListMetrics", Namespace="mine")["Metrics"] == []


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    ("namespace", "datum", "code"),
    [
        ("AWS/SageMaker", {"Value": 1.0}, "InvalidParameterValue"),
        ("mine", {}, "MissingParameter"),
        ("mine", {"Value": 1.0, "Values": [1.0]}, "InvalidParameterCombination"),
        ("mine", {"Values": [1.0], "Counts": [1.0, 2.0]}, "InvalidParameterValue"),
        ("mine", {"Values": [1.0] * 151}, "InvalidParameterValue"),
        ("mine", {"Values": []}, "InvalidParameterValue"),
        ("mine", {"Value": float("nan")}, "InvalidParameterValue"),
        ("mine", {"Value": 1e200}, "InvalidParameterValue"),
        ("mine", {"Value": 1.0, "Timestamp": NOON - timedelta(days=15)}, "InvalidParameterValue"),
        ("mine", {"Value": 1.0, "Timestamp": NOON + timedelta(hours=3)}, "InvalidParameterValue"),
        ("mine", {"Value": 1.0, "Dimensions": [{"Name": "a", "Value": "b"}] * 2}, "InvalidParameterValue"),
        (
            "mine",
            {"StatisticValues": {"SampleCount": 0, "Sum": 0, "Minimum": 0, "Maximum": 0}},
            "InvalidParameterValue",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_beside_it_is_kept(
    watch: Watch, namespace: str, datum: dict[str, Any], code: str
) -> None:
    data = [{"MetricName": "good", "Value": 1.0}, {"MetricName": "m", **datum}]
    with pytest.raises(ServiceFault) as caught:
        watch.call("PutMetricData", Namespace=namespace, MetricData=data)
    assert caught.value.code == code
    assert watch.call("ListMetrics", Namespace="mine")["Metrics"] == []


def test_an_operation_that_is_not_served_is_refused(watch: Watch) -> None:
    with pytest.raises(UnknownOperation):
        watch.call("PutDashboard", DashboardName="d", DashboardBody="{}")
