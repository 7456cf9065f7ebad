"""ListModels, ListEndpointConfigs, ListEndpoints and the tags, as boto3 and its paginators see them."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.aws.control.conftest import Account, arn, refusal, variant

_LISTS = {
    "models": ("list_models", "Models", "ModelName", "ModelArn"),
    "configs": ("list_endpoint_configs", "EndpointConfigs", "EndpointConfigName", "EndpointConfigArn"),
    "endpoints": ("list_endpoints", "Endpoints", "EndpointName", "EndpointArn"),
}


@pytest.fixture(scope="module")
def many(account: Account) -> dict[str, list[str]]:
    """Twelve models, configurations and endpoints, by kind, in the order of their making."""
    made: dict[str, list[str]] = {kind: [] for kind in _LISTS}
    model = account.model("shared")
    described = account.sagemaker.describe_model(ModelName=model)["PrimaryContainer"]
    for number in range(12):
        name = f"page-{(number * 7) % 12:02}"  # the order of names is another than that of making
        account.sagemaker.create_model(
            ModelName=name, ExecutionRoleArn=arn_of_role(), PrimaryContainer=described
        )
        account.sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=[variant("v", name)]
        )
        account.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        for names in made.values():
            names.append(name)
    for name in made["endpoints"]:
        account.wait(name)
    return made


def arn_of_role() -> str:
    return "arn:aws:iam::000000000000:role/sagebird"


def _names(account: Account, kind: str, **members: Any) -> list[str]:
    operation, list_member, name_member, _ = _LISTS[kind]
    found = getattr(account.sagemaker, operation)(NameContains="page-", **members)
    return [one[name_member] for one in found[list_member]]


@pytest.mark.provenance("documented")
@pytest.mark.parametrize("kind", _LISTS)
def test_a_page_has_ten_of_the_newest_first(account: Account, many: dict[str, list[str]], kind: str) -> None:
    assert _names(account, kind) == many[kind][::-1][:10]


@pytest.mark.provenance("documented")
@pytest.mark.parametrize("kind", _LISTS)
def test_paginators_meet_everything_once(account: Account, many: dict[str, list[str]], kind: str) -> None:
    operation, list_member, name_member, arn_member = _LISTS[kind]
    pages = account.sagemaker.get_paginator(operation).paginate(
        NameContains="page-", SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 5}
    )
    sizes, found = [], []
    for page in pages:
        sizes.append(len(page[list_member]))
        found += page[list_member]
    assert sizes == [5, 5, 2]
    assert [one[name_member] for one in found] == sorted(many[kind])
    assert all(one[arn_member].endswith("/" + one[name_member]) for one in found)
    assert all(isinstance(one["CreationTime"], datetime) for one in found)


@pytest.mark.provenance("documented")
@pytest.mark.parametrize("kind", _LISTS)
def test_lists_are_sorted_both_ways(account: Account, many: dict[str, list[str]], kind: str) -> None:
    for field, order in (("Name", sorted(many[kind])), ("CreationTime", many[kind])):
        rising = _names(account, kind, SortBy=field, SortOrder="Ascending", MaxResults=100)
        falling = _names(account, kind, SortBy=field, SortOrder="Descending", MaxResults=100)
        assert (rising, falling) == (order, order[::-1])


@pytest.mark.provenance("documented")
@pytest.mark.parametrize("kind", _LISTS)
def test_lists_are_filtered_by_the_time_of_making(
    account: Account, many: dict[str, list[str]], kind: str
) -> None:
    operation, list_member, _, _ = _LISTS[kind]
    every = getattr(account.sagemaker, operation)(
        NameContains="page-", SortOrder="Ascending", MaxResults=100
    )[list_member]
    middle = every[5]["CreationTime"]
    after = _names(account, kind, CreationTimeAfter=middle, MaxResults=100)
    before = _names(account, kind, CreationTimeBefore=middle, MaxResults=100)
    assert set(after) <= set(many[kind][5:])
    assert set(before) <= set(many[kind][:6])
    assert len(after) + len(before) >= 11
    assert _names(account, kind, CreationTimeAfter=middle + timedelta(days=1)) == []


@pytest.mark.provenance("documented")
def test_endpoints_are_filtered_by_status(account: Account, many: dict[str, list[str]]) -> None:
    assert len(_names(account, "endpoints", StatusEquals="InService", MaxResults=100)) == 12
    assert _names(account, "endpoints", StatusEquals="Failed") == []
    by_status = account.sagemaker.list_endpoints(NameContains="page-", SortBy="Status")["Endpoints"]
    assert {one["EndpointStatus"] for one in by_status} == {"InService"}
    assert all(one["LastModifiedTime"] >= one["CreationTime"] for one in by_status)


@pytest.mark.provenance("documented")
def test_endpoints_are_filtered_by_the_time_of_their_last_change(
    account: Account, many: dict[str, list[str]]
) -> None:
    endpoint = many["endpoints"][0]
    latest = max(account.describe(name)["LastModifiedTime"] for name in many["endpoints"])
    account.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=endpoint, DesiredWeightsAndCapacities=[{"VariantName": "v", "DesiredWeight": 2.0}]
    )
    account.wait(endpoint)
    found = _names(account, "endpoints", LastModifiedTimeAfter=latest, MaxResults=100)
    assert endpoint in found
    assert len(found) <= 2  # times are whole milliseconds or better; the latest may have a neighbour


@pytest.mark.provenance("guess")
def test_a_token_of_another_question_is_refused(account: Account, many: dict[str, list[str]]) -> None:
    token = account.sagemaker.list_models(NameContains="page-", MaxResults=1)["NextToken"]
    for members in ({"NextToken": token}, {"NextToken": "none", "NameContains": "page-"}):
        code, message, status = refusal(account.sagemaker.list_models, **members)
        assert (code, status) == ("ValidationException", 400)
        assert message.startswith('Invalid pagination token because "')


@pytest.mark.provenance("documented")
def test_tags_are_added_replaced_listed_and_deleted(account: Account) -> None:
    sagemaker = account.sagemaker
    model = account.model("tagged")
    config = account.config(variant("v", model), Tags=[{"Key": "team", "Value": "birds"}])
    endpoint = account.name("tagged")
    sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=config)
    for tail, first in (
        (f"endpoint-config/{config}", {"team": "birds"}),
        (f"model/{model}", {}),
        (f"endpoint/{endpoint}", {}),
    ):
        address = arn(tail)
        assert _tags(sagemaker.list_tags(ResourceArn=address)) == first
        added = [{"Key": "team", "Value": "thrashers"}, {"Key": "empty", "Value": ""}]
        assert _tags(sagemaker.add_tags(ResourceArn=address, Tags=added)) == {
            "team": "thrashers",
            "empty": "",
        }
        sagemaker.delete_tags(ResourceArn=address, TagKeys=["team", "never-there"])
        assert _tags(sagemaker.list_tags(ResourceArn=address)) == {"empty": ""}
        pages = sagemaker.get_paginator("list_tags").paginate(ResourceArn=address)
        assert [_tags(page) for page in pages] == [{"empty": ""}]
    account.wait(endpoint)
    assert "Tags" not in sagemaker.describe_model(ModelName=model)


@pytest.mark.provenance("documented")
def test_tags_of_what_is_not_there_are_refused(account: Account) -> None:
    address = arn("endpoint/nobody")
    missing = ("ValidationException", f'Could not find endpoint "{address}".', 400)
    assert refusal(account.sagemaker.list_tags, ResourceArn=address) == missing
    assert refusal(account.sagemaker.add_tags, ResourceArn=address, Tags=[]) == missing
    assert refusal(account.sagemaker.delete_tags, ResourceArn=address, TagKeys=["a"]) == missing


def _tags(answer: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in answer["Tags"]}
