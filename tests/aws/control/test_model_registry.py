"""A model registry by stock boto3: versions in groups, approved, deployed, and taken away."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws.control.conftest import IMAGE, ROLE, Account, script, variant


def registered(account: Account, group: str, answer: str) -> str:
    data = account.put(f"{group}/{answer}.tar.gz", {"inference.py": script(answer)})
    made = account.sagemaker.create_model_package(
        ModelPackageGroupName=group,
        InferenceSpecification={"Containers": [{"Image": IMAGE, "ModelDataUrl": data}]},
    )
    return str(made["ModelPackageArn"])


def versions(client: Any, **filters: Any) -> list[int]:
    pages = client.get_paginator("list_model_packages").paginate(**filters, PaginationConfig={"PageSize": 1})
    return [each["ModelPackageVersion"] for page in pages for each in page["ModelPackageSummaryList"]]


def test_a_version_is_approved_deployed_and_answers(account: Account) -> None:
    client, group = account.sagemaker, account.name("group")
    client.create_model_package_group(ModelPackageGroupName=group)
    packages = [registered(account, group, answer) for answer in ("one", "two")]
    client.update_model_package(ModelPackageArn=packages[1], ModelApprovalStatus="Approved")
    assert versions(client, ModelPackageGroupName=group) == [2, 1]
    assert versions(client, ModelPackageGroupName=group, ModelApprovalStatus="Approved") == [2]
    model = account.name("registered")

    client.create_model(
        ModelName=model, ExecutionRoleArn=ROLE, Containers=[{"ModelPackageName": packages[1]}]
    )
    endpoint = account.endpoint(variant("a", model))

    answer = account.runtime.invoke_endpoint(EndpointName=endpoint, Body=b"x")
    assert answer["Body"].read() == b"two"
    described = client.describe_model_package(ModelPackageName=packages[1])
    assert described["ModelApprovalStatus"] == "Approved"
    approved = {"Name": "ModelApprovalStatus", "Operator": "Equals", "Value": "Approved"}
    own = {"Name": "ModelPackageGroupName", "Operator": "Equals", "Value": group}
    results = client.search(Resource="ModelPackage", SearchExpression={"Filters": [own, approved]})["Results"]
    assert [each["ModelPackage"]["ModelPackageArn"] for each in results] == [packages[1]]
    told = client.batch_describe_model_package(ModelPackageArnList=packages)
    assert told["ModelPackageSummaries"].keys() == set(packages)


def test_a_group_goes_when_its_packages_are_gone(account: Account) -> None:
    client, group = account.sagemaker, account.name("group")
    client.create_model_package_group(ModelPackageGroupName=group)
    client.put_model_package_group_policy(ModelPackageGroupName=group, ResourcePolicy="{}")
    assert client.get_model_package_group_policy(ModelPackageGroupName=group)["ResourcePolicy"] == "{}"
    client.delete_model_package_group_policy(ModelPackageGroupName=group)
    package = registered(account, group, "one")
    with pytest.raises(client.exceptions.ConflictException):
        client.delete_model_package_group(ModelPackageGroupName=group)

    client.delete_model_package(ModelPackageName=package)
    client.delete_model_package_group(ModelPackageGroupName=group)

    found = client.list_model_package_groups(NameContains=group)
    assert found["ModelPackageGroupSummaryList"] == []
    with pytest.raises(ClientError, match=r"does not exist\.$") as refused:
        client.describe_model_package_group(ModelPackageGroupName=group)
    assert refused.value.response["Error"]["Code"] == "ValidationException"
