"""Search over models, endpoints, model packages and their groups."""

from typing import Any

import pytest

from service.errors import UnknownOperation
from tests.control.conftest import DATA, IMAGE, Control

CONTAINER = {"Image": IMAGE, "ModelDataUrl": DATA}


def found(
    control: Control, *filters: dict[str, str], resource: str = "ModelPackage", **more: Any
) -> list[Any]:
    asked = {"SearchExpression": {"Filters": list(filters)}, **more} if filters else more
    return [each[resource] for each in control.call("Search", Resource=resource, **asked)["Results"]]


def versions(control: Control, *filters: dict[str, str], **more: Any) -> list[int]:
    return [each["ModelPackageVersion"] for each in found(control, *filters, **more)]


def that(name: str, operator: str | None = "Equals", value: str | None = None) -> dict[str, str]:
    given = {"Name": name, "Operator": operator, "Value": value}
    return {key: each for key, each in given.items() if each is not None}


@pytest.fixture
def registry(control: Control) -> Control:
    """A group with three versions: approved, rejected and neither, a second apart."""
    control.call("CreateModelPackageGroup", ModelPackageGroupName="flowers")
    for number, approval in enumerate(("Approved", "Rejected", "PendingManualApproval")):
        control.call(
            "CreateModelPackage",
            ModelPackageGroupName="flowers",
            ModelApprovalStatus=approval,
            InferenceSpecification={"Containers": [CONTAINER]},
            CustomerMetadataProperties={"team": f"t{number}"},
            Tags=[{"Key": "team", "Value": f"t{number}"}],
        )
        control.clock.advance(1)
    return control


def test_packages_are_found_newest_first(registry: Control) -> None:
    assert versions(registry) == [3, 2, 1]
    assert versions(registry, SortBy="CreationTime", SortOrder="Ascending") == [1, 2, 3]
    assert versions(registry, SortBy="ModelPackageVersion") == [3, 2, 1]
    assert versions(registry, SortBy="ModelApprovalStatus", SortOrder="Ascending") == [1, 3, 2]


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (that("ModelApprovalStatus", value="Approved"), [1]),
        (that("ModelApprovalStatus", None, "Approved"), [1]),
        (that("ModelApprovalStatus", "NotEquals", "Approved"), [3, 2]),
        (that("ModelApprovalStatus", "Contains", "e"), [3, 2, 1]),
        (that("ModelApprovalStatus", "In", "Approved,Rejected"), [2, 1]),
        (that("ModelPackageVersion", "GreaterThan", "1"), [3, 2]),
        (that("ModelPackageVersion", "GreaterThanOrEqualTo", "3"), [3]),
        (that("ModelPackageVersion", "LessThan", "2"), [1]),
        (that("ModelPackageVersion", "LessThanOrEqualTo", "2"), [2, 1]),
        (that("ModelPackageVersion", value="2"), [2]),
        (that("CreationTime", "GreaterThan", "2026-01-02T12:00:00Z"), [3, 2]),
        (that("CreationTime", "LessThan", "2026-01-02T12:00:01"), [1]),
        (that("CertifyForMarketplace", value="false"), [3, 2, 1]),
        (that("ModelPackageDescription", "Exists"), []),
        (that("ModelPackageDescription", "NotExists"), [3, 2, 1]),
        (that("Tags.team", value="t1"), [2]),
        (that("CustomerMetadataProperties.team", value="t2"), [3]),
        (that("InferenceSpecification.Containers.Image", "Contains", "scikit-learn"), [3, 2, 1]),
        (that("InferenceSpecification.SupportedContentTypes", value="text/csv"), []),
    ],
)
def test_a_filter_is_about_a_property(
    registry: Control, condition: dict[str, str], expected: list[int]
) -> None:
    assert versions(registry, condition) == expected


def test_expressions_join_filters_and_others(registry: Control) -> None:
    one, two = that("ModelPackageVersion", value="1"), that("ModelPackageVersion", value="2")
    image = that("InferenceSpecification.Containers.Image", "Contains", "scikit")
    nested = {"NestedPropertyName": "InferenceSpecification.Containers", "Filters": [image]}
    for expression, expected in (
        ({"Filters": [one, two]}, []),
        ({"Filters": [one, two], "Operator": "Or"}, [2, 1]),
        ({"SubExpressions": [{"Filters": [one]}, {"Filters": [two]}], "Operator": "Or"}, [2, 1]),
        ({"Filters": [two], "NestedFilters": [nested]}, [2]),
    ):
        assert versions(registry, SearchExpression=expression) == expected
    seen = [{"Key": "Tags.team", "Value": "t0"}]
    assert versions(registry, VisibilityConditions=seen) == [1]


def test_results_come_in_pages(registry: Control) -> None:
    page = registry.call("Search", Resource="ModelPackage", MaxResults=2)
    rest = registry.call("Search", Resource="ModelPackage", MaxResults=2, NextToken=page["NextToken"])

    assert [len(page["Results"]), len(rest["Results"])] == [2, 1]
    assert page["TotalHits"] == {"Value": 3, "Relation": "EqualTo"}
    assert "NextToken" not in rest
    for resource, token in (
        ("Model", page["NextToken"]),
        ("ModelPackage", "x"),
        ("ModelPackage", "bnVsbA=="),
    ):
        sentence = registry.refusal("Search", Resource=resource, MaxResults=2, NextToken=token)
        assert "NextToken" in sentence or "token" in sentence


def test_groups_models_and_endpoints_are_found_too(registry: Control) -> None:
    registry.serve()

    name = that("ModelPackageGroupName", value="flowers")
    assert len(found(registry, name, resource="ModelPackageGroup")) == 1
    (model,) = found(registry, that("ModelName", value="one"), resource="Model")
    assert model["Model"]["ModelName"] == "one"
    (endpoint,) = found(registry, that("EndpointStatus", value="InService"), resource="Endpoint")
    assert endpoint["EndpointName"] == "iris"


def test_a_value_of_another_kind_is_refused(registry: Control) -> None:
    expression = {"Filters": [that("ModelPackageVersion", "LessThan", "many")]}

    assert "many" in registry.refusal("Search", Resource="ModelPackage", SearchExpression=expression)


def test_what_is_not_here_cannot_be_searched(control: Control) -> None:
    with pytest.raises(UnknownOperation, match="Search of TrainingJob"):
        control.call("Search", Resource="TrainingJob")
