"""Roles, policies and who somebody is, by stock boto3: as Terraform and SDKs ask for them."""

import json
import secrets
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.conftest import RunningServer, StartServer

_KEYS = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "y"}
_ACCOUNT = "000000000000"
_FULL_ACCESS = "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
        }
    ],
}
_READS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:Get*"], "Resource": "*"}],
}


@pytest.fixture(scope="module")
def server(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> RunningServer:
    folder = tmp_path_factory.mktemp("identity") / "models"
    folder.mkdir()
    return start_server(folder, gateways=2)


def client(server: RunningServer, service: str, **keys: str) -> Any:
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=30, read_timeout=60)
    return boto3.client(service, endpoint_url=server.url, config=config, **{**_KEYS, **keys})


@pytest.fixture(scope="module")
def iam(server: RunningServer) -> Any:
    return client(server, "iam")


@pytest.fixture
def role(iam: Any) -> str:
    name = f"role-{secrets.token_hex(6)}"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(_TRUST))
    return name


def refused(call: Any, **members: Any) -> tuple[int, str]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    response = caught.value.response
    assert response["Error"]["Message"]
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def test_a_role_lives_as_terraform_has_it(iam: Any) -> None:
    name = f"tf-{secrets.token_hex(6)}"
    made = iam.create_role(
        RoleName=name,
        Path="/service-role/",
        AssumeRolePolicyDocument=json.dumps(_TRUST),
        Description="runs models",
        MaxSessionDuration=7200,
        Tags=[{"Key": "team", "Value": "a=b"}],
    )["Role"]

    assert made["Arn"] == f"arn:aws:iam::{_ACCOUNT}:role/service-role/{name}"
    assert made["RoleId"].startswith("AROA")
    shown = iam.get_role(RoleName=name)["Role"]
    assert shown["AssumeRolePolicyDocument"] == _TRUST
    assert (shown["Description"], shown["MaxSessionDuration"]) == ("runs models", 7200)
    assert shown["Tags"] == [{"Key": "team", "Value": "a=b"}]
    assert shown["CreateDate"] == made["CreateDate"]
    assert name in [role["RoleName"] for role in iam.list_roles(PathPrefix="/service-role/")["Roles"]]
    iam.update_role(RoleName=name, Description="other", MaxSessionDuration=3600)
    iam.update_role_description(RoleName=name, Description="again")
    other = {**_TRUST, "Statement": []}
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(other))
    iam.tag_role(RoleName=name, Tags=[{"Key": "b", "Value": "2"}])
    iam.untag_role(RoleName=name, TagKeys=["team"])
    shown = iam.get_role(RoleName=name)["Role"]
    assert (shown["Description"], shown["AssumeRolePolicyDocument"]) == ("again", other)
    assert iam.list_role_tags(RoleName=name)["Tags"] == shown["Tags"] == [{"Key": "b", "Value": "2"}]
    assert iam.list_instance_profiles_for_role(RoleName=name)["InstanceProfiles"] == []
    iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=_FULL_ACCESS)
    boundary = iam.get_role(RoleName=name)["Role"]["PermissionsBoundary"]
    assert boundary["PermissionsBoundaryArn"] == _FULL_ACCESS
    iam.delete_role_permissions_boundary(RoleName=name)
    iam.delete_role(RoleName=name)
    assert refused(iam.get_role, RoleName=name) == (404, "NoSuchEntity")


def test_a_role_has_policies_of_its_own_and_attached_ones(iam: Any, role: str) -> None:
    iam.put_role_policy(RoleName=role, PolicyName="own", PolicyDocument=json.dumps(_READS))
    iam.attach_role_policy(RoleName=role, PolicyArn=_FULL_ACCESS)

    assert iam.list_role_policies(RoleName=role)["PolicyNames"] == ["own"]
    assert iam.get_role_policy(RoleName=role, PolicyName="own")["PolicyDocument"] == _READS
    attached = {"PolicyName": "AmazonSageMakerFullAccess", "PolicyArn": _FULL_ACCESS}
    assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == [attached]
    assert refused(iam.delete_role, RoleName=role) == (409, "DeleteConflict")
    iam.detach_role_policy(RoleName=role, PolicyArn=_FULL_ACCESS)
    assert refused(iam.delete_role, RoleName=role) == (409, "DeleteConflict")
    iam.delete_role_policy(RoleName=role, PolicyName="own")
    iam.delete_role(RoleName=role)


def test_a_policy_lives_as_terraform_has_it(iam: Any, role: str) -> None:
    name = f"policy-{secrets.token_hex(6)}"
    arn = iam.create_policy(
        PolicyName=name, PolicyDocument=json.dumps(_READS), Tags=[{"Key": "a", "Value": "1"}]
    )["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=role, PolicyArn=arn)
    other = {**_READS, "Statement": []}

    assert arn == f"arn:aws:iam::{_ACCOUNT}:policy/{name}"
    shown = iam.get_policy(PolicyArn=arn)["Policy"]
    assert (shown["DefaultVersionId"], shown["AttachmentCount"]) == ("v1", 1)
    assert iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"] == _READS
    made = iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(other), SetAsDefault=True)
    assert made["PolicyVersion"]["VersionId"] == "v2"
    versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert [(each["VersionId"], each["IsDefaultVersion"]) for each in versions] == [
        ("v2", True),
        ("v1", False),
    ]
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    assert refused(iam.delete_policy_version, PolicyArn=arn, VersionId="v1") == (409, "DeleteConflict")
    iam.delete_policy_version(PolicyArn=arn, VersionId="v2")
    iam.tag_policy(PolicyArn=arn, Tags=[{"Key": "b", "Value": "2"}])
    iam.untag_policy(PolicyArn=arn, TagKeys=["a"])
    assert iam.list_policy_tags(PolicyArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
    assert arn in [
        policy["Arn"] for policy in iam.list_policies(Scope="Local", OnlyAttached=True)["Policies"]
    ]
    assert [one["RoleName"] for one in iam.list_entities_for_policy(PolicyArn=arn)["PolicyRoles"]] == [role]
    assert refused(iam.delete_policy, PolicyArn=arn) == (409, "DeleteConflict")
    iam.detach_role_policy(RoleName=role, PolicyArn=arn)
    iam.delete_policy(PolicyArn=arn)
    assert refused(iam.get_policy, PolicyArn=arn) == (404, "NoSuchEntity")


def test_lists_come_in_pages(iam: Any) -> None:
    names = {f"page-{secrets.token_hex(6)}" for _ in range(3)}
    for name in names:
        iam.create_role(RoleName=name, Path="/pages/", AssumeRolePolicyDocument=json.dumps(_TRUST))

    pages = iam.get_paginator("list_roles").paginate(PathPrefix="/pages/", PaginationConfig={"PageSize": 2})
    assert [role["RoleName"] for page in pages for role in page["Roles"]] == sorted(names)


@pytest.mark.provenance("documented")
def test_errors_are_those_of_iam(iam: Any, role: str) -> None:
    trust = json.dumps(_TRUST)
    own = iam.list_policies(Scope="AWS")["Policies"]
    for call, members, status, code in (
        (iam.create_role, {"RoleName": role, "AssumeRolePolicyDocument": trust}, 409, "EntityAlreadyExists"),
        (iam.create_role, {"RoleName": "x", "AssumeRolePolicyDocument": "{"}, 400, "MalformedPolicyDocument"),
        (iam.create_role, {"RoleName": "a b", "AssumeRolePolicyDocument": trust}, 400, "ValidationError"),
        (iam.delete_role, {"RoleName": "nobody"}, 404, "NoSuchEntity"),
        (iam.get_role_policy, {"RoleName": role, "PolicyName": "none"}, 404, "NoSuchEntity"),
        (
            iam.attach_role_policy,
            {"RoleName": role, "PolicyArn": f"{_FULL_ACCESS[:20]}x/y"},
            404,
            "NoSuchEntity",
        ),
        (iam.detach_role_policy, {"RoleName": role, "PolicyArn": _FULL_ACCESS}, 404, "NoSuchEntity"),
        (iam.delete_policy, {"PolicyArn": _FULL_ACCESS}, 400, "InvalidInput"),
        (iam.list_roles, {"Marker": "x"}, 400, "ValidationError"),
        (iam.create_user, {"UserName": "u"}, 403, "AccessDenied"),
    ):
        assert refused(call, **members) == (status, code), members
    assert own == []


def test_every_action_is_allowed_since_nothing_is_enforced(iam: Any) -> None:
    found = iam.simulate_principal_policy(
        PolicySourceArn=f"arn:aws:iam::{_ACCOUNT}:role/any",
        ActionNames=["s3:GetObject", "sagemaker:CreateModel"],
        ResourceArns=["*"],
    )["EvaluationResults"]

    assert [(each["EvalActionName"], each["EvalDecision"]) for each in found] == [
        ("s3:GetObject", "allowed"),
        ("sagemaker:CreateModel", "allowed"),
    ]


def test_the_role_that_a_caller_has_assumed_is_there_for_sdks_that_look_it_up(
    server: RunningServer, iam: Any
) -> None:
    arn = client(server, "sts").get_caller_identity()["Arn"]
    name = arn.split("/")[1]

    assert arn.startswith(f"arn:aws:sts::{_ACCOUNT}:assumed-role/")
    assert iam.get_role(RoleName=name)["Role"]["Arn"] == f"arn:aws:iam::{_ACCOUNT}:role/{name}"


def test_credentials_of_a_role_are_those_of_a_session(server: RunningServer) -> None:
    sts = client(server, "sts")
    made = sts.assume_role(
        RoleArn=f"arn:aws:iam::{_ACCOUNT}:role/path/worker", RoleSessionName="night", DurationSeconds=900
    )

    assert made["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{_ACCOUNT}:assumed-role/worker/night"
    left = made["Credentials"]["Expiration"] - sts.get_session_token()["Credentials"]["Expiration"]
    assert left.total_seconds() < 0
    assert sts.get_access_key_info(AccessKeyId=made["Credentials"]["AccessKeyId"])["Account"] == _ACCOUNT
    assert refused(sts.assume_role, RoleArn="arn:aws:iam::no-role-at-all", RoleSessionName="n-1")[0] == 400


def test_roles_outlive_the_server(
    start_server: StartServer, server: RunningServer, iam: Any, role: str
) -> None:
    other = client(server, "iam").get_role(RoleName=role)["Role"]
    server.stop()
    after = start_server(server.models, server.data, gateways=1)

    assert client(after, "iam").get_role(RoleName=role)["Role"] == other
