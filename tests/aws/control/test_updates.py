"""UpdateEndpoint as boto3 sees it: the old fleet serves until the new one is warm, and if it never is."""

from typing import Any

import pytest

from tests.aws.control.conftest import BROKEN, Account, script, variant


def _update(account: Account, endpoint: str, config: str, **members: Any) -> None:
    account.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config, **members)


@pytest.mark.provenance("documented")
def test_the_old_variant_serves_until_the_new_one_is_warm_and_never_after(account: Account) -> None:
    gate = account.gate()
    endpoint = account.endpoint(variant("old", account.model("old")))
    before = account.describe(endpoint)["EndpointConfigName"]
    config = account.config(variant("new", account.model("new", script("new", str(gate))), 5.0))
    _update(account, endpoint, config)
    found = account.describe(endpoint)
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("Updating", before)
    pending = found["PendingDeploymentSummary"]
    assert pending["EndpointConfigName"] == config
    assert [one["VariantName"] for one in pending["ProductionVariants"]] == ["new"]
    assert account.answers(endpoint, 20) == {("old", "old"): 20}
    gate.touch()
    account.wait(endpoint)
    assert account.answers(endpoint, 200) == {("new", "new"): 200}
    found = account.describe(endpoint)
    assert found["EndpointConfigName"] == config
    assert "PendingDeploymentSummary" not in found
    assert found["ProductionVariants"][0]["CurrentWeight"] == 5.0


@pytest.mark.provenance("documented")
def test_an_update_that_fails_rolls_back_and_says_why(account: Account) -> None:
    endpoint = account.endpoint(variant("old", account.model("old"), 2.0))
    before = account.describe(endpoint)["EndpointConfigName"]
    _update(account, endpoint, account.config(variant("new", account.model("broken", BROKEN))))
    account.wait(endpoint)
    found = account.describe(endpoint)
    assert found["EndpointConfigName"] == before
    assert "the weights are gone" in found["FailureReason"]
    assert [one["VariantName"] for one in found["ProductionVariants"]] == ["old"]
    assert account.answers(endpoint, 20) == {("old", "old"): 20}

    config = account.config(variant("new", account.model("mended")))
    _update(account, endpoint, config)
    account.wait(endpoint)
    assert "FailureReason" not in account.describe(endpoint)
    assert account.ask(endpoint) == "mended"


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    ("members", "weight", "instances"),
    [
        ({}, 1.0, 1),
        ({"RetainAllVariantProperties": True}, 7.0, 3),
        (
            {
                "RetainAllVariantProperties": True,
                "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredWeight"}],
            },
            1.0,
            3,
        ),
    ],
    ids=["resets", "retains", "retains-counts-only"],
)
def test_weights_and_counts_start_anew_unless_they_are_retained(
    account: Account, members: dict[str, Any], weight: float, instances: int
) -> None:
    model = account.model("v")
    endpoint = account.endpoint(variant("v", model, 1.0))
    desired = [{"VariantName": "v", "DesiredWeight": 7.0, "DesiredInstanceCount": 3}]
    account.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=endpoint, DesiredWeightsAndCapacities=desired
    )
    account.wait(endpoint)
    _update(account, endpoint, account.config(variant("v", model, 1.0)), **members)
    account.wait(endpoint)
    (found,) = account.describe(endpoint)["ProductionVariants"]
    assert (found["CurrentWeight"], found["CurrentInstanceCount"]) == (weight, instances)


def test_an_archive_that_was_written_over_is_served_anew_by_an_update_to_the_same_address(
    account: Account,
) -> None:
    key = f"{account.name('again')}/model.tar.gz"
    url = account.put(key, {"inference.py": script("first")})
    model = account.model("again", ModelDataUrl=url)
    endpoint = account.endpoint(variant("v", model))
    assert account.ask(endpoint) == "first"
    account.put(key, {"inference.py": script("second")})
    _update(account, endpoint, account.config(variant("v", model)))
    account.wait(endpoint)
    assert account.answers(endpoint, 50) == {("v", "second"): 50}


@pytest.mark.provenance("documented")
def test_the_last_deployment_is_shown_and_dropped_unless_retained(account: Account) -> None:
    model = account.model("v")
    endpoint = account.endpoint(variant("v", model))
    routing = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
    deployment = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}}
    _update(account, endpoint, account.config(variant("v", model)), DeploymentConfig=deployment)
    account.wait(endpoint)
    assert account.describe(endpoint)["LastDeploymentConfig"] == deployment
    _update(account, endpoint, account.config(variant("v", model)), RetainDeploymentConfig=True)
    account.wait(endpoint)
    assert account.describe(endpoint)["LastDeploymentConfig"] == deployment
    _update(account, endpoint, account.config(variant("v", model)))
    account.wait(endpoint)
    assert "LastDeploymentConfig" not in account.describe(endpoint)


@pytest.mark.provenance("documented")
def test_an_endpoint_goes_over_to_its_own_configuration_again(account: Account) -> None:
    endpoint = account.endpoint(variant("v", account.model("same")))
    _update(account, endpoint, account.describe(endpoint)["EndpointConfigName"])
    account.wait(endpoint)
    assert account.ask(endpoint) == "same"
