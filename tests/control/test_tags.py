from typing import Any

import pytest

from service.control.tags import MOST_TAGS
from service.domain.kinds import Kind
from tests.control.conftest import DATA, IMAGE, Control, arn, variant
from tests.control.test_transform_jobs import request

ARN = arn(Kind.MODEL, "one")


def pairs(**tags: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tags_of(control: Control, resource: str = ARN) -> list[dict[str, str]]:
    tags: list[dict[str, str]] = control.call("ListTags", ResourceArn=resource)["Tags"]
    return tags


def test_tags_of_a_create_call_are_listed_and_not_described(control: Control) -> None:
    control.upload()
    container = {"Image": IMAGE, "ModelDataUrl": DATA}
    control.call("CreateModel", ModelName="one", PrimaryContainer=container, Tags=pairs(b="2", a="1"))

    assert tags_of(control) == pairs(b="2", a="1")
    assert "Tags" not in control.call("DescribeModel", ModelName="one")


@pytest.mark.provenance("documented")
def test_added_tags_are_new_or_take_the_place_of_their_namesakes(control: Control) -> None:
    control.create_model()
    assert tags_of(control) == []

    assert control.call("AddTags", ResourceArn=ARN, Tags=pairs(a="1", b="")) == {"Tags": pairs(a="1", b="")}
    answer = control.call("AddTags", ResourceArn=ARN, Tags=pairs(c="3", a="4"))

    assert answer == {"Tags": pairs(a="4", b="", c="3")}
    assert tags_of(control) == answer["Tags"]


@pytest.mark.provenance("documented")
def test_deleted_tags_need_not_be_there(control: Control) -> None:
    control.create_model()
    control.call("AddTags", ResourceArn=ARN, Tags=pairs(a="1", b="2", c="3"))

    assert control.call("DeleteTags", ResourceArn=ARN, TagKeys=["c", "none", "a"]) == {}

    assert tags_of(control) == pairs(b="2")


def test_each_kind_has_tags_and_a_deleted_resource_takes_its_own_along(control: Control) -> None:
    control.serve()
    for kind, name in ((Kind.MODEL, "one"), (Kind.ENDPOINT_CONFIG, "config"), (Kind.ENDPOINT, "iris")):
        control.call("AddTags", ResourceArn=arn(kind, name), Tags=pairs(kind=kind.value))
    for kind, name in ((Kind.MODEL, "one"), (Kind.ENDPOINT_CONFIG, "config"), (Kind.ENDPOINT, "iris")):
        assert tags_of(control, arn(kind, name)) == pairs(kind=kind.value)

    control.call("DeleteModel", ModelName="one")
    control.create_model()

    assert tags_of(control) == []


def test_a_tagged_endpoint_is_the_same_endpoint(control: Control) -> None:
    control.serve()
    before = control.describe()
    control.clock.advance(60)

    control.call("AddTags", ResourceArn=before["EndpointArn"], Tags=pairs(a="1"))

    assert control.describe() == before


@pytest.mark.provenance("botocore")
def test_a_resource_has_so_many_tags_and_no_more(control: Control) -> None:
    control.create_model()
    control.call("AddTags", ResourceArn=ARN, Tags=pairs(**{f"k{n}": "" for n in range(MOST_TAGS)}))

    assert "at most 50 tags" in control.refusal("AddTags", ResourceArn=ARN, Tags=pairs(more=""))
    control.call("AddTags", ResourceArn=ARN, Tags=pairs(k0="new"))
    assert len(tags_of(control)) == MOST_TAGS


@pytest.mark.provenance("guess")
def test_a_tag_is_given_once(control: Control) -> None:
    control.create_model()
    twice = [*pairs(a="1"), *pairs(a="2")]

    assert control.refusal("AddTags", ResourceArn=ARN, Tags=twice) == 'The tag key "a" is given twice.'


@pytest.mark.provenance("observed")
@pytest.mark.parametrize("operation", ["AddTags", "ListTags", "DeleteTags"])
def test_tags_are_those_of_something_that_is_there(control: Control, operation: str) -> None:
    members: dict[str, dict[str, Any]] = {
        "AddTags": {"Tags": pairs(a="1")},
        "ListTags": {},
        "DeleteTags": {"TagKeys": ["a"]},
    }
    more = members[operation]

    assert control.refusal(operation, ResourceArn=ARN, **more) == f'Could not find model "{ARN}".'


@pytest.mark.provenance("guess")
@pytest.mark.parametrize(
    "resource",
    [
        "arn:aws:sagemaker:us-east-1:000000000000:training-job/one",
        "arn:aws:sagemaker::000000000000:model/one",
        "arn:aws:sagemaker:us-east-1:000000000000:model/",
        "arn:aws:sagemaker:us-east-1:000000000000:model",
    ],
)
def test_tags_of_what_has_none_here_are_refused(control: Control, resource: str) -> None:
    assert f'"{resource}" is not the ARN of a' in control.refusal("ListTags", ResourceArn=resource)


def test_an_arn_of_another_region_or_account_names_the_same_thing(control: Control) -> None:
    control.create_model()
    elsewhere = "arn:aws-cn:sagemaker:cn-north-1:123456789012:model/one"

    control.call("AddTags", ResourceArn=elsewhere, Tags=pairs(a="1"))

    assert tags_of(control) == pairs(a="1")


@pytest.mark.provenance("guess")
def test_tags_have_one_page(control: Control) -> None:
    control.create_model()

    assert "NextToken" not in control.call("ListTags", ResourceArn=ARN, MaxResults=50)
    sentence = control.refusal("ListTags", ResourceArn=ARN, NextToken="x")
    assert sentence.startswith("Invalid pagination token because")


@pytest.mark.provenance("observed")
@pytest.mark.parametrize("key", ["aws:owner", "AWS:owner", "aws:"])
def test_keys_of_aws_are_refused_wherever_tags_are_given(control: Control, key: str) -> None:
    control.serve()
    tags = [{"Key": "mine", "Value": "1"}, {"Key": key, "Value": "2"}]
    variants = [variant()]
    container = {"Image": IMAGE, "ModelDataUrl": DATA}
    said = {
        control.refusal("AddTags", ResourceArn=ARN, Tags=tags),
        control.refusal("CreateModel", ModelName="two", PrimaryContainer=container, Tags=tags),
        control.refusal(
            "CreateEndpointConfig", EndpointConfigName="two", ProductionVariants=variants, Tags=tags
        ),
        control.refusal("CreateEndpoint", EndpointName="two", EndpointConfigName="config", Tags=tags),
        control.refusal("CreateTransformJob", **request(Tags=tags)),
    }
    assert said == {f"System prefix 'aws:' reserved for AWS usage in tag key: {key}"}
    assert tags_of(control) == []
