"""Batch transform as boto3 and the aws command line see it: a real server, a real model, its real answers."""

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import joblib
import numpy as np
import pandas as pd
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError

from tests.conftest import ROOT, RunningServer, StartServer, copy_sample, wait_until

ROLE = "arn:aws:iam::000000000000:role/anyone"
_KEYS = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "y"}


@pytest.fixture(scope="module")
def server(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> RunningServer:
    """A server with one worker, whose bucket `flowers` has a model and some flowers."""
    folder = tmp_path_factory.mktemp("batch")
    (folder / "models").mkdir()
    bucket = folder / "data" / "s3" / "flowers"
    (bucket / "in" / "deeper").mkdir(parents=True)
    copy_sample("iris-forest", bucket / "model")
    random = np.random.default_rng(7)
    for name in ("a.csv", "b.csv", "deeper/c.csv"):
        rows = random.uniform(0.1, 8.0, (200, 4)).round(2)
        lines = (f"{name}-{number},{','.join(map(str, row))}\n" for number, row in enumerate(rows))
        (bucket / "in" / name).write_text("".join(lines))
    return start_server(folder / "models", folder / "data", gateways=1, workers="1", worker_processes="1")


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[Any]:
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60)
    one = boto3.client("sagemaker", endpoint_url=server.url, config=config, **_KEYS)
    container = {"Image": "sagebird/sklearn", "ModelDataUrl": "s3://flowers/model/"}
    one.create_model(ModelName="iris", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    yield one
    one.close()


def request(name: str, **more: Any) -> dict[str, Any]:
    return {
        "TransformJobName": name,
        "ModelName": "iris",
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://flowers/in/"}},
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        "TransformOutput": {
            "S3OutputPath": f"s3://flowers/{name}/",
            "Accept": "text/csv",
            "AssembleWith": "Line",
        },
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        "DataProcessing": {"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"},
        **more,
    }


def test_what_is_put_by_s3_is_transformed_and_what_comes_of_it_is_got_from_there(
    server: RunningServer, client: Any
) -> None:
    s3 = boto3.client("s3", endpoint_url=server.url, **_KEYS)
    s3.create_bucket(Bucket="by-s3")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(ROOT / "models" / "iris-forest" / "model.joblib", "model.joblib")
    s3.put_object(Bucket="by-s3", Key="model.tar.gz", Body=packed.getvalue())
    s3.put_object(Bucket="by-s3", Key="in/two.csv", Body=b"5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n")
    container = {"Image": "sagebird/sklearn", "ModelDataUrl": "s3://by-s3/model.tar.gz"}
    client.create_model(ModelName="by-s3", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    asked = request("by-s3", ModelName="by-s3")
    asked["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] = "s3://by-s3/in/"
    asked["TransformOutput"]["S3OutputPath"] = "s3://by-s3/out/"
    del asked["DataProcessing"]

    client.create_transform_job(**asked)

    assert wait(client, "by-s3")["TransformJobStatus"] == "Completed"
    found = s3.list_objects_v2(Bucket="by-s3", Prefix="out/")["Contents"]
    assert [one["Key"] for one in found] == ["out/two.csv.out"]
    assert s3.get_object(Bucket="by-s3", Key="out/two.csv.out")["Body"].read() == b"0\n2\n"
    s3.close()


def wait(client: Any, name: str) -> dict[str, Any]:
    """Wait by boto3's own waiter; what the job is then."""
    waiter = client.get_waiter("transform_job_completed_or_stopped")
    waiter.wait(TransformJobName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 180})
    described: dict[str, Any] = client.describe_transform_job(TransformJobName=name)
    return described


def test_joined_and_filtered_answers_are_those_of_scikit_learn(server: RunningServer, client: Any) -> None:
    client.create_transform_job(**request("joined"))

    described = wait(client, "joined")

    assert described["TransformJobStatus"] == "Completed"
    assert described["CreationTime"] <= described["TransformStartTime"] <= described["TransformEndTime"]
    bucket = server.data / "s3" / "flowers"
    model = joblib.load(bucket / "model" / "model.joblib")
    for name in ("a.csv", "b.csv", "deeper/c.csv"):
        given = [line.split(",") for line in (bucket / "in" / name).read_text().splitlines()]
        flowers = np.array([row[1:] for row in given], float)
        answers = model.predict(pd.DataFrame(flowers, columns=model.feature_names_in_))
        wanted = [f"{row[0]},{answer}" for row, answer in zip(given, answers, strict=True)]
        assert (bucket / "joined" / f"{name}.out").read_text().splitlines() == wanted


def test_a_job_goes_on_when_its_model_is_deleted(server: RunningServer, client: Any) -> None:
    container = {"Image": "sagebird/sklearn", "ModelDataUrl": "s3://flowers/model/"}
    client.create_model(ModelName="gone", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    client.create_transform_job(**request("orphan", ModelName="gone"))
    client.delete_model(ModelName="gone")

    assert wait(client, "orphan")["TransformJobStatus"] == "Completed"


def test_a_failed_job_ends_the_waiter_and_names_file_and_record(server: RunningServer, client: Any) -> None:
    folder = server.data / "s3" / "flowers" / "broken"
    folder.mkdir()
    (folder / "a.csv").write_text("x,1,2,3,4\nx,1,2,?,4\n")
    asked = request("failing")
    asked["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] = "s3://flowers/broken/"
    client.create_transform_job(**asked)

    with pytest.raises(WaiterError, match="terminal failure state"):
        wait(client, "failing")

    described = client.describe_transform_job(TransformJobName="failing")
    assert described["FailureReason"].startswith(
        "ClientError: See job logs for more information. 1 of 1 files failed: a.csv, record 2: "
    )
    (summary,) = client.list_transform_jobs(StatusEquals="Failed")["TransformJobSummaries"]
    assert summary["FailureReason"] == described["FailureReason"]


@pytest.mark.provenance("documented")
@pytest.mark.parametrize("data", [{"ModelDataUrl": "s3://flowers/model/"}, {}], ids=["model", "code alone"])
def test_a_job_runs_code_that_lies_apart_from_its_model(
    server: RunningServer, client: Any, data: dict[str, str]
) -> None:
    name = f"code-{len(data)}"
    code = server.data / "s3" / "flowers" / f"{name}.tar.gz"
    with tarfile.open(code, "w:gz") as archive:
        script = b"def model_fn(d):\n    return None\ndef predict_fn(rows, model):\n    return [len(rows)]\n"
        member = tarfile.TarInfo("infer.py")
        member.size = len(script)
        archive.addfile(member, io.BytesIO(script))
    environment = {"SAGEMAKER_PROGRAM": "infer.py", "SAGEMAKER_SUBMIT_DIRECTORY": f"s3://flowers/{code.name}"}
    container = {"Image": "sagebird/sklearn", **data, "Environment": environment}
    client.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    folder = server.data / "s3" / "flowers" / f"in-{name}"
    folder.mkdir()
    (folder / "a.csv").write_text("1,2\n3,4\n")
    asked = request(name, ModelName=name)
    del asked["DataProcessing"]
    asked["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] = f"s3://flowers/in-{name}/"
    client.create_transform_job(**asked)

    assert wait(client, name)["TransformJobStatus"] == "Completed"
    assert (server.data / "s3" / "flowers" / name / "a.csv.out").read_text().startswith("2\n")


@pytest.mark.provenance("observed")
def test_an_output_filter_of_two_ranges_fails_the_job_and_not_the_call(client: Any) -> None:
    processing = {"InputFilter": "$[1:]", "OutputFilter": "$[0:1,3:]"}
    client.create_transform_job(**request("ranges", DataProcessing=processing))

    with pytest.raises(WaiterError):
        wait(client, "ranges")
    reason = client.describe_transform_job(TransformJobName="ranges")["FailureReason"]
    assert "Invalid JsonPath: $[0:1,3:]: only single range filters of format (eg: [1:5])" in reason


def test_a_stopped_job_is_waited_for(client: Any) -> None:
    client.create_transform_job(**request("stopped"))
    client.stop_transform_job(TransformJobName="stopped")

    assert wait(client, "stopped")["TransformJobStatus"] in ("Stopped", "Completed")
    with pytest.raises(ClientError, match="cannot be stopped") as caught:
        client.stop_transform_job(TransformJobName="stopped")
    assert caught.value.response["Error"]["Code"] == "ValidationException"


@pytest.mark.provenance("botocore")
def test_a_second_job_of_a_name_is_the_modelled_exception(client: Any) -> None:
    client.create_transform_job(**request("twice"))

    with pytest.raises(client.exceptions.ResourceInUse, match="already existing transform job"):
        client.create_transform_job(**request("twice"))
    wait(client, "twice")


def test_the_aws_command_line_makes_waits_for_and_shows_a_job(server: RunningServer, client: Any) -> None:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
    environment |= {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }

    def aws(*arguments: str) -> str:
        command = [str(Path(sys.executable).parent / "aws"), "sagemaker", *arguments]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    source = "DataSource={S3DataSource={S3DataType=S3Prefix,S3Uri=s3://flowers/in/a.csv}}"
    aws(
        "create-transform-job",
        "--transform-job-name=cli",
        "--model-name=iris",
        f"--transform-input={source},ContentType=text/csv,SplitType=Line",
        "--transform-output=S3OutputPath=s3://flowers/cli/,Accept=text/csv",
        "--transform-resources=InstanceType=ml.m5.large,InstanceCount=1",
        '--data-processing={"InputFilter": "$[1:]"}',
    )
    asked = ("describe-transform-job", "--transform-job-name=cli", "--query=TransformJobStatus")
    wait_until(lambda: client.describe_transform_job(TransformJobName="cli").get("TransformEndTime"), 180)

    assert aws(*asked) == '"Completed"'
    assert "cli" in aws("list-transform-jobs", "--query=TransformJobSummaries[].TransformJobName")
    assert len((server.data / "s3" / "flowers" / "cli" / "a.csv.out").read_text().splitlines()) == 200
