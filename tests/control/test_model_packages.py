"""Model packages, their groups, and models that are made of them."""

from datetime import timedelta
from typing import Any

import pytest

from service.domain.endpoint import Variant
from service.domain.kinds import Kind
from service.errors import ServiceFault
from tests.control.conftest import DATA, IMAGE, NOON, Control, arn

GROUP = "flowers"
GROUP_ARN = arn(Kind.MODEL_PACKAGE_GROUP, GROUP)
CONTAINER = {"Image": IMAGE, "ModelDataUrl": DATA}
SPECIFICATION = {"Containers": [CONTAINER]}


def package_arn(name: str) -> str:
    return arn(Kind.MODEL_PACKAGE, name)


def make_group(control: Control, name: str = GROUP, **more: Any) -> None:
    control.call("CreateModelPackageGroup", ModelPackageGroupName=name, **more)


def register(control: Control, group: str = GROUP, **more: Any) -> str:
    """The ARN of the next version of a group."""
    fields = {"InferenceSpecification": SPECIFICATION, **more}
    made = control.call("CreateModelPackage", ModelPackageGroupName=group, **fields)
    return str(made["ModelPackageArn"])


def describe(control: Control, name: str, **more: Any) -> dict[str, Any]:
    return control.call("DescribeModelPackage", ModelPackageName=name, **more)


def listed(control: Control, **filters: Any) -> list[str]:
    """The ends of the ARNs of a list."""
    found = control.call("ListModelPackages", **filters)["ModelPackageSummaryList"]
    return [each["ModelPackageArn"].partition(":model-package/")[2] for each in found]


def made(control: Control) -> Variant:
    """The one variant of an endpoint of the model `one`."""
    control.create_config()
    control.create_endpoint()
    pending = control.endpoint().pending
    assert pending is not None
    return pending.variants[0]


@pytest.mark.provenance("observed")
def test_a_group_is_described_as_it_was_made(control: Control) -> None:
    make_group(control, ModelPackageGroupDescription="iris", Tags=[{"Key": "a", "Value": "b"}])

    assert control.call("DescribeModelPackageGroup", ModelPackageGroupName=GROUP) == {
        "ModelPackageGroupName": GROUP,
        "ModelPackageGroupArn": GROUP_ARN,
        "ModelPackageGroupDescription": "iris",
        "CreationTime": NOON,
        "CreatedBy": {},
        "ModelPackageGroupStatus": "Completed",
    }
    assert control.call("DescribeModelPackageGroup", ModelPackageGroupName=GROUP_ARN)["CreationTime"] == NOON
    assert control.call("ListTags", ResourceArn=GROUP_ARN) == {"Tags": [{"Key": "a", "Value": "b"}]}
    (summary,) = control.call("ListModelPackageGroups")["ModelPackageGroupSummaryList"]
    assert summary == {
        "ModelPackageGroupName": GROUP,
        "ModelPackageGroupArn": GROUP_ARN,
        "ModelPackageGroupDescription": "iris",
        "CreationTime": NOON,
        "ModelPackageGroupStatus": "Completed",
    }
    shared = control.call("ListModelPackageGroups", CrossAccountFilterOption="CrossAccount")
    assert shared == {"ModelPackageGroupSummaryList": []}


@pytest.mark.provenance("observed")
def test_a_group_exists_once(control: Control) -> None:
    make_group(control)

    assert control.refusal("CreateModelPackageGroup", ModelPackageGroupName=GROUP) == (
        f"Model Package Group already exists: {GROUP_ARN}"
    )


@pytest.mark.provenance("observed")
@pytest.mark.parametrize("operation", ["DescribeModelPackageGroup", "DeleteModelPackageGroup"])
def test_a_group_that_is_not_there_does_not_exist(control: Control, operation: str) -> None:
    said = f"ModelPackageGroup {GROUP_ARN} does not exist."

    assert control.refusal(operation, ModelPackageGroupName=GROUP) == said
    assert control.refusal("ListModelPackages", ModelPackageGroupName=GROUP) == said
    assert control.refusal("CreateModelPackage", ModelPackageGroupName=GROUP) == said


@pytest.mark.provenance("documented")
def test_a_group_with_packages_cannot_be_deleted(control: Control) -> None:
    make_group(control)
    version = register(control)
    make_group(control, "flower")

    control.call("DeleteModelPackageGroup", ModelPackageGroupName="flower")
    with pytest.raises(ServiceFault) as refused:
        control.call("DeleteModelPackageGroup", ModelPackageGroupName=GROUP)
    assert refused.value.code == "ConflictException"

    control.call("DeleteModelPackage", ModelPackageName=version)
    control.call("DeleteModelPackageGroup", ModelPackageGroupName=GROUP)


@pytest.mark.provenance("observed")
def test_a_group_has_a_policy_once_it_was_given_one(control: Control) -> None:
    named = {"ModelPackageGroupName": GROUP}
    for operation in ("GetModelPackageGroupPolicy", "DeleteModelPackageGroupPolicy"):
        assert control.refusal(operation, **named) == f"Cannot find Model Package Group: {GROUP_ARN}"
    make_group(control)
    assert control.refusal("GetModelPackageGroupPolicy", **named) == (
        f"Cannot find resource policy for: {GROUP_ARN}"
    )

    put = control.call("PutModelPackageGroupPolicy", **named, ResourcePolicy="{}")
    assert put == {"ModelPackageGroupArn": GROUP_ARN}
    register(control)
    assert control.call("GetModelPackageGroupPolicy", **named) == {"ResourcePolicy": "{}"}
    control.call("DeleteModelPackageGroupPolicy", **named)
    assert control.refusal("DeleteModelPackageGroupPolicy", **named).startswith("Cannot find resource policy")


@pytest.mark.provenance("botocore")
def test_a_version_is_described_by_the_name_of_its_group(control: Control) -> None:
    make_group(control)
    told: dict[str, Any] = {
        "ModelPackageDescription": "first",
        "CustomerMetadataProperties": {"a": "b"},
        "Task": "OTHER",
    }

    assert register(control, **told, ClientToken="x") == package_arn("flowers/1")

    assert describe(control, package_arn("flowers/1")) == {
        **told,
        "ModelPackageName": GROUP,
        "ModelPackageGroupName": GROUP,
        "ModelPackageVersion": 1,
        "ModelPackageArn": package_arn("flowers/1"),
        "InferenceSpecification": SPECIFICATION,
        "CreationTime": NOON,
        "CreatedBy": {},
        "CertifyForMarketplace": False,
        "ModelApprovalStatus": "PendingManualApproval",
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
    }
    assert describe(control, "flowers/1")["ModelPackageVersion"] == 1


def test_versions_count_on_and_no_number_comes_twice(control: Control) -> None:
    make_group(control)
    first, second = register(control, GROUP_ARN), register(control)
    control.call("DeleteModelPackage", ModelPackageName=second)

    third = register(control)

    assert [each.rpartition("/")[2] for each in (first, second, third)] == ["1", "2", "3"]
    assert listed(control, ModelPackageGroupName=GROUP, SortBy="Name") == ["flowers/3", "flowers/1"]


@pytest.mark.provenance("documented")
def test_a_package_of_no_group_has_a_name_and_no_approval(control: Control) -> None:
    control.call("CreateModelPackage", ModelPackageName="alone", InferenceSpecification=SPECIFICATION)

    told = describe(control, "alone")

    assert (told["ModelPackageName"], told["ModelPackageArn"]) == ("alone", package_arn("alone"))
    assert "ModelApprovalStatus" not in told
    assert control.refusal("CreateModelPackage", ModelPackageName="alone") == (
        f"Model Package already exists: {package_arn('alone')}"
    )


@pytest.mark.provenance("observed")
def test_a_package_has_one_name(control: Control) -> None:
    assert control.refusal("CreateModelPackage", ModelPackageName="a", ModelPackageGroupName="b") == (
        "Both ModelPackageName and ModelPackageGroupName are provided in the input. "
        "Cannot determine which one to use."
    )
    assert control.refusal("CreateModelPackage") == "Missing ARN."


@pytest.mark.provenance("observed")
@pytest.mark.parametrize("name", ["none", "none/1", package_arn("none/1")])
def test_a_package_that_is_not_there_does_not_exist(control: Control, name: str) -> None:
    whole = package_arn(name.partition(":model-package/")[2] or name)
    said = f"ModelPackage {whole} does not exist."

    assert control.refusal("DescribeModelPackage", ModelPackageName=name) == said
    assert control.refusal("DeleteModelPackage", ModelPackageName=name) == said
    assert control.refusal("UpdateModelPackage", ModelPackageArn=whole) == said
    assert control.refusal("CreateModel", ModelName="m", PrimaryContainer={"ModelPackageName": name}) == said


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    "begin",
    [
        "arn:aws:sagemaker:us-east-1:999999999999",
        "arn:aws:sagemaker:ap-south-1:{account}",
        "arn:aws-cn:sagemaker:us-east-1:{account}",
    ],
)
def test_an_arn_of_elsewhere_is_that_of_nothing_here(control: Control, begin: str) -> None:
    make_group(control)
    register(control)
    group = f"{begin.format(account=GROUP_ARN.split(':')[4])}:model-package-group/{GROUP}"
    package = f"{group.replace('-group/', '/')}/1"
    no_group = f"ModelPackageGroup {group} does not exist."
    no_package = f"ModelPackage {package} does not exist."

    for operation in ("DescribeModelPackageGroup", "DeleteModelPackageGroup", "CreateModelPackage"):
        assert control.refusal(operation, ModelPackageGroupName=group) == no_group
    assert control.refusal("ListModelPackages", ModelPackageGroupName=group) == no_group
    assert control.refusal("DescribeModelPackage", ModelPackageName=package) == no_package
    assert control.refusal("DeleteModelPackage", ModelPackageName=package) == no_package
    assert control.refusal("UpdateModelPackage", ModelPackageArn=package) == no_package
    assert listed(control, ModelPackageGroupName=GROUP_ARN) == [f"{GROUP}/1"]


@pytest.mark.provenance("documented")
def test_lists_have_packages_of_no_group_unless_others_are_asked_for(control: Control) -> None:
    make_group(control)
    make_group(control, "flowers-b")
    register(control)
    register(control, "flowers-b")
    control.call("CreateModelPackage", ModelPackageName="alone")

    assert listed(control) == ["alone"]
    assert listed(control, ModelPackageGroupName=GROUP) == ["flowers/1"]
    assert listed(control, ModelPackageType="Versioned", SortBy="Name", SortOrder="Ascending") == [
        "flowers-b/1",
        "flowers/1",
    ]
    assert sorted(listed(control, ModelPackageType="Both")) == ["alone", "flowers-b/1", "flowers/1"]
    assert listed(control, ModelPackageType="Both", NameContains="wers-b") == ["flowers-b/1"]
    assert listed(control, ModelPackageGroupName=GROUP, ModelPackageType="Unversioned") == []


def test_lists_are_filtered_by_approval_in_pages(control: Control) -> None:
    make_group(control)
    for number in range(5):
        register(control, ModelApprovalStatus="Approved" if number % 2 == 0 else "Rejected")
        control.clock.advance(1)
    asked = {"ModelPackageGroupName": GROUP, "ModelApprovalStatus": "Approved", "MaxResults": 2}

    page = control.call("ListModelPackages", **asked)
    rest = control.call("ListModelPackages", **asked, NextToken=page["NextToken"])

    found = page["ModelPackageSummaryList"] + rest["ModelPackageSummaryList"]
    assert [each["ModelPackageVersion"] for each in found] == [5, 3, 1]
    assert found[0] == {
        "ModelPackageGroupName": GROUP,
        "ModelPackageVersion": 5,
        "ModelPackageArn": package_arn("flowers/5"),
        "CreationTime": NOON + timedelta(seconds=4),
        "ModelPackageStatus": "Completed",
        "ModelApprovalStatus": "Approved",
    }
    other = {**asked, "ModelApprovalStatus": "Rejected", "NextToken": page["NextToken"]}
    assert "other filters" in control.refusal("ListModelPackages", **other)


@pytest.mark.provenance("botocore")
def test_an_update_approves_adds_and_replaces(control: Control) -> None:
    make_group(control)
    package = register(control, CustomerMetadataProperties={"a": "1", "b": "2"})
    control.clock.advance(5)

    changed = control.call(
        "UpdateModelPackage",
        ModelPackageArn=package,
        ModelApprovalStatus="Approved",
        ApprovalDescription="good",
        CustomerMetadataProperties={"c": "3"},
        CustomerMetadataPropertiesToRemove=["a"],
        AdditionalInferenceSpecificationsToAdd=[{"Name": "other", "Containers": [CONTAINER]}],
        ClientToken="x",
    )

    assert changed == {"ModelPackageArn": package}
    told = describe(control, package)
    assert told["ModelApprovalStatus"] == "Approved"
    assert told["ApprovalDescription"] == "good"
    assert told["CustomerMetadataProperties"] == {"b": "2", "c": "3"}
    assert [each["Name"] for each in told["AdditionalInferenceSpecifications"]] == ["other"]
    assert told["LastModifiedTime"] == NOON + timedelta(seconds=5)
    assert "ClientToken" not in told
    twice = {"AdditionalInferenceSpecificationsToAdd": [{"Name": "other", "Containers": [CONTAINER]}]}
    assert "already has" in control.refusal("UpdateModelPackage", ModelPackageArn=package, **twice)


def test_what_is_added_is_limited_with_what_is_there(control: Control) -> None:
    make_group(control)
    package = register(control, CustomerMetadataProperties={str(number): "x" for number in range(50)})

    more = {"CustomerMetadataProperties": {"one": "too many"}}
    assert "at most 50" in control.refusal("UpdateModelPackage", ModelPackageArn=package, **more)
    many = [{"Name": f"n{number}", "Containers": [CONTAINER]} for number in range(15)]
    control.call("UpdateModelPackage", ModelPackageArn=package, AdditionalInferenceSpecificationsToAdd=many)
    one = [{"Name": "one", "Containers": [CONTAINER]}]
    assert "at most 15" in control.refusal(
        "UpdateModelPackage", ModelPackageArn=package, AdditionalInferenceSpecificationsToAdd=one
    )


@pytest.mark.provenance("documented")
def test_the_text_of_a_card_is_left_out_where_only_what_is_about_it_is_asked_for(control: Control) -> None:
    make_group(control)
    package = register(control, ModelCard={"ModelCardContent": "{}", "ModelCardStatus": "Draft"})

    assert describe(control, package)["ModelCard"]["ModelCardContent"] == "{}"
    assert describe(control, package, IncludedData="MetadataOnly")["ModelCard"] == {
        "ModelCardStatus": "Draft"
    }


def test_many_are_described_at_once_and_those_that_are_missing_told(control: Control) -> None:
    make_group(control)
    package, missing = register(control), package_arn("none/1")

    found = control.call("BatchDescribeModelPackage", ModelPackageArnList=[package, missing])

    assert found["ModelPackageSummaries"].keys() == {package}
    assert found["ModelPackageSummaries"][package]["InferenceSpecification"] == SPECIFICATION
    assert found["BatchDescribeModelPackageErrorMap"] == {
        missing: {
            "ErrorCode": "ValidationException",
            "ErrorResponse": f"ModelPackage {missing} does not exist.",
        }
    }


def test_packages_have_tags(control: Control) -> None:
    make_group(control)
    package = register(control, Tags=[{"Key": "a", "Value": "b"}])

    control.call("AddTags", ResourceArn=package, Tags=[{"Key": "c", "Value": "d"}])
    control.call("DeleteTags", ResourceArn=package, TagKeys=["a"])

    assert control.call("ListTags", ResourceArn=package) == {"Tags": [{"Key": "c", "Value": "d"}]}


def test_a_model_of_a_package_serves_and_outlives_it(control: Control) -> None:
    control.upload()
    make_group(control)
    package = register(control)
    control.call("CreateModel", ModelName="one", Containers=[{"ModelPackageName": package}])
    control.call("DeleteModelPackage", ModelPackageName=package)

    assert made(control).source.location == DATA
    said = control.call("DescribeModel", ModelName="one")
    assert said["Containers"] == [{"ModelPackageName": package, "Mode": "SingleModel"}]


def test_a_container_of_a_package_keeps_what_its_model_says(control: Control) -> None:
    control.upload()
    make_group(control)
    inside = {**CONTAINER, "Environment": {"A": "package", "B": "package"}}
    package = register(control, InferenceSpecification={"Containers": [inside]})
    asked = {"ModelPackageName": package, "Environment": {"A": "model"}, "ContainerHostname": "first"}
    second = {"ModelPackageName": package, "ContainerHostname": "second"}
    control.call("CreateModel", ModelName="one", Containers=[asked, second])

    first, other = made(control).source.stages
    assert (first.name, dict(first.source.environment)) == ("first", {"A": "model", "B": "package"})
    assert (other.name, dict(other.source.environment)) == ("second", {"A": "package", "B": "package"})


def test_a_package_of_several_containers_is_a_pipeline(control: Control) -> None:
    control.upload()
    make_group(control)
    package = register(control, InferenceSpecification={"Containers": [CONTAINER, CONTAINER]})
    control.call("CreateModel", ModelName="one", PrimaryContainer={"ModelPackageName": package})

    assert len(made(control).source.stages) == 2


def test_a_model_may_be_of_another_specification(control: Control) -> None:
    control.upload("s3://models/two.tar.gz")
    make_group(control)
    other = {"Image": IMAGE, "ModelDataUrl": "s3://models/two.tar.gz"}
    package = register(control, AdditionalInferenceSpecifications=[{"Name": "other", "Containers": [other]}])
    container = {"ModelPackageName": package, "InferenceSpecificationName": "other"}
    control.call("CreateModel", ModelName="one", PrimaryContainer=container)

    assert made(control).source.location == other["ModelDataUrl"]
    wrong = {**container, "InferenceSpecificationName": "none"}
    assert "inference specification none" in control.refusal(
        "CreateModel", ModelName="two", PrimaryContainer=wrong
    )


def test_a_package_without_containers_makes_no_model(control: Control) -> None:
    make_group(control)
    made = control.call("CreateModelPackage", ModelPackageGroupName=GROUP, SourceUri="s3://models/any")

    container = {"ModelPackageName": made["ModelPackageArn"]}
    assert "has no inference specification" in control.refusal(
        "CreateModel", ModelName="one", PrimaryContainer=container
    )


def test_a_package_whose_data_are_gone_is_refused_as_a_model_is(control: Control) -> None:
    make_group(control)
    container = {"ModelPackageName": register(control)}

    assert control.refusal("CreateModel", ModelName="one", PrimaryContainer=container) == (
        f"Could not find model data at {DATA}."
    )


def test_a_batch_transform_has_the_data_of_a_package(control: Control) -> None:
    control.upload()
    make_group(control)
    container = {"ModelPackageName": register(control)}
    control.call("CreateModel", ModelName="one", PrimaryContainer=container)
    control.call(
        "CreateTransformJob",
        TransformJobName="job",
        ModelName="one",
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://models/in"}}
        },
        TransformOutput={"S3OutputPath": "s3://models/out"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )

    job = control.store.get(Kind.TRANSFORM_JOB, "job")
    assert job is not None
    assert job.state["location"] == DATA


def test_packages_outlive_a_restart(control: Control) -> None:
    make_group(control)
    package = register(control)

    control.reopen()

    assert describe(control, package)["ModelPackageVersion"] == 1
