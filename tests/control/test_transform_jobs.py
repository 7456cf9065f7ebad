from dataclasses import replace
from typing import Any

import pytest

from service.control.resources import Resources
from service.control.transform_jobs import create_drop_job
from service.domain.kinds import Kind
from service.domain.transform.job import Drop, JobState
from service.errors import ResourceInUse
from tests.control.conftest import DATA, IMAGE, NOON, Control, arn

ARN = arn(Kind.TRANSFORM_JOB, "job")


def request(name: str = "job", **more: Any) -> dict[str, Any]:
    return {
        "TransformJobName": name,
        "ModelName": "one",
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in/"}},
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        "TransformOutput": {"S3OutputPath": "s3://bucket/out", "Accept": "text/csv"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        **more,
    }


@pytest.fixture
def jobs(control: Control) -> Control:
    """A control plane with a model of the name `one`."""
    control.create_model(Environment={"A": "1"})
    return control


def state_of(control: Control, name: str = "job") -> JobState:
    resource = control.store.get(Kind.TRANSFORM_JOB, name)
    assert resource is not None
    return JobState.read(resource.state)


def put_status(control: Control, status: str, reason: str = "", name: str = "job") -> None:
    with control.store.change() as change:
        resource = change.get(Kind.TRANSFORM_JOB, name)
        assert resource is not None
        state = JobState.read(resource.state).write(ended_at=NOON.timestamp() + 60)
        change.put(replace(resource, status=status, failure_reason=reason, state=state))


def test_a_new_job_is_in_progress_and_queued(jobs: Control) -> None:
    assert jobs.call("CreateTransformJob", **request()) == {"TransformJobArn": ARN}

    lease = jobs.store.queue.claim(NOON, 0.0, 6.0)
    assert lease is not None
    assert (lease.job, lease.kind) == ("job", "plan")
    described = jobs.call("DescribeTransformJob", TransformJobName="job")
    assert described == {
        **request(),
        "TransformInput": {**request()["TransformInput"], "CompressionType": "None"},
        "TransformOutput": {**request()["TransformOutput"], "AssembleWith": "None", "KmsKeyId": ""},
        "DataProcessing": {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"},
        "TransformJobArn": ARN,
        "TransformJobStatus": "InProgress",
        "CreationTime": NOON,
    }


def test_all_that_was_asked_for_is_described(jobs: Control) -> None:
    asked = request(
        MaxConcurrentTransforms=2,
        MaxPayloadInMB=1,
        BatchStrategy="SingleRecord",
        ModelClientConfig={"InvocationsTimeoutInSeconds": 5, "InvocationsMaxRetries": 0},
        Environment={"B": "2"},
        DataProcessing={"InputFilter": "$[1:]", "OutputFilter": "$[0]"},
        ExperimentConfig={"ExperimentName": "e"},
    )

    jobs.call("CreateTransformJob", **asked, Tags=[{"Key": "k", "Value": "v"}])

    described = jobs.call("DescribeTransformJob", TransformJobName="job")
    filled = {"TransformInput", "TransformOutput", "DataProcessing"}
    assert {name: described[name] for name in asked if name not in filled} == {
        name: value for name, value in asked.items() if name not in filled
    }
    for member in filled:
        assert described[member].items() >= asked[member].items()
    assert described["DataProcessing"]["JoinSource"] == "None"
    assert jobs.call("ListTags", ResourceArn=ARN) == {"Tags": [{"Key": "k", "Value": "v"}]}


@pytest.mark.provenance("observed")
def test_an_unknown_model_is_a_validation_exception(jobs: Control) -> None:
    refusal = jobs.refusal("CreateTransformJob", **request(ModelName="nobody"))

    assert refusal == f'Could not find model "{arn(Kind.MODEL, "nobody")}".'


@pytest.mark.provenance("observed")
def test_a_model_with_a_data_source_is_refused(jobs: Control) -> None:
    place = {"S3Uri": "s3://models/one/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    container = {"Image": IMAGE, "ModelDataSource": {"S3DataSource": place}}
    jobs.call("CreateModel", ModelName="sourced", PrimaryContainer=container)

    refusal = jobs.refusal("CreateTransformJob", **request(ModelName="sourced"))

    assert refusal == (
        "SageMaker Batch currently doesn't support Model entity with container definitions which use "
        "ModelDataSource attribute"
    )


def test_a_join_and_a_filter_of_answers_need_no_accept(jobs: Control) -> None:
    for name, processing in (("joined", {"JoinSource": "Input"}), ("cut", {"OutputFilter": "$[0]"})):
        asked = request(name, DataProcessing=processing)
        asked["TransformOutput"] = {"S3OutputPath": "s3://bucket/out", "AssembleWith": "Line"}
        jobs.call("CreateTransformJob", **asked)
        assert "Accept" not in jobs.call("DescribeTransformJob", TransformJobName=name)["TransformOutput"]


@pytest.mark.provenance("documented")
@pytest.mark.parametrize("path", ["$[0,5:]", "$[0:2,246:]"])
def test_an_output_filter_with_a_range_is_taken(jobs: Control, path: str) -> None:
    jobs.call("CreateTransformJob", **request(DataProcessing={"OutputFilter": path}))


@pytest.mark.provenance("documented")
def test_a_second_job_of_a_name_is_resource_in_use(jobs: Control) -> None:
    jobs.call("CreateTransformJob", **request())

    with pytest.raises(ResourceInUse, match="Cannot create already existing transform job"):
        jobs.call("CreateTransformJob", **request())


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"MaxPayloadInMB": 60, "MaxConcurrentTransforms": 2}, "must be at most 100 MB, but it is 120 MB."),
        ({"DataProcessing": {"InputFilter": "$["}}, "InputFilter '$['"),
        (
            {"DataProcessing": {"JoinSource": "Input"}},
            "JoinSource Input needs AssembleWith to equal SplitType",
        ),
    ],
)
def test_options_that_cannot_work_are_refused_with_a_sentence(
    jobs: Control, more: dict[str, Any], sentence: str
) -> None:
    assert sentence in jobs.refusal("CreateTransformJob", **request(**more))


def test_the_model_is_remembered_so_that_it_may_be_deleted(jobs: Control) -> None:
    jobs.call("CreateTransformJob", **request())
    jobs.call("DeleteModel", ModelName="one")

    state = state_of(jobs)

    assert (state.location, state.environment, state.obstacle) == (DATA, {"A": "1"}, "")


@pytest.mark.parametrize(
    ("container", "obstacle"),
    [
        ({"Image": "nobody/knows:1"}, "the image nobody/knows:1 cannot run here"),
        ({"Mode": "MultiModel", "ModelDataUrl": "s3://models/"}, "a multi-model cannot be transformed with"),
    ],
)
def test_a_model_that_cannot_run_here_does_not_fail_the_call(
    control: Control, container: dict[str, Any], obstacle: str
) -> None:
    control.create_model(**container)

    control.call("CreateTransformJob", **request())

    assert state_of(control).obstacle.startswith(obstacle)


def test_a_model_whose_files_are_gone_does_not_fail_the_call(jobs: Control) -> None:
    (jobs.buckets / "models" / "one.tar.gz").unlink()

    jobs.call("CreateTransformJob", **request())

    assert state_of(jobs).obstacle.startswith("Failed to download model data")


def test_a_stopped_job_is_stopping_until_the_queue_has_let_go_of_it(jobs: Control) -> None:
    jobs.call("CreateTransformJob", **request())
    jobs.clock.advance(5)

    jobs.call("StopTransformJob", TransformJobName="job")
    jobs.call("StopTransformJob", TransformJobName="job")

    described = jobs.call("DescribeTransformJob", TransformJobName="job")
    assert described["TransformJobStatus"] == "Stopping"
    lease = jobs.store.queue.claim(NOON, 0.0, 6.0)
    assert lease is not None
    assert lease.kind == "settle"


@pytest.mark.provenance("guess")
@pytest.mark.parametrize("status", ["Completed", "Failed", "Stopped"])
def test_a_job_that_has_ended_cannot_be_stopped(jobs: Control, status: str) -> None:
    jobs.call("CreateTransformJob", **request())
    put_status(jobs, status)

    refusal = jobs.refusal("StopTransformJob", TransformJobName="job")

    assert refusal == f'The transform job "{ARN}" cannot be stopped: it is {status} already.'


@pytest.mark.provenance("guess")
@pytest.mark.parametrize("operation", ["DescribeTransformJob", "StopTransformJob"])
def test_an_unknown_job_is_a_validation_exception(control: Control, operation: str) -> None:
    refusal = control.refusal(operation, TransformJobName="job")

    assert refusal == f'Could not find transform job "{ARN}".'


def test_summaries_tell_when_a_job_ended_and_why_it_failed(jobs: Control) -> None:
    for name in ("one", "two"):
        jobs.call("CreateTransformJob", **request(name))
        jobs.clock.advance(1)
    put_status(jobs, "Failed", "because", "one")

    two, one = jobs.call("ListTransformJobs")["TransformJobSummaries"]

    assert two.keys() == {
        "TransformJobName",
        "TransformJobArn",
        "CreationTime",
        "LastModifiedTime",
        "TransformJobStatus",
    }
    assert (one["TransformJobName"], one["FailureReason"]) == (
        "one",
        "ClientError: See job logs for more information. because",
    )
    assert (one["TransformEndTime"] - NOON).total_seconds() == 60
    found = jobs.call("ListTransformJobs", StatusEquals="Failed")["TransformJobSummaries"]
    assert found == [one]


def drop(jobs: Control, name: str, model: str = "one", job: str = "inbox-1") -> dict[str, Any]:
    with jobs.store.change() as change:
        create_drop_job(
            Resources(change, jobs.context),
            Drop(job, model, name, f"file:///inbox/{model}/{name}", f"file:///outbox/{model}"),
        )
    resource = jobs.store.get(Kind.TRANSFORM_JOB, job)
    assert resource is not None
    return dict(resource.document)


@pytest.mark.parametrize(
    ("name", "kind", "split", "compression"),
    [
        ("a.csv", "text/csv", "Line", "None"),
        ("a.csv.gz", "text/csv", "Line", "Gzip"),
        ("a.jsonl", "application/jsonlines", "Line", "None"),
        ("a.json", "application/json", "None", "None"),
        ("a.bin", None, "None", "None"),
    ],
)
def test_the_ending_of_a_dropped_file_tells_what_it_is(
    jobs: Control, name: str, kind: str | None, split: str, compression: str
) -> None:
    document = drop(jobs, name)

    given, wanted = document["TransformInput"], document["TransformOutput"]
    assert (given.get("ContentType"), wanted.get("Accept")) == (kind, kind)
    assert (given["SplitType"], given["CompressionType"]) == (split, compression)
    assert given["DataSource"]["S3DataSource"]["S3Uri"] == f"file:///inbox/one/{name}"
    assert state_of(jobs, "inbox-1").location == DATA


def test_a_dropped_file_is_for_the_model_of_the_folder_where_none_is_registered(jobs: Control) -> None:
    drop(jobs, "a.csv", "iris")

    assert state_of(jobs, "inbox-1").location == "iris"
    with pytest.raises(ResourceInUse):
        drop(jobs, "a.csv", "iris")
