"""Settings of buckets by stock boto3: kept and told as they were given, or refused as it would be a lie."""

import json
import secrets
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws.conftest import Stage
from tests.aws.test_s3 import client, refused


@pytest.fixture(scope="module")
def s3(stage: Stage) -> Any:
    return client(stage.url)


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"bucket-{secrets.token_hex(6)}"
    s3.create_bucket(Bucket=name)
    return name


_RULE = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": True}
_BLOCK = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": False,
}
_CORS = [{"AllowedMethods": ["GET"], "AllowedOrigins": ["https://a.example"], "MaxAgeSeconds": 3}]
_DAYS = [
    {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 3}},
    {
        "ID": "once",
        "Status": "Disabled",
        "Filter": {"And": {"Prefix": "a", "Tags": [{"Key": "k", "Value": "v"}]}},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    },
]
_SETTINGS = [
    (
        ("put_bucket_encryption", "get_bucket_encryption", "delete_bucket_encryption"),
        {"ServerSideEncryptionConfiguration": {"Rules": [_RULE]}},
        "ServerSideEncryptionConfigurationNotFoundError",
    ),
    (
        ("put_public_access_block", "get_public_access_block", "delete_public_access_block"),
        {"PublicAccessBlockConfiguration": _BLOCK},
        "NoSuchPublicAccessBlockConfiguration",
    ),
    (
        (
            "put_bucket_ownership_controls",
            "get_bucket_ownership_controls",
            "delete_bucket_ownership_controls",
        ),
        {"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}},
        "OwnershipControlsNotFoundError",
    ),
]


@pytest.mark.parametrize(("methods", "given", "unset"), _SETTINGS)
def test_a_setting_is_told_as_it_was_given_and_goes(
    s3: Any, bucket: str, methods: tuple[str, ...], given: dict[str, Any], unset: str
) -> None:
    put, get, delete = (getattr(s3, method) for method in methods)
    assert refused(get, Bucket=bucket) == (404, unset)
    put(Bucket=bucket, **given)
    found = get(Bucket=bucket)
    assert {member: found[member] for member in given} == given
    delete(Bucket=bucket)
    assert refused(get, Bucket=bucket) == (404, unset)


def test_rules_of_pages_and_of_lives_are_told_as_they_were_given(s3: Any, bucket: str) -> None:
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": _CORS})
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": _DAYS})
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == _CORS
    found = s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    assert (found["Rules"], found["TransitionDefaultMinimumObjectSize"]) == (
        _DAYS,
        "all_storage_classes_128K",
    )
    s3.delete_bucket_cors(Bucket=bucket)
    s3.delete_bucket_lifecycle(Bucket=bucket)
    assert refused(s3.get_bucket_cors, Bucket=bucket) == (404, "NoSuchCORSConfiguration")
    assert refused(s3.get_bucket_lifecycle_configuration, Bucket=bucket) == (
        404,
        "NoSuchLifecycleConfiguration",
    )


def test_a_policy_is_told_as_it_was_given(s3: Any, bucket: str) -> None:
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*"}]})
    assert refused(s3.get_bucket_policy, Bucket=bucket) == (404, "NoSuchBucketPolicy")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    assert s3.get_bucket_policy(Bucket=bucket)["Policy"] == policy
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"] == {"IsPublic": False}
    s3.delete_bucket_policy(Bucket=bucket)
    assert refused(s3.get_bucket_policy, Bucket=bucket) == (404, "NoSuchBucketPolicy")
    assert refused(s3.put_bucket_policy, Bucket=bucket, Policy="no policy") == (400, "MalformedPolicy")


def test_what_switches_off_is_kept_and_what_would_be_a_lie_is_refused(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"
    s3.put_bucket_accelerate_configuration(Bucket=bucket, AccelerateConfiguration={"Status": "Suspended"})
    assert s3.get_bucket_accelerate_configuration(Bucket=bucket)["Status"] == "Suspended"
    s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": "BucketOwner"})
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    s3.put_bucket_acl(Bucket=bucket, ACL="private")
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    s3.delete_bucket_website(Bucket=bucket)
    s3.delete_bucket_replication(Bucket=bucket)
    for call, members in (
        (s3.put_bucket_versioning, {"VersioningConfiguration": {"Status": "Enabled"}}),
        (s3.put_bucket_request_payment, {"RequestPaymentConfiguration": {"Payer": "Requester"}}),
        (
            s3.put_bucket_logging,
            {"BucketLoggingStatus": {"LoggingEnabled": {"TargetBucket": "b", "TargetPrefix": ""}}},
        ),
        (s3.put_bucket_website, {"WebsiteConfiguration": {"IndexDocument": {"Suffix": "index.html"}}}),
    ):
        assert refused(call, Bucket=bucket, **members) == (501, "NotImplemented")
    s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    s3.put_object_acl(Bucket=bucket, Key="k", ACL="private")
    for call, named in ((s3.put_bucket_acl, {}), (s3.put_object_acl, {"Key": "k"})):
        assert refused(call, Bucket=bucket, **named, ACL="public-read") == (
            400,
            "AccessControlListNotSupported",
        )
        by_header = refused(
            call, Bucket=bucket, **named, GrantRead='uri="http://acs.amazonaws.com/groups/all"'
        )
        assert by_header == (400, "AccessControlListNotSupported")
        kept = s3.get_bucket_acl(Bucket=bucket)
        policy = {"Owner": kept["Owner"], "Grants": kept["Grants"]}
        call(Bucket=bucket, **named, AccessControlPolicy=policy)
        everybody = {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"}
        policy = {**policy, "Grants": [{"Grantee": everybody, "Permission": "READ"}]}
        by_body = refused(call, Bucket=bucket, **named, AccessControlPolicy=policy)
        assert by_body == (400, "AccessControlListNotSupported")
    assert refused(s3.put_object_acl, Bucket=bucket, Key="none", ACL="private") == (404, "NoSuchKey")


def test_settings_go_with_their_bucket(s3: Any, bucket: str) -> None:
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=_BLOCK)
    s3.delete_bucket(Bucket=bucket)
    with pytest.raises(ClientError):
        s3.get_public_access_block(Bucket=bucket)
    s3.create_bucket(Bucket=bucket)
    assert refused(s3.get_public_access_block, Bucket=bucket)[1] == "NoSuchPublicAccessBlockConfiguration"
