from typing import Any

import pytest

from service.control.models import MOST_ENVIRONMENT_BYTES
from service.domain.kinds import Kind
from tests.control.conftest import DATA, IMAGE, NOON, PACKAGE_OF_OTHERS, ROLE, Control, arn

ARN = arn(Kind.MODEL, "one")
CONTAINER = {"Image": IMAGE, "ModelDataUrl": DATA}


def source(uri: str = DATA) -> dict[str, Any]:
    return {"S3DataSource": {"S3Uri": uri, "S3DataType": "S3Object", "CompressionType": "Gzip"}}


@pytest.mark.provenance("botocore")
def test_a_model_is_described_as_it_was_made(control: Control) -> None:
    control.upload()
    network = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
    asked = {
        "ModelName": "one",
        "PrimaryContainer": {**CONTAINER, "Environment": {"A": ""}},
        "ExecutionRoleArn": ROLE,
        "VpcConfig": network,
        "EnableNetworkIsolation": True,
    }

    assert control.call("CreateModel", **asked, Tags=[{"Key": "a", "Value": "b"}]) == {"ModelArn": ARN}

    assert control.call("DescribeModel", ModelName="one") == {
        **asked,
        "PrimaryContainer": {**CONTAINER, "Environment": {"A": ""}, "Mode": "SingleModel"},
        "ModelArn": ARN,
        "CreationTime": NOON,
    }


def test_defaults_are_filled_in(control: Control) -> None:
    control.create_model()

    said = control.call("DescribeModel", ModelName="one")

    assert said["EnableNetworkIsolation"] is False
    assert said["PrimaryContainer"]["Mode"] == "SingleModel"


@pytest.mark.provenance("observed")
def test_a_name_is_taken_once_and_free_again_after_its_deletion(control: Control) -> None:
    control.create_model()
    assert control.refusal("CreateModel", ModelName="one", PrimaryContainer=CONTAINER) == (
        f'Cannot create already existing model "{ARN}".'
    )

    assert control.call("DeleteModel", ModelName="one") == {}
    control.create_model()


@pytest.mark.provenance("observed")
@pytest.mark.parametrize("operation", ["DescribeModel", "DeleteModel"])
def test_a_model_that_is_not_there_is_not_found(control: Control, operation: str) -> None:
    assert control.refusal(operation, ModelName="one") == f'Could not find model "{ARN}".'


def test_a_model_in_use_can_be_deleted(control: Control) -> None:
    control.serve()

    control.call("DeleteModel", ModelName="one")

    assert control.describe()["EndpointStatus"] == "InService"


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"Containers": []},
        {"PrimaryContainer": CONTAINER, "Containers": [CONTAINER]},
        {"PrimaryContainer": CONTAINER, "Containers": []},
    ],
)
def test_a_model_has_one_primary_container_or_several_others(
    control: Control, fields: dict[str, Any]
) -> None:
    control.upload()

    assert control.refusal("CreateModel", ModelName="one", **fields) == (
        "Specify one of PrimaryContainer and Containers."
    )


@pytest.mark.provenance("observed")
@pytest.mark.parametrize(
    "container", [{"ModelDataUrl": DATA}, {"Image": IMAGE, "ModelPackageName": PACKAGE_OF_OTHERS}]
)
def test_a_container_is_an_image_or_a_package(control: Control, container: dict[str, Any]) -> None:
    assert control.refusal("CreateModel", ModelName="one", PrimaryContainer=container) == (
        "Specify one of either Image and Model Data URL or ModelPackageName in container definition."
    )


@pytest.mark.provenance("guess")
def test_each_of_several_containers_is_checked(control: Control) -> None:
    control.upload()
    both = {**CONTAINER, "ModelDataSource": source()}

    sentence = control.refusal("CreateModel", ModelName="one", Containers=[CONTAINER, both])

    assert sentence == "Specify either ModelDataUrl or ModelDataSource, not both."


@pytest.mark.provenance("observed")
@pytest.mark.parametrize(
    "uri", ["s3://models/none.tar.gz", "s3://none/one.tar.gz", "s3://models/../one", "s3://x"]
)
def test_a_model_without_data_where_it_says_is_refused(control: Control, uri: str) -> None:
    control.upload()
    sentence = f"Could not find model data at {uri}."

    for container in (
        {"Image": IMAGE, "ModelDataUrl": uri},
        {"Image": IMAGE, "ModelDataSource": source(uri)},
    ):
        assert control.refusal("CreateModel", ModelName="one", PrimaryContainer=container) == sentence


def test_data_may_be_named_as_a_source(control: Control) -> None:
    control.upload()
    container = {"Image": IMAGE, "ModelDataSource": source()}

    control.call("CreateModel", ModelName="one", PrimaryContainer=container)

    said = control.call("DescribeModel", ModelName="one")
    assert said["PrimaryContainer"]["ModelDataSource"] == source()


def test_data_may_be_an_unpacked_folder(control: Control) -> None:
    control.upload("s3://models/loose/model.joblib")
    loose = {"S3Uri": "s3://models/loose/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    container = {"Image": IMAGE, "ModelDataSource": {"S3DataSource": loose}}

    control.call("CreateModel", ModelName="one", PrimaryContainer=container)


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    "fields",
    [
        {"PrimaryContainer": {"Image": "pytorch:2", "ModelDataUrl": "s3://models/none"}},
        {"PrimaryContainer": {"Image": "pytorch:2"}},
        {"PrimaryContainer": {"Image": IMAGE}},
        {"PrimaryContainer": {"ModelPackageName": PACKAGE_OF_OTHERS}},
        {"Containers": [CONTAINER, {"Image": "pytorch:2"}]},
    ],
)
def test_what_cannot_run_here_is_taken_as_aws_takes_it(control: Control, fields: dict[str, Any]) -> None:
    control.call("CreateModel", ModelName="one", **fields)

    assert control.names(Kind.MODEL) == ["one"]


@pytest.mark.provenance("documented")
def test_the_models_below_a_prefix_may_come_later(control: Control) -> None:
    container = {"Image": IMAGE, "Mode": "MultiModel", "ModelDataUrl": "s3://models/many/"}

    control.call("CreateModel", ModelName="one", PrimaryContainer=container)


@pytest.mark.provenance("guess")
def test_many_models_need_a_prefix(control: Control) -> None:
    container = {"Image": IMAGE, "Mode": "MultiModel"}

    sentence = control.refusal("CreateModel", ModelName="one", PrimaryContainer=container)

    assert "MultiModel needs a ModelDataUrl" in sentence


@pytest.mark.provenance("botocore")
def test_the_environment_of_all_containers_has_a_limit_together(control: Control) -> None:
    control.upload()
    full = {f"N{number:03}": "x" * 1020 for number in range(16)}  # half of it, names included
    assert sum(len(name) + len(value) for name, value in full.items()) * 2 == MOST_ENVIRONMENT_BYTES
    containers = [{**CONTAINER, "Environment": full}, {"Image": "other", "Environment": full}]

    control.call("CreateModel", ModelName="full", Containers=containers)
    containers[0] = {**CONTAINER, "Environment": {**full, "Z": ""}}

    assert "32768 bytes" in control.refusal("CreateModel", ModelName="more", Containers=containers)


@pytest.mark.provenance("guess")
def test_a_tag_is_given_once(control: Control) -> None:
    control.upload()
    tags = [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]

    assert control.refusal("CreateModel", ModelName="one", PrimaryContainer=CONTAINER, Tags=tags) == (
        'The tag key "a" is given twice.'
    )
