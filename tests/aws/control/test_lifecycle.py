"""The life of an endpoint as boto3 sees it: made, called, weighed anew, replaced, deleted."""

from math import sqrt
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from tests.aws.control.conftest import (
    BROKEN,
    IMAGE,
    QUICK,
    ROLE,
    Account,
    arn,
    refusal,
    script,
    variant,
)

_CALLS = 1000


def _is_share(hits: int, share: float, calls: int = _CALLS) -> bool:
    """Whether so many hits are within five standard deviations of a share: one run in two million is not."""
    return abs(hits - share * calls) <= 5 * sqrt(calls * share * (1 - share))


@pytest.mark.provenance("documented")
def test_a_moto_style_life_of_a_model_a_configuration_and_an_endpoint(account: Account) -> None:
    sagemaker = account.sagemaker
    url = account.put("life/model.tar.gz", {"inference.py": script("alive")})
    container = {"Image": IMAGE, "ModelDataUrl": url}
    made = sagemaker.create_model(ModelName="life", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    assert made["ModelArn"] == arn("model/life")
    found = sagemaker.describe_model(ModelName="life")
    assert found["PrimaryContainer"] == {**container, "Mode": "SingleModel"}
    assert (found["ExecutionRoleArn"], found["ModelArn"]) == (ROLE, made["ModelArn"])

    variants = [variant("only", "life")]
    made = sagemaker.create_endpoint_config(EndpointConfigName="life", ProductionVariants=variants)
    assert made["EndpointConfigArn"] == arn("endpoint-config/life")
    found = sagemaker.describe_endpoint_config(EndpointConfigName="life")
    assert found["ProductionVariants"] == [{**variants[0], "InitialVariantWeight": 1.0}]

    made = sagemaker.create_endpoint(EndpointName="life", EndpointConfigName="life")
    assert made["EndpointArn"] == arn("endpoint/life")
    account.wait("life")
    assert account.ask("life") == "alive"

    sagemaker.delete_endpoint(EndpointName="life")
    account.wait_gone("life")
    sagemaker.delete_endpoint_config(EndpointConfigName="life")
    sagemaker.delete_model(ModelName="life")
    for call, words, tail, member in (
        (sagemaker.describe_endpoint, "endpoint", "endpoint/life", "EndpointName"),
        (
            sagemaker.describe_endpoint_config,
            "endpoint configuration",
            "endpoint-config/life",
            "EndpointConfigName",
        ),
        (sagemaker.describe_model, "model", "model/life", "ModelName"),
    ):
        message = f'Could not find {words} "{arn(tail)}".'
        assert refusal(call, **{member: "life"}) == ("ValidationException", message, 400)
    assert sagemaker.create_model(ModelName="life", ExecutionRoleArn=ROLE, PrimaryContainer=container)


@pytest.mark.provenance("documented")
def test_an_endpoint_in_service_is_described_in_full(account: Account) -> None:
    model = account.model("full")
    routing = {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"}
    heavy = variant("heavy", model, 3.0, InitialInstanceCount=2, InstanceType="ml.c5.large")
    endpoint = account.endpoint({**heavy, "RoutingConfig": routing}, variant("light", model, 1.0))
    found = account.describe(endpoint)
    assert found["EndpointArn"] == arn(f"endpoint/{endpoint}")
    assert found["EndpointStatus"] == "InService"
    assert found["CreationTime"] <= found["LastModifiedTime"]
    assert "FailureReason" not in found
    first, second = found["ProductionVariants"]
    image = first.pop("DeployedImages")
    assert [one["SpecifiedImage"] for one in image] == [IMAGE]
    assert image[0]["ResolvedImage"].startswith(IMAGE.rpartition(":")[0] + "@sha256:")
    assert first == {
        "VariantName": "heavy",
        "CurrentWeight": 3.0,
        "DesiredWeight": 3.0,
        "CurrentInstanceCount": 2,
        "DesiredInstanceCount": 2,
        "RoutingConfig": routing,
    }
    assert (second["VariantName"], second["CurrentWeight"]) == ("light", 1.0)


@pytest.mark.provenance("documented")
def test_calls_are_split_by_weight_and_follow_new_weights(account: Account) -> None:
    endpoint = account.endpoint(
        variant("a", account.model("a"), 9.0),
        variant("b", account.model("b"), 1.0),
    )
    counted = account.answers(endpoint, _CALLS)
    assert counted.keys() == {("a", "a"), ("b", "b")}
    assert _is_share(counted["b", "b"], 0.1)

    desired = [{"VariantName": "a", "DesiredWeight": 1.0}, {"VariantName": "b", "DesiredWeight": 3.0}]
    with account.keeper_asleep():
        account.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=endpoint, DesiredWeightsAndCapacities=desired
        )
        found = account.describe(endpoint)
        assert found["EndpointStatus"] == "Updating"
        seen = [(one["CurrentWeight"], one["DesiredWeight"]) for one in found["ProductionVariants"]]
        assert seen == [(9.0, 1.0), (1.0, 3.0)]
        assert account.ask(endpoint) in ("a", "b")
    account.wait(endpoint)
    found = account.describe(endpoint)
    assert [one["CurrentWeight"] for one in found["ProductionVariants"]] == [1.0, 3.0]
    assert _is_share(account.answers(endpoint, _CALLS)["b", "b"], 0.75)


@pytest.mark.provenance("documented")
def test_weight_zero_gets_no_calls_but_those_that_ask_for_it(account: Account) -> None:
    endpoint = account.endpoint(
        variant("a", account.model("a"), 1.0),
        variant("b", account.model("b"), 0.0),
    )
    assert account.answers(endpoint, 100) == {("a", "a"): 100}
    assert account.ask(endpoint, TargetVariant="b") == "b"


@pytest.mark.provenance("documented")
def test_counts_of_instances_change_without_new_models(account: Account) -> None:
    endpoint = account.endpoint(variant("v", account.model("v"), 2.0))
    account.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=endpoint, DesiredWeightsAndCapacities=[{"VariantName": "v", "DesiredInstanceCount": 3}]
    )
    account.wait(endpoint)
    (found,) = account.describe(endpoint)["ProductionVariants"]
    assert (found["CurrentInstanceCount"], found["DesiredInstanceCount"]) == (3, 3)
    assert found["CurrentWeight"] == 2.0


@pytest.mark.provenance("documented")
def test_a_serverless_variant_changes_its_concurrency(account: Account) -> None:
    config = {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    endpoint = account.endpoint(variant("v", account.model("v"), ServerlessConfig=config))
    account.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=endpoint,
        DesiredWeightsAndCapacities=[{"VariantName": "v", "ServerlessUpdateConfig": {"MaxConcurrency": 7}}],
    )
    account.wait(endpoint)
    (found,) = account.describe(endpoint)["ProductionVariants"]
    assert found["CurrentServerlessConfig"] == {**config, "MaxConcurrency": 7}
    assert "CurrentInstanceCount" not in found
    assert account.ask(endpoint) == "v"


@pytest.mark.provenance("documented")
def test_an_endpoint_is_creating_until_its_model_is_loaded(account: Account) -> None:
    gate = account.gate()
    config = account.config(variant("v", account.model("v", script("v", str(gate)))))
    endpoint = account.name("slow")
    account.sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=config)
    found = account.describe(endpoint)
    assert found["EndpointStatus"] == "Creating"
    assert found["ProductionVariants"][0]["CurrentInstanceCount"] == 0
    code, message, status = refusal(account.runtime.invoke_endpoint, EndpointName=endpoint, Body=b"{}")
    assert (code, status) == ("ValidationError", 400)
    assert message == f"Endpoint {endpoint} of account 000000000000 not found."
    gate.touch()
    account.wait(endpoint)
    assert account.ask(endpoint) == "v"


@pytest.mark.provenance("documented")
def test_a_deleted_endpoint_is_deleting_and_then_gone(account: Account) -> None:
    endpoint = account.endpoint(variant("v", account.model("v")))
    with account.keeper_asleep():
        account.sagemaker.delete_endpoint(EndpointName=endpoint)
        assert account.status(endpoint) == "Deleting"
        busy = f'Cannot update in-progress endpoint "{arn(f"endpoint/{endpoint}")}".'
        again = refusal(account.sagemaker.delete_endpoint, EndpointName=endpoint)
        assert again == ("ValidationException", busy, 400)
    account.wait_gone(endpoint)
    gone = refusal(account.runtime.invoke_endpoint, EndpointName=endpoint, Body=b"{}")
    assert gone[1] == f"Endpoint {endpoint} of account 000000000000 not found."


@pytest.mark.provenance("documented")
def test_a_first_fleet_that_fails_leaves_a_failed_endpoint_that_says_why(account: Account) -> None:
    model = account.model("broken", BROKEN)
    config = account.config(variant("v", model))
    endpoint = account.name("failed")
    account.sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=config)
    with pytest.raises(WaiterError) as caught:
        account.wait(endpoint)
    found: Any = caught.value.last_response
    assert found["EndpointStatus"] == "Failed"
    reason = found["FailureReason"]
    assert "the weights are gone" in reason
    assert "inference.py" in reason
    assert len(reason) <= 1024

    gone = refusal(account.runtime.invoke_endpoint, EndpointName=endpoint, Body=b"{}")
    assert gone[:2] == ("ValidationError", f"Endpoint {endpoint} of account 000000000000 not found.")
    desired = [{"VariantName": "v", "DesiredWeight": 1.0}]
    for call, members in (
        (account.sagemaker.update_endpoint, {"EndpointConfigName": config}),
        (
            account.sagemaker.update_endpoint_weights_and_capacities,
            {"DesiredWeightsAndCapacities": desired},
        ),
    ):
        code, message, status = refusal(call, EndpointName=endpoint, **members)
        assert (code, status) == ("ValidationException", 400)
        assert arn(f"endpoint/{endpoint}") in message
    account.sagemaker.delete_endpoint(EndpointName=endpoint)
    account.wait_gone(endpoint)


@pytest.mark.provenance("documented")
def test_the_waiter_for_deletion_fails_on_an_endpoint_that_stays(account: Account) -> None:
    endpoint = account.endpoint(variant("v", account.model("v")))
    waiter = account.sagemaker.get_waiter("endpoint_deleted")
    with pytest.raises(WaiterError):
        waiter.wait(EndpointName=endpoint, WaiterConfig={**QUICK, "MaxAttempts": 2})


@pytest.mark.provenance("documented")
def test_a_model_and_a_configuration_in_use_may_be_deleted(account: Account) -> None:
    model = account.model("kept")
    endpoint = account.endpoint(variant("v", model))
    config = account.describe(endpoint)["EndpointConfigName"]
    account.sagemaker.delete_endpoint_config(EndpointConfigName=config)
    account.sagemaker.delete_model(ModelName=model)
    assert account.ask(endpoint) == "kept"
    assert account.describe(endpoint)["EndpointConfigName"] == config
