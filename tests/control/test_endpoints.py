from datetime import timedelta
from typing import Any

import pytest

from service.domain import sentences
from service.domain.endpoint import ModelSource, Variant, WarmState
from service.domain.kinds import Kind
from tests.control.conftest import DATA, IMAGE, NOON, Control, arn, variant

ARN = arn(Kind.ENDPOINT, "iris")
BUSY = f'Cannot update in-progress endpoint "{ARN}".'
MISSING = f'Could not find endpoint "{ARN}".'
SERVERLESS = {"MemorySizeInMB": 1024, "MaxConcurrency": 5}
ALARMS = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "loud"}]}}
ONE: dict[str, Any] = {
    "EndpointName": "iris",
    "DesiredWeightsAndCapacities": [{"VariantName": "a", "DesiredWeight": 1}],
}


def weigh(control: Control, **by_variant: Any) -> None:
    control.call("UpdateEndpointWeightsAndCapacities", **desired(**by_variant))


def desired(**by_variant: dict[str, Any]) -> dict[str, Any]:
    wanted = [{"VariantName": name, **fields} for name, fields in by_variant.items()]
    return {"EndpointName": "iris", "DesiredWeightsAndCapacities": wanted}


def update(control: Control, config: str, **more: Any) -> dict[str, Any]:
    return control.call("UpdateEndpoint", EndpointName="iris", EndpointConfigName=config, **more)


def state_of(control: Control) -> dict[str, tuple[float, int]]:
    fleet = control.endpoint().active
    assert fleet is not None
    return {one.name: (one.weight, one.instances) for one in fleet.variants}


# CreateEndpoint


def test_a_new_endpoint_prepares_the_fleet_of_its_configuration(control: Control) -> None:
    control.create_model(Environment={"Z": "1", "A": "2"})
    control.create_config("config", variant("a", InitialVariantWeight=0), variant("b"))

    answer = control.call("CreateEndpoint", EndpointName="iris", EndpointConfigName="config")

    assert answer == {"EndpointArn": ARN}
    endpoint, resource = control.endpoint(), control.store.get(Kind.ENDPOINT, "iris")
    version = control.context.version_of(DATA)
    source = ModelSource(DATA, environment=(("A", "2"), ("Z", "1")), version=version, image=IMAGE)
    assert endpoint.pending is not None
    a, b = endpoint.pending.variants
    assert a == Variant("a", 0, source, image=IMAGE)
    assert b == Variant("b", 1.0, source, image=IMAGE)
    assert endpoint.active is None
    assert resource is not None
    assert (resource.status, resource.declared) == ("Creating", False)
    assert (resource.created_at, resource.modified_at) == (NOON, NOON)


@pytest.mark.provenance("observed")
def test_an_endpoint_needs_its_configuration_and_its_models(control: Control) -> None:
    asked = {"EndpointName": "iris", "EndpointConfigName": "config"}
    config = arn(Kind.ENDPOINT_CONFIG, "config")
    assert control.refusal("CreateEndpoint", **asked) == f'Could not find endpoint configuration "{config}".'

    control.create_model()
    control.create_config()
    control.call("DeleteModel", ModelName="one")

    assert control.refusal("CreateEndpoint", **asked) == f'Could not find model "{arn(Kind.MODEL, "one")}".'


@pytest.mark.provenance("observed")
def test_a_name_is_taken_once_whatever_its_endpoint_is_at(control: Control) -> None:
    control.create_model()
    control.create_config()
    asked = {"EndpointName": "iris", "EndpointConfigName": "config"}
    control.call("CreateEndpoint", **asked)
    taken = f'Cannot create already existing endpoint "{ARN}".'

    assert control.refusal("CreateEndpoint", **asked) == taken
    control.settle()
    assert control.refusal("CreateEndpoint", **asked) == taken
    control.call("DeleteEndpoint", EndpointName="iris")
    assert control.refusal("CreateEndpoint", **asked) == taken
    control.settle()
    control.call("CreateEndpoint", **asked)


def test_a_namesake_of_a_deleted_endpoint_has_generations_of_its_own(control: Control) -> None:
    control.create_model()
    control.create_config()
    generations = []
    for _ in range(3):
        control.create_endpoint()
        control.settle()
        generations.append(control.endpoint().generation)
        control.call("DeleteEndpoint", EndpointName="iris")
        control.settle()

    assert len(set(generations)) == 3


@pytest.mark.provenance("documented")
def test_a_deployment_has_one_policy(control: Control) -> None:
    control.serve()
    both = {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
        },
        "RollingUpdatePolicy": {
            "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 50},
            "WaitIntervalInSeconds": 0,
        },
    }

    for operation in ("CreateEndpoint", "UpdateEndpoint"):
        sentence = control.refusal(
            operation, EndpointName="iris", EndpointConfigName="config", DeploymentConfig=both
        )
        assert "either a BlueGreenUpdatePolicy or a RollingUpdatePolicy" in sentence


# UpdateEndpoint


def test_an_update_prepares_another_fleet_while_the_old_one_serves(control: Control) -> None:
    control.serve()
    control.create_config("other", variant("b"))
    control.clock.advance(60)

    assert update(control, "other") == {"EndpointArn": ARN}

    endpoint = control.endpoint()
    assert endpoint.status == "Updating"
    assert endpoint.serving == endpoint.active
    assert endpoint.active is not None
    assert endpoint.pending is not None
    assert (endpoint.active.config_name, endpoint.pending.config_name) == ("config", "other")
    assert endpoint.pending.begun_at == NOON + timedelta(seconds=60)

    control.settle()

    assert control.endpoint().status == "InService"
    assert control.describe()["EndpointConfigName"] == "other"
    assert list(control.variants()) == ["b"]


@pytest.mark.provenance("observed")
def test_an_update_needs_the_configuration_that_the_endpoint_has(control: Control) -> None:
    control.serve()
    control.create_config("next")
    control.call("DeleteEndpointConfig", EndpointConfigName="config")

    refusal = control.refusal("UpdateEndpoint", EndpointName="iris", EndpointConfigName="next")

    assert refusal == f'Could not find endpoint configuration "{arn(Kind.ENDPOINT_CONFIG, "config")}".'
    assert control.describe()["EndpointStatus"] == "InService"


@pytest.mark.provenance("observed")
def test_an_asynchronous_endpoint_stays_one(control: Control) -> None:
    control.serve(AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": "s3://out/"}})
    control.create_config("next")

    refusal = control.refusal("UpdateEndpoint", EndpointName="iris", EndpointConfigName="next")

    assert refusal.startswith("The AsyncInferenceConfig parameter cannot be removed from this endpoint iris.")


def test_an_update_that_fails_leaves_the_old_fleet_in_service_and_says_why(control: Control) -> None:
    control.serve()
    control.create_config("other", variant("b"))
    update(control, "other")

    control.settle(WarmState.FAILED, "no such file")

    said = control.describe()
    assert (said["EndpointStatus"], said["FailureReason"]) == (
        "InService",
        sentences.variant_failed("b", "no such file"),
    )
    assert said["EndpointConfigName"] == "config"
    update(control, "other")
    assert "FailureReason" not in control.describe()


@pytest.mark.provenance("guess")
def test_an_update_to_the_configuration_that_serves_takes_the_models_anew(control: Control) -> None:
    control.serve()
    before = control.endpoint().active
    (control.buckets / "models" / "one.tar.gz").write_bytes(b"another archive")

    update(control, "config")
    control.settle()

    after = control.endpoint().active
    assert before is not None
    assert after is not None
    assert before.variants[0].source.location == after.variants[0].source.location
    assert before.variants[0].source.version != after.variants[0].source.version


@pytest.mark.provenance("observed")
def test_an_update_needs_its_configuration_and_its_models(control: Control) -> None:
    control.serve()
    asked = {"EndpointName": "iris", "EndpointConfigName": "other"}
    config = arn(Kind.ENDPOINT_CONFIG, "other")
    assert control.refusal("UpdateEndpoint", **asked) == f'Could not find endpoint configuration "{config}".'

    control.create_config("other")
    control.call("DeleteModel", ModelName="one")

    assert control.refusal("UpdateEndpoint", **asked) == f'Could not find model "{arn(Kind.MODEL, "one")}".'


@pytest.mark.provenance("documented")
def test_an_update_starts_from_the_new_configuration_unless_told_to_retain(control: Control) -> None:
    control.serve(variant("a", InitialVariantWeight=9), variant("gone"))
    control.create_config("other", variant("a", InitialVariantWeight=2), variant("new"))
    weigh(control, a={"DesiredWeight": 5, "DesiredInstanceCount": 3})
    control.settle()

    update(control, "other")
    control.settle()

    assert state_of(control) == {"a": (2.0, 1), "new": (1.0, 1)}


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    ("excluded", "kept"),
    [
        ([], (5.0, 3)),
        (["DesiredWeight"], (2.0, 3)),
        (["DesiredInstanceCount"], (5.0, 1)),
        (["DesiredInstanceCount", "DesiredWeight", "DataCaptureConfig"], (2.0, 1)),
    ],
)
def test_what_is_retained_of_namesakes_can_be_excluded_by_type(
    control: Control, excluded: list[str], kept: tuple[float, int]
) -> None:
    control.serve(variant("a", InitialVariantWeight=9), variant("gone"))
    control.create_config("other", variant("a", InitialVariantWeight=2), variant("new"))
    weigh(control, a={"DesiredWeight": 5, "DesiredInstanceCount": 3})
    control.settle()
    exclusions = [{"VariantPropertyType": one} for one in excluded]
    more = {"ExcludeRetainedVariantProperties": exclusions} if exclusions else {}

    update(control, "other", RetainAllVariantProperties=True, **more)
    control.settle()

    assert state_of(control) == {"a": kept, "new": (1.0, 1)}


@pytest.mark.provenance("guess")
def test_exclusions_without_retaining_are_refused(control: Control) -> None:
    control.serve()

    for more in ({}, {"RetainAllVariantProperties": False}):
        sentence = control.refusal(
            "UpdateEndpoint",
            EndpointName="iris",
            EndpointConfigName="config",
            ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DesiredWeight"}],
            **more,
        )
        assert "needs RetainAllVariantProperties" in sentence


@pytest.mark.provenance("documented")
def test_a_deployment_is_remembered_until_an_update_does_without_it(control: Control) -> None:
    control.create_model()
    control.create_config()
    control.create_endpoint(DeploymentConfig=ALARMS)
    assert control.describe()["LastDeploymentConfig"] == ALARMS
    control.settle()

    update(control, "config", RetainDeploymentConfig=True)
    control.settle()
    assert control.describe()["LastDeploymentConfig"] == ALARMS

    update(control, "config", RetainDeploymentConfig=False)
    control.settle()
    assert "LastDeploymentConfig" not in control.describe()

    update(control, "config", DeploymentConfig=ALARMS)
    control.settle()
    assert control.describe()["LastDeploymentConfig"] == ALARMS

    update(control, "config")
    assert "LastDeploymentConfig" not in control.describe()


@pytest.mark.provenance("documented")
def test_an_endpoint_never_turns_from_instances_to_serverless_or_back(control: Control) -> None:
    control.serve()
    control.create_config("serverless", variant(ServerlessConfig=SERVERLESS))
    asked = {"EndpointName": "iris", "EndpointConfigName": "serverless"}

    assert "serverless" in control.refusal("UpdateEndpoint", **asked)

    control.create_endpoint("less", "serverless")
    control.settle()
    asked = {"EndpointName": "less", "EndpointConfigName": "config"}
    assert "serverless" in control.refusal("UpdateEndpoint", **asked)


# UpdateEndpointWeightsAndCapacities


@pytest.mark.provenance("documented")
def test_new_weights_and_counts_are_updating_until_every_gateway_follows(control: Control) -> None:
    control.serve(variant("a"), variant("b"))
    control.report(pid=2)
    generation = control.endpoint().generation
    control.clock.advance(60)

    weigh(control, b={"DesiredWeight": 0}, a={"DesiredInstanceCount": 3})

    assert control.describe()["EndpointStatus"] == "Updating"
    assert state_of(control) == {"a": (1.0, 3), "b": (0, 1)}
    assert control.endpoint().serving == control.endpoint().active
    control.report(pid=1)
    assert control.keep() == 0
    control.report(pid=2)
    assert control.keep() == 1
    assert control.describe()["EndpointStatus"] == "InService"
    assert control.endpoint().generation == generation
    assert control.describe()["LastModifiedTime"] == NOON + timedelta(seconds=60)


@pytest.mark.provenance("observed")
def test_weights_name_each_variant_of_the_endpoint_at_most_once(control: Control) -> None:
    control.serve()
    operation = "UpdateEndpointWeightsAndCapacities"

    unknown = control.refusal(operation, **desired(x={"DesiredWeight": 1}, a={"DesiredWeight": 1}))
    twice = control.refusal(
        operation, EndpointName="iris", DesiredWeightsAndCapacities=ONE["DesiredWeightsAndCapacities"] * 2
    )

    assert unknown == ('The variant name(s) "x" is/are not present within endpoint configuration "config".')
    assert twice == 'The variant name "a" was non-unique within the request.'


@pytest.mark.provenance("guess")
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "Give variant"),
        ({"DesiredInstanceCount": 0}, "must be at least 1"),
        ({"ServerlessUpdateConfig": {"MaxConcurrency": 2}}, "is not serverless"),
        ({"DesiredWeight": float("inf")}, "must be a finite number"),
    ],
)
def test_a_capacity_that_a_variant_cannot_have_is_refused(
    control: Control, fields: dict[str, Any], words: str
) -> None:
    control.serve()

    assert words in control.refusal("UpdateEndpointWeightsAndCapacities", **desired(a=fields))


def test_a_serverless_variant_gets_another_concurrency(control: Control) -> None:
    control.serve(variant(ServerlessConfig={**SERVERLESS, "ProvisionedConcurrency": 3}))

    weigh(control, a={"ServerlessUpdateConfig": {"MaxConcurrency": 4}, "DesiredWeight": 2})
    during = control.variants()["a"]
    control.settle()

    wanted = {"MemorySizeInMB": 1024, "MaxConcurrency": 4, "ProvisionedConcurrency": 3}
    assert during["DesiredServerlessConfig"] == wanted
    assert during["CurrentServerlessConfig"] == {**wanted, "MaxConcurrency": 5}
    assert control.variants()["a"]["CurrentServerlessConfig"] == wanted
    fleet = control.endpoint().active
    assert fleet is not None
    assert fleet.variants[0].most_calls == 4


@pytest.mark.provenance("guess")
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"DesiredInstanceCount": 2}, "is serverless"),
        ({"ServerlessUpdateConfig": {"MaxConcurrency": 2}}, "must not exceed its MaxConcurrency"),
        ({"ServerlessUpdateConfig": {"ProvisionedConcurrency": 6}}, "must not exceed its MaxConcurrency"),
    ],
)
def test_a_capacity_that_a_serverless_variant_cannot_have_is_refused(
    control: Control, fields: dict[str, Any], words: str
) -> None:
    control.serve(variant(ServerlessConfig={**SERVERLESS, "ProvisionedConcurrency": 3}))

    assert words in control.refusal("UpdateEndpointWeightsAndCapacities", **desired(a=fields))


# DeleteEndpoint


@pytest.mark.provenance("documented")
def test_a_deleted_endpoint_is_deleting_until_every_gateway_follows(control: Control) -> None:
    control.serve()
    control.report(pid=2)

    assert control.call("DeleteEndpoint", EndpointName="iris") == {}

    assert control.describe()["EndpointStatus"] == "Deleting"
    assert control.endpoint().serving is None
    control.report(pid=1)
    assert control.keep() == 0
    assert control.keep(alive=[1]) == 1  # whoever is gone has nothing of it left
    assert control.refusal("DescribeEndpoint", EndpointName="iris") == MISSING
    assert control.names(Kind.ENDPOINT_CONFIG) == ["config"]
    assert control.names(Kind.MODEL) == ["one"]


def test_without_gateways_a_deleted_endpoint_waits_for_one(control: Control) -> None:
    control.serve()
    control.call("DeleteEndpoint", EndpointName="iris")

    assert control.keep(alive=[]) == 0
    assert control.describe()["EndpointStatus"] == "Deleting"


# What may happen when

CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("UpdateEndpoint", {"EndpointName": "iris", "EndpointConfigName": "config"}),
    ("UpdateEndpointWeightsAndCapacities", ONE),
    ("DeleteEndpoint", {"EndpointName": "iris"}),
]


@pytest.mark.provenance("observed")
@pytest.mark.parametrize(("operation", "fields"), CHANGES)
def test_what_is_not_there_cannot_be_changed(
    control: Control, operation: str, fields: dict[str, Any]
) -> None:
    assert control.refusal(operation, **fields) == MISSING


@pytest.mark.provenance("observed")
@pytest.mark.parametrize(("operation", "fields"), CHANGES)
def test_a_change_under_way_has_to_end_first(
    control: Control, operation: str, fields: dict[str, Any]
) -> None:
    control.create_model()
    control.create_config()
    control.create_endpoint()
    assert control.refusal(operation, **fields) == BUSY  # Creating
    control.report()
    control.keep()
    assert control.refusal(operation, **fields) == BUSY  # Creating still: nobody follows yet
    control.settle()
    update(control, "config")
    assert control.refusal(operation, **fields) == BUSY  # Updating
    control.settle()
    weigh(control, a={"DesiredWeight": 2})
    assert control.refusal(operation, **fields) == BUSY  # Updating, for weights
    control.settle()
    control.call("DeleteEndpoint", EndpointName="iris")
    assert control.refusal(operation, **fields) == BUSY  # Deleting


@pytest.mark.provenance("documented")
def test_a_failed_endpoint_can_only_be_deleted(control: Control) -> None:
    control.create_model()
    control.create_config()
    control.create_endpoint()
    control.settle(WarmState.FAILED, "no such file")
    assert control.describe()["EndpointStatus"] == "Failed"

    for operation, fields in CHANGES[:2]:
        assert control.refusal(operation, **fields) == (
            f'Cannot update failed endpoint "{ARN}": delete it and create it anew.'
        )
    control.settle(WarmState.WARM)
    assert control.describe()["EndpointStatus"] == "Failed"
    assert control.endpoint().serving is None

    control.call("DeleteEndpoint", EndpointName="iris")
    control.settle()
    assert control.refusal("DescribeEndpoint", EndpointName="iris") == MISSING
