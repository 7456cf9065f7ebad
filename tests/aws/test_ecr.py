"""ECR by stock boto3: repositories are kept, without images."""

import base64
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.aws.conftest import ACCOUNT, Stage


@pytest.fixture(scope="module")
def ecr(stage: Stage) -> Any:
    return boto3.client(
        "ecr",
        endpoint_url=stage.url,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="y",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=30, read_timeout=60),
    )


def test_a_repository_is_made_described_changed_and_goes(ecr: Any) -> None:
    made = ecr.create_repository(
        repositoryName="team/model",
        imageTagMutability="IMMUTABLE",
        imageScanningConfiguration={"scanOnPush": True},
        tags=[{"Key": "a", "Value": "b"}],
    )["repository"]
    (found,) = ecr.describe_repositories(repositoryNames=["team/model"])["repositories"]
    assert found == made
    arn = f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/team/model"
    assert (found["repositoryArn"], found["registryId"]) == (arn, ACCOUNT)
    assert found["repositoryUri"] == f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/team/model"
    assert found["imageTagMutability"] == "IMMUTABLE"
    ecr.put_image_tag_mutability(repositoryName="team/model", imageTagMutability="MUTABLE")
    ecr.put_image_scanning_configuration(
        repositoryName="team/model", imageScanningConfiguration={"scanOnPush": False}
    )
    ecr.tag_resource(resourceArn=arn, tags=[{"Key": "c", "Value": "d"}])
    ecr.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert ecr.list_tags_for_resource(resourceArn=arn)["tags"] == [{"Key": "c", "Value": "d"}]
    (changed,) = ecr.describe_repositories(repositoryNames=["team/model"])["repositories"]
    assert (changed["imageTagMutability"], changed["imageScanningConfiguration"]) == (
        "MUTABLE",
        {"scanOnPush": False},
    )
    assert ecr.describe_images(repositoryName="team/model")["imageDetails"] == []
    assert ecr.list_images(repositoryName="team/model")["imageIds"] == []
    ecr.delete_repository(repositoryName="team/model")
    with pytest.raises(ecr.exceptions.RepositoryNotFoundException):
        ecr.delete_repository(repositoryName="team/model")


def test_repositories_come_in_pages(ecr: Any) -> None:
    names = [f"page-{number}" for number in range(5)]
    for name in names:
        ecr.create_repository(repositoryName=name)
    pages = ecr.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": 2})
    found = [one["repositoryName"] for page in pages for one in page["repositories"]]
    assert [name for name in found if name.startswith("page-")] == names
    for name in names:
        ecr.delete_repository(repositoryName=name)


@pytest.mark.provenance("botocore")
def test_what_is_not_there_or_there_already_is_told(ecr: Any) -> None:
    errors = ecr.exceptions
    with pytest.raises(errors.RepositoryNotFoundException):
        ecr.describe_repositories(repositoryNames=["none"])
    with pytest.raises(errors.RepositoryNotFoundException):
        ecr.describe_repositories(registryId="111111111111")
    ecr.create_repository(repositoryName="twice")
    with pytest.raises(errors.RepositoryAlreadyExistsException):
        ecr.create_repository(repositoryName="twice")
    with pytest.raises(errors.ImageNotFoundException):
        ecr.describe_images(repositoryName="twice", imageIds=[{"imageTag": "latest"}])
    with pytest.raises(errors.InvalidParameterException):
        ecr.list_tags_for_resource(resourceArn="nonsense")
    ecr.delete_repository(repositoryName="twice")


def test_a_token_has_the_form_of_aws(ecr: Any) -> None:
    (found,) = ecr.get_authorization_token()["authorizationData"]
    user, _, password = base64.b64decode(found["authorizationToken"]).decode().partition(":")
    assert (user, bool(password)) == ("AWS", True)
    assert found["proxyEndpoint"] == f"https://{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"
