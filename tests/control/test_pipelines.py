"""Models of several containers: what CreateModel takes, what is described, why an endpoint of one fails."""

from typing import Any

import pytest

from service.domain.endpoint import ModelSource, Stage, WarmState
from service.domain.endpoint_state import endpoint_from_state, endpoint_to_state
from service.domain.image import BUILT_IN
from service.domain.kinds import Kind
from service.domain.transform.job import JobStage, JobState
from tests.control.conftest import DATA, IMAGE, NOON, PACKAGE_OF_OTHERS, ROLE, Control

OTHER = "s3://models/two.tar.gz"
PREFIX = "s3://models/many/"
FIRST = {"Image": IMAGE, "ModelDataUrl": DATA}
SECOND = {"Image": BUILT_IN, "ModelDataUrl": OTHER, "Environment": {"B": "2", "A": "1"}}
MANY = {"Image": IMAGE, "ModelDataUrl": PREFIX, "Mode": "MultiModel"}
DIRECT = {"InferenceExecutionConfig": {"Mode": "Direct"}}
UNHEALTHY = (
    "for production variant a did not pass the ping health check. "
    "Please check CloudWatch logs for this endpoint. "
)


def named(**containers: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**container, "ContainerHostname": name} for name, container in containers.items()]


@pytest.fixture
def both(control: Control) -> Control:
    """A control plane with the data of two models."""
    control.upload()
    control.upload(OTHER)
    return control


def make(control: Control, *containers: dict[str, Any], **more: Any) -> None:
    control.call("CreateModel", ModelName="one", Containers=list(containers), **more)


def serve(control: Control, state: WarmState = WarmState.WARM, reason: str = "") -> dict[str, Any]:
    control.create_config()
    control.create_endpoint()
    control.settle(state, reason)
    return control.describe()


def source_of(control: Control) -> ModelSource:
    fleet = control.endpoint().active
    assert fleet is not None
    return fleet.variants[0].source


@pytest.mark.provenance("botocore")
def test_containers_and_their_mode_are_described_as_they_were_made(both: Control) -> None:
    asked = {
        "ModelName": "one",
        "Containers": named(scaler=FIRST, model=SECOND),
        "InferenceExecutionConfig": {"Mode": "Serial"},
        "ExecutionRoleArn": ROLE,
    }
    both.call("CreateModel", **asked)

    said = both.call("DescribeModel", ModelName="one")

    containers = [{**container, "Mode": "SingleModel"} for container in named(scaler=FIRST, model=SECOND)]
    assert {name: said[name] for name in asked} == {**asked, "Containers": containers}
    assert said["CreationTime"] == NOON


@pytest.mark.provenance("observed")
def test_of_many_models_there_is_one_place_in_a_pipeline(both: Control) -> None:
    make(both, MANY, FIRST)

    sentence = both.refusal("CreateModel", ModelName="two", Containers=[MANY, FIRST, MANY])

    assert sentence == "More than one container in MultiModel mode is not supported with inference pipeline."


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    ("containers", "more", "words"),
    [
        (named(many=MANY, one=FIRST), DIRECT, "cannot be called directly"),
        ([FIRST, SECOND], DIRECT, "Give each container a ContainerHostname"),
        ([*named(one=FIRST), SECOND], {}, "Give each container a ContainerHostname"),
        ([*named(one=FIRST), *named(one=SECOND)], {}, '"one" was non-unique'),
    ],
)
def test_containers_that_cannot_belong_together_are_refused(
    both: Control, containers: list[dict[str, Any]], more: dict[str, Any], words: str
) -> None:
    assert words in both.refusal("CreateModel", ModelName="one", Containers=containers, **more)


@pytest.mark.provenance("botocore")
def test_each_mode_and_up_to_fifteen_containers_are_taken(both: Control) -> None:
    make(both, *[FIRST] * 15)
    both.call("CreateModel", ModelName="two", Containers=named(a=FIRST, b=SECOND), **DIRECT)


@pytest.mark.provenance("observed")
def test_data_of_every_container_must_be_there(control: Control) -> None:
    control.upload()

    assert control.refusal("CreateModel", ModelName="one", Containers=[FIRST, SECOND]) == (
        f"Could not find model data at {OTHER}."
    )


def test_an_endpoint_has_each_container_with_its_own_files_and_shows_all_images(both: Control) -> None:
    make(both, FIRST, SECOND)

    said = serve(both)

    assert said["EndpointStatus"] == "InService"
    images = [image["SpecifiedImage"] for image in said["ProductionVariants"][0]["DeployedImages"]]
    assert images == [IMAGE, BUILT_IN]
    source = source_of(both)
    assert [(stage.name, stage.source.location, stage.source.image) for stage in source.stages] == [
        ("container-1", DATA, IMAGE),
        ("container-2", OTHER, BUILT_IN),
    ]
    assert source.parts[1].environment == (("A", "1"), ("B", "2"))
    assert all(part.version for part in source.parts)
    assert (source.direct, source.takes_target, source.answering) == (False, False, "container-2")


def test_what_is_stored_comes_back(both: Control) -> None:
    make(both, *named(a=FIRST, b=SECOND), **DIRECT)
    serve(both)
    endpoint = both.endpoint()

    state = endpoint_to_state(endpoint)

    assert endpoint_from_state(endpoint.name, endpoint.status, "", state) == endpoint
    assert source_of(both).direct


def test_states_of_before_have_one_container(both: Control) -> None:
    both.serve()
    endpoint = both.endpoint()
    state = endpoint_to_state(endpoint)
    for member in ("stages", "direct"):
        del state["active"]["variants"][0][member]

    assert endpoint_from_state(endpoint.name, endpoint.status, "", state) == endpoint


def test_the_first_of_many_models_takes_the_target(both: Control) -> None:
    make(both, MANY, SECOND)
    serve(both)

    source = source_of(both)

    assert [part.multi for part in source.parts] == [True, False]
    assert source.takes_target


@pytest.mark.provenance("observed")
def test_the_container_that_did_not_start_is_named(both: Control) -> None:
    make(both, FIRST, SECOND)

    said = serve(both, WarmState.FAILED, "container-2: the weights are gone")

    assert said["EndpointStatus"] == "Failed"
    assert said["FailureReason"] == f"The container-2 {UNHEALTHY}the weights are gone"


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({**SECOND, "Image": "pytorch:2"}, "the image pytorch:2 cannot run here"),
        ({"ModelPackageName": PACKAGE_OF_OTHERS}, "a model package cannot run here"),
        ({"Image": IMAGE}, "the model has no data"),
    ],
)
def test_a_container_that_cannot_run_here_fails_the_endpoint_by_its_name(
    both: Control, second: dict[str, Any], words: str
) -> None:
    make(both, *named(first=FIRST, second=second))

    said = serve(both)

    assert said["FailureReason"].startswith(f"The second {UNHEALTHY}{words}")


@pytest.mark.provenance("guess")
def test_data_that_went_are_missed_by_the_number_of_their_container(both: Control) -> None:
    make(both, FIRST, SECOND)
    (both.buckets / OTHER.removeprefix("s3://")).unlink()

    said = serve(both)

    assert said["FailureReason"].startswith(
        f'Failed to download model data for container "container_2" from URL: "{OTHER}".'
    )


# ---- transform jobs


def order(control: Control) -> JobState:
    control.call(
        "CreateTransformJob",
        TransformJobName="job",
        ModelName="one",
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://models/in/"}}
        },
        TransformOutput={"S3OutputPath": "s3://models/out/"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )
    (job,) = control.call("ListTransformJobs")["TransformJobSummaries"]
    assert job["TransformJobStatus"] == "InProgress"
    (found,) = control.store.of_kind(Kind.TRANSFORM_JOB)
    return JobState.read(found.state)


def test_a_job_knows_each_container(both: Control) -> None:
    make(both, FIRST, SECOND)

    state = order(both)

    assert state.obstacle == ""
    assert state.containers == (
        JobStage("container-1", DATA, {}, IMAGE),
        JobStage("container-2", OTHER, {"A": "1", "B": "2"}, BUILT_IN),
    )
    assert state.label == f"{DATA}, {OTHER}"


def test_a_job_of_one_container_is_as_it_was(both: Control) -> None:
    both.create_model()

    assert order(both).containers == (JobStage("", DATA, {}, IMAGE),)


@pytest.mark.parametrize(
    ("containers", "more", "words"),
    [
        ([MANY, FIRST], {}, "a multi-model cannot be transformed with"),
        (named(a=FIRST, b=SECOND), DIRECT, "containers that are called directly"),
    ],
)
def test_what_a_job_cannot_name_is_an_obstacle(
    both: Control, containers: list[dict[str, Any]], more: dict[str, Any], words: str
) -> None:
    make(both, *containers, **more)

    assert words in order(both).obstacle


def test_a_stage_is_named_only_by_its_own_name() -> None:
    source = ModelSource("", stages=(Stage("a", ModelSource(DATA)), Stage("b", ModelSource(OTHER))))

    assert source.split_reason("b: gone") == ("b", "gone")
    assert source.split_reason("c: gone") == ("", "c: gone")
    assert source.split_reason("b") == ("", "b")
    assert ModelSource(DATA).split_reason("b: gone") == ("", "b: gone")
