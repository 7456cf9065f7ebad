"""CloudWatch by stock clients, in each of its three dialects: what was sent is what is told."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.aws.conftest import Stage
from tests.harness.control import wait_for

_VARIANT = [{"Name": "EndpointName", "Value": "actor"}, {"Name": "VariantName", "Value": "v"}]
_AWS = Path(sys.executable).parent / "aws"
_DIALECTS = ("json", "query", "smithy-rpc-v2-cbor")


def _client(url: str, folder: Path, dialect: str) -> Any:
    """Boto3's own client over botocore's own model, which says that the service speaks one protocol alone."""
    session = botocore.session.get_session()
    model = session.get_component("data_loader").load_service_model("cloudwatch", "service-2")
    model = json.loads(json.dumps(model))
    model["metadata"] |= {"protocol": dialect, "protocols": [dialect]}
    if dialect == "query":
        del model["metadata"]["awsQueryCompatible"]
    place = folder / dialect / "cloudwatch" / model["metadata"]["apiVersion"]
    place.mkdir(parents=True)
    (place / "service-2.json").write_text(json.dumps(model))
    session = botocore.session.Session()
    session.get_component("data_loader").search_paths.insert(0, str(folder / dialect))
    client = boto3.Session(botocore_session=session, region_name="us-east-1").client(
        "cloudwatch",
        endpoint_url=url,
        aws_access_key_id="x",
        aws_secret_access_key="y",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=30, read_timeout=60),
    )
    assert client.meta.service_model.resolved_protocol == dialect
    return client


@pytest.fixture(scope="module", params=_DIALECTS)
def cloudwatch(request: pytest.FixtureRequest, stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return _client(stage.url, tmp_path_factory.mktemp("models"), request.param)


def _total(client: Any, name: str, endpoint: str = "actor") -> float:
    now = datetime.now(UTC)
    found = client.get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=name,
        Dimensions=[{"Name": "EndpointName", "Value": endpoint}, _VARIANT[1]],
        StartTime=now - timedelta(hours=3),
        EndTime=now + timedelta(minutes=1),
        Period=60,
        Statistics=["Sum"],
    )
    return float(sum(point["Sum"] for point in found["Datapoints"]))


def _settled(client: Any, stage: Stage) -> dict[str, float]:
    """The totals, with all that was sent before: a gateway tells what it has counted all at once."""
    before = _total(client, "Invocations", "busy")
    stage.server.invoke("busy", b"{}")
    wait_for(lambda: _total(client, "Invocations", "busy") > before, rest_s=0.05)
    names = ("Invocations", "Invocation4XXErrors", "Invocation5XXErrors", "InvocationsPerInstance")
    return {name: _total(client, name) for name in names}


def _refused(call: Any, **members: Any) -> tuple[int, str]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    response = caught.value.response
    assert response["ResponseMetadata"]["RequestId"]
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def test_numbers_are_those_that_were_sent(cloudwatch: Any, stage: Stage) -> None:
    before = _settled(cloudwatch, stage)
    for body in (b"{}", b"{}", b'{"status": 500}', b'{"status": 418}', b'{"raise": "no"}'):
        stage.server.invoke("actor", body)
    after = _settled(cloudwatch, stage)

    grown = {name: after[name] - before[name] for name in after}
    assert grown == {
        "Invocations": 5,
        "Invocation4XXErrors": 1,
        "Invocation5XXErrors": 2,
        "InvocationsPerInstance": 5,
    }


def test_metric_data_is_told_in_pages_with_expressions(cloudwatch: Any, stage: Stage) -> None:
    stage.server.invoke("actor", b"{}")
    _settled(cloudwatch, stage)
    now = datetime.now(UTC)

    def metric(identifier: str, name: str, stat: str) -> dict[str, Any]:
        named = {"Namespace": "AWS/SageMaker", "MetricName": name, "Dimensions": _VARIANT}
        return {"Id": identifier, "MetricStat": {"Metric": named, "Period": 60, "Stat": stat}}

    queries = [
        metric("all", "Invocations", "Sum"),
        metric("slow", "ModelLatency", "p99"),
        {"Id": "half", "Expression": "all / 2"},
    ]
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries,
        StartTime=now - timedelta(hours=3),
        EndTime=now + timedelta(minutes=1),
        PaginationConfig={"PageSize": 2},
    )
    found: dict[str, list[float]] = {"all": [], "slow": [], "half": []}
    for page in pages:
        for result in page["MetricDataResults"]:
            assert len(result["Timestamps"]) == len(result["Values"])
            found[result["Id"]] += result["Values"]
    assert found["all"]
    assert found["half"] == [value / 2 for value in found["all"]]
    assert len(found["slow"]) == len(found["all"])
    assert min(found["slow"]) > 0


def test_what_was_put_is_listed_and_told(cloudwatch: Any) -> None:
    namespace = f"own/{cloudwatch.meta.service_model.resolved_protocol}"
    data = [
        {
            "MetricName": "m",
            "Dimensions": [{"Name": "number", "Value": str(number)}],
            "Values": [1.5, number],
            "Counts": [2.0, 1.0],
            "Unit": "Milliseconds",
        }
        for number in range(600)
    ]  # it is compressed on its way, and answered by another process
    cloudwatch.put_metric_data(Namespace=namespace, MetricData=data)
    pages = cloudwatch.get_paginator("list_metrics").paginate(Namespace=namespace)
    listed = [metric["Dimensions"][0]["Value"] for page in pages for metric in page["Metrics"]]
    assert sorted(listed, key=int) == [str(number) for number in range(600)]
    now = datetime.now(UTC)
    (told,) = cloudwatch.get_metric_statistics(
        Namespace=namespace,
        MetricName="m",
        Dimensions=[{"Name": "number", "Value": "7"}],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(minutes=1),
        Period=3600,
        Statistics=["Sum", "SampleCount", "Maximum"],
        ExtendedStatistics=["p100"],
        Unit="Milliseconds",
    )["Datapoints"]
    assert (told["Sum"], told["SampleCount"], told["Maximum"]) == (10.0, 3.0, 7.0)
    assert told["ExtendedStatistics"]["p100"] == 7.0


def test_an_alarm_on_errors_fires_and_is_described_and_goes(cloudwatch: Any, stage: Stage) -> None:
    name = f"errors {cloudwatch.meta.service_model.resolved_protocol}"
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Dimensions=_VARIANT,
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0.0,
        ComparisonOperator="GreaterThanThreshold",
        Tags=[{"Key": "team", "Value": "ü"}],
    )
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert alarm["Dimensions"] == _VARIANT
    arn = alarm["AlarmArn"]
    assert cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "team", "Value": "ü"}]
    cloudwatch.tag_resource(ResourceARN=arn, Tags=[{"Key": "b", "Value": "c"}])
    cloudwatch.untag_resource(ResourceARN=arn, TagKeys=["team"])
    assert cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "b", "Value": "c"}]
    cloudwatch.disable_alarm_actions(AlarmNames=[name])
    cloudwatch.enable_alarm_actions(AlarmNames=[name])

    stage.server.invoke("actor", b'{"status": 500}')

    def fired() -> bool:
        (found,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        return bool(found["StateValue"] == "ALARM")

    wait_for(fired, rest_s=0.1)
    history = cloudwatch.describe_alarm_history(AlarmName=name)["AlarmHistoryItems"]
    assert history[0]["HistorySummary"].endswith("to ALARM")
    assert [found["AlarmName"] for found in _alarms_of_metric(cloudwatch)] == [name]
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="a drill")
    cloudwatch.delete_alarms(AlarmNames=[name])
    assert cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"] == []


def _alarms_of_metric(client: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.describe_alarms_for_metric(
        Namespace="AWS/SageMaker", MetricName="Invocation5XXErrors", Dimensions=_VARIANT
    )["MetricAlarms"]
    return found


@pytest.mark.provenance("botocore")
def test_errors_have_the_codes_and_types_of_the_model(cloudwatch: Any) -> None:
    assert _refused(cloudwatch.delete_alarms, AlarmNames=["none"]) == (404, "ResourceNotFound")
    with pytest.raises(cloudwatch.exceptions.ResourceNotFound):
        cloudwatch.set_alarm_state(AlarmName="none", StateValue="OK", StateReason="x")
    assert _refused(
        cloudwatch.put_metric_data, Namespace="AWS/X", MetricData=[{"MetricName": "m", "Value": 1}]
    ) == (
        400,
        "InvalidParameterValue",
    )
    assert _refused(cloudwatch.describe_alarms, AlarmNamePrefix="a" * 256) == (400, "ValidationError")
    status, code = _refused(cloudwatch.list_dashboards)
    assert (status, code) in ((404, "UnknownOperationException"), (400, "InvalidAction"))


def test_the_aws_cli_asks_and_is_answered(stage: Stage) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {
        "AWS_ENDPOINT_URL": stage.url,
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }

    def aws(*argv: str) -> Any:
        command = [str(_AWS), *argv, "--output", "json"]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout else None

    put = ("cloudwatch", "put-metric-data", "--namespace", "cli", "--metric-name", "m", "--value", "2")
    assert aws(*put) is None
    assert aws("cloudwatch", "list-metrics", "--namespace", "cli")["Metrics"] == [
        {"Namespace": "cli", "MetricName": "m", "Dimensions": []}
    ]


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), float("-inf")])
def test_a_threshold_that_is_no_number_is_refused(cloudwatch: Any, threshold: float) -> None:
    status, _ = _refused(
        cloudwatch.put_metric_alarm,
        AlarmName="endless",
        Namespace="shop",
        MetricName="m",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=threshold,
        ComparisonOperator="GreaterThanThreshold",
    )
    assert status == 400
    assert cloudwatch.describe_alarms(AlarmNames=["endless"])["MetricAlarms"] == []


def test_what_a_variant_uses_of_the_machine_is_told(cloudwatch: Any, stage: Stage) -> None:
    stage.server.invoke("actor", b"{}")
    namespace, names = "/aws/sagemaker/Endpoints", {"CPUUtilization", "MemoryUtilization", "DiskUtilization"}

    def listed() -> set[str]:
        found = cloudwatch.list_metrics(Namespace=namespace, Dimensions=_VARIANT)["Metrics"]
        return {each["MetricName"] for each in found}

    def highest(name: str) -> float:
        now = datetime.now(UTC)
        found = cloudwatch.get_metric_statistics(
            Namespace=namespace,
            MetricName=name,
            Dimensions=_VARIANT,
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(minutes=1),
            Period=60,
            Statistics=["Average", "Maximum"],
            Unit="Percent",
        )
        return max((float(point["Maximum"]) for point in found["Datapoints"]), default=0.0)

    wait_for(lambda: listed() == names, rest_s=0.2)
    wait_for(lambda: highest("MemoryUtilization") > 0, rest_s=0.2)  # its container stands by then
    assert highest("MemoryUtilization") < 100
    assert 0 < highest("DiskUtilization") <= 100
    assert highest("CPUUtilization") >= 0
