import base64
import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from service.domain.kinds import Kind
from tests.control.conftest import NOON, Control, arn

MODELS = ["delta", "Alpha", "charlie", "bravo-x", "alphabet"]  # in the order of their making
FOREIGN = "it is none that a list call gave"
OTHER = "it belongs to a call with other filters or another order"


@pytest.fixture
def models(control: Control) -> Control:
    for name in MODELS:
        control.create_model(name)
        control.clock.advance(60)
    return control


def names(control: Control, operation: str = "ListModels", **fields: Any) -> list[str]:
    answer = control.call(operation, **fields)
    member, kind = {
        "ListModels": ("Models", Kind.MODEL),
        "ListEndpointConfigs": ("EndpointConfigs", Kind.ENDPOINT_CONFIG),
        "ListEndpoints": ("Endpoints", Kind.ENDPOINT),
    }[operation]
    return [one[kind.row.name] for one in answer[member]]


def pages(control: Control, operation: str, member: str, **fields: Any) -> list[list[Any]]:
    found: list[list[Any]] = []
    more: dict[str, Any] = {}
    while True:
        answer = control.call(operation, **fields, **more)
        found.append(answer[member])
        if "NextToken" not in answer:
            return found
        more = {"NextToken": answer["NextToken"]}


def minute(number: int) -> datetime:
    return NOON + timedelta(minutes=number)


@pytest.mark.provenance("botocore")
def test_summaries_are_those_of_their_kind(control: Control) -> None:
    control.serve()
    control.clock.advance(60)
    control.call(
        "UpdateEndpointWeightsAndCapacities",
        EndpointName="iris",
        DesiredWeightsAndCapacities=[{"VariantName": "a", "DesiredWeight": 2}],
    )

    assert control.call("ListModels") == {
        "Models": [{"ModelName": "one", "ModelArn": arn(Kind.MODEL, "one"), "CreationTime": NOON}]
    }
    assert control.call("ListEndpointConfigs") == {
        "EndpointConfigs": [
            {
                "EndpointConfigName": "config",
                "EndpointConfigArn": arn(Kind.ENDPOINT_CONFIG, "config"),
                "CreationTime": NOON,
            }
        ]
    }
    assert control.call("ListEndpoints") == {
        "Endpoints": [
            {
                "EndpointName": "iris",
                "EndpointArn": arn(Kind.ENDPOINT, "iris"),
                "CreationTime": NOON,
                "LastModifiedTime": minute(1),
                "EndpointStatus": "Updating",
            }
        ]
    }


@pytest.mark.provenance("botocore")
def test_nothing_is_listed_as_nothing(control: Control) -> None:
    assert control.call("ListEndpoints", NameContains="x") == {"Endpoints": []}


@pytest.mark.provenance("documented")
def test_lists_are_newest_first_and_ten_long_unless_asked_otherwise(models: Control) -> None:
    assert names(models) == MODELS[::-1]
    for number in range(6):
        models.create_model(f"more-{number}")

    answer = models.call("ListModels")

    assert len(answer["Models"]) == 10
    assert "NextToken" in answer


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"SortOrder": "Ascending"}, MODELS),
        ({"SortBy": "Name", "SortOrder": "Ascending"}, sorted(MODELS)),
        ({"SortBy": "Name"}, sorted(MODELS)[::-1]),
        ({"NameContains": "alpha"}, ["alphabet", "Alpha"]),
        ({"NameContains": "-"}, ["bravo-x"]),
        ({"NameContains": "none"}, []),
        ({"CreationTimeAfter": minute(3)}, ["alphabet"]),
        ({"CreationTimeBefore": minute(1)}, ["delta"]),
        ({"CreationTimeAfter": minute(0), "CreationTimeBefore": minute(3)}, ["charlie", "Alpha"]),
        ({"CreationTimeAfter": minute(0), "NameContains": "a", "SortOrder": "Ascending"}, MODELS[1:]),
    ],
    ids=str,
)
def test_models_are_filtered_and_ordered(
    models: Control, fields: dict[str, Any], expected: list[str]
) -> None:
    assert names(models, **fields) == expected


@pytest.fixture
def endpoints(control: Control) -> Control:
    """Endpoints `c` and `b` in service, `d` Updating since minute 2, `a` Creating."""
    control.create_model()
    control.create_config()
    for name in "dcb":
        control.create_endpoint(name)
    control.settle()
    control.clock.advance(60)
    control.create_endpoint("a")
    control.clock.advance(60)
    control.call("UpdateEndpoint", EndpointName="d", EndpointConfigName="config")
    return control


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"StatusEquals": "InService"}, ["c", "b"]),
        ({"StatusEquals": "Updating"}, ["d"]),
        ({"StatusEquals": "OutOfService"}, []),
        ({"SortBy": "Status", "SortOrder": "Ascending"}, ["a", "b", "c", "d"]),
        ({"SortBy": "Status"}, ["d", "c", "b", "a"]),
        ({"LastModifiedTimeAfter": minute(0)}, ["a", "d"]),
        ({"LastModifiedTimeBefore": minute(1)}, ["c", "b"]),
        ({"LastModifiedTimeAfter": minute(1), "CreationTimeBefore": minute(1)}, ["d"]),
    ],
    ids=str,
)
def test_endpoints_are_filtered_and_ordered_by_status_and_change_too(
    endpoints: Control, fields: dict[str, Any], expected: list[str]
) -> None:
    assert names(endpoints, "ListEndpoints", **fields) == expected


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    "fields", [{}, {"SortBy": "Name"}, {"SortBy": "Status", "SortOrder": "Ascending"}], ids=str
)
def test_pages_together_are_the_whole_list(endpoints: Control, fields: dict[str, Any], size: int) -> None:
    whole = endpoints.call("ListEndpoints", **fields)

    found = pages(endpoints, "ListEndpoints", "Endpoints", MaxResults=size, **fields)

    assert [len(page) for page in found[:-1]] == [size] * (len(found) - 1)
    assert [one for page in found for one in page] == whole["Endpoints"]
    assert found[-1]


def test_whatever_comes_and_goes_between_pages_nothing_that_stays_is_missed_or_twice(
    models: Control,
) -> None:
    first = models.call("ListModels", MaxResults=2, SortBy="Name", SortOrder="Ascending")
    models.call("DeleteModel", ModelName=first["Models"][-1]["ModelName"])
    models.create_model("Before")
    models.create_model("charm")

    rest = models.call("ListModels", SortBy="Name", SortOrder="Ascending", NextToken=first["NextToken"])

    assert [one["ModelName"] for one in first["Models"]] == ["Alpha", "alphabet"]
    assert [one["ModelName"] for one in rest["Models"]] == ["bravo-x", "charlie", "charm", "delta"]


def test_a_page_may_be_of_another_size_than_the_one_before(models: Control) -> None:
    token = models.call("ListModels", MaxResults=1)["NextToken"]

    assert names(models, MaxResults=100, NextToken=token) == MODELS[::-1][1:]


@pytest.mark.provenance("guess")
@pytest.mark.parametrize(
    "other",
    [
        {"SortBy": "Name"},
        {"SortOrder": "Ascending"},
        {"NameContains": "a"},
        {"CreationTimeAfter": minute(0)},
        {"CreationTimeBefore": minute(9)},
    ],
    ids=str,
)
def test_a_token_answers_its_own_question_only(models: Control, other: dict[str, Any]) -> None:
    token = models.call("ListModels", MaxResults=1)["NextToken"]

    sentence = models.refusal("ListModels", NextToken=token, **other)

    assert sentence == f'Invalid pagination token because "{OTHER}".'


def test_a_token_of_another_kind_is_refused(models: Control) -> None:
    token = models.call("ListModels", MaxResults=1)["NextToken"]

    assert OTHER in models.refusal("ListEndpoints", NextToken=token)


def forged(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


QUESTION = ["model", "created_at", True, None, None, None, None, None, None]


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    "token",
    [
        "",
        "abc",
        "not a token!",
        "ünïcode",
        base64.urlsafe_b64encode(b"[" * 3000).decode(),
        base64.urlsafe_b64encode(b"\xff").decode(),
        forged(1, 2),
        forged("x", "one", QUESTION),
        forged(10**400, "one", QUESTION),
        forged(True, "one", QUESTION),
        forged(float("nan"), "one", QUESTION),
        forged(1.0, None, QUESTION),
        forged(1.0, "\ud800", QUESTION),
        forged(1.0, "nul\0", QUESTION),
    ],
)
def test_a_token_that_no_list_call_gave_is_refused(models: Control, token: str) -> None:
    sentence = models.refusal("ListModels", NextToken=token)

    assert sentence == f'Invalid pagination token because "{FOREIGN}".'


@pytest.mark.parametrize(("order", "value"), [("name", 1.0), ("status", 1.0), ("status", "\ud800")])
def test_a_made_up_place_is_one_of_its_order(control: Control, order: str, value: Any) -> None:
    question = ["endpoint", order, True, None, None, None, None, None, None]
    fields = {"SortBy": {"name": "Name", "status": "Status"}[order]}

    sentence = control.refusal("ListEndpoints", NextToken=forged(value, "one", question), **fields)

    assert FOREIGN in sentence


@pytest.mark.provenance("botocore")
def test_tokens_of_the_longest_questions_are_no_longer_than_the_model_allows(control: Control) -> None:
    name = "n" * 63
    control.create_model(name)
    control.create_model("n" * 62)

    answer = control.call(
        "ListModels", MaxResults=1, NameContains="n" * 62, CreationTimeAfter=NOON - timedelta(days=9999)
    )

    assert (
        names(
            control,
            MaxResults=1,
            NextToken=answer["NextToken"],
            NameContains="n" * 62,
            CreationTimeAfter=NOON - timedelta(days=9999),
        )
        != []
    )
