from typing import Any

import pytest

from service.domain.kinds import Kind
from tests.control.conftest import DATA, IMAGE, INSTANCES, NOON, ROLE, Control, arn, variant

ARN = arn(Kind.ENDPOINT_CONFIG, "config")
SERVERLESS = {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
POOLS = [{"InstanceType": "ml.m5.large", "Priority": 1}]
CAPTURE = {
    "InitialSamplingPercentage": 50,
    "DestinationS3Uri": "s3://captured/here",
    "CaptureOptions": [{"CaptureMode": "Input"}],
}
ONE = {"Image": IMAGE, "ModelDataUrl": DATA}
VPC = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}


@pytest.fixture(autouse=True)
def _model(control: Control) -> None:
    control.create_model()


def refusal(control: Control, *variants: dict[str, Any], **more: Any) -> str:
    return control.refusal(
        "CreateEndpointConfig", EndpointConfigName="config", ProductionVariants=list(variants), **more
    )


@pytest.mark.provenance("botocore")
def test_a_configuration_is_described_as_it_was_made(control: Control) -> None:
    asked = {
        "EndpointConfigName": "config",
        "ProductionVariants": [variant("a", InitialVariantWeight=0.0), variant("b")],
        "DataCaptureConfig": CAPTURE,
        "AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://out/"}},
        "KmsKeyId": "key",
        "ExecutionRoleArn": ROLE,
    }

    answer = control.call("CreateEndpointConfig", **asked, Tags=[{"Key": "a", "Value": "b"}])

    assert answer == {"EndpointConfigArn": ARN}
    assert control.call("DescribeEndpointConfig", EndpointConfigName="config") == {
        **asked,
        "ProductionVariants": [
            variant("a", InitialVariantWeight=0.0),
            variant("b", InitialVariantWeight=1.0),
        ],
        "EndpointConfigArn": ARN,
        "CreationTime": NOON,
        "EnableNetworkIsolation": False,
    }


@pytest.mark.provenance("observed")
def test_a_name_is_taken_once_and_free_again_after_its_deletion(control: Control) -> None:
    control.create_config()
    assert refusal(control, variant()) == f'Cannot create already existing endpoint configuration "{ARN}".'

    assert control.call("DeleteEndpointConfig", EndpointConfigName="config") == {}
    control.create_config()


@pytest.mark.provenance("observed")
@pytest.mark.parametrize("operation", ["DescribeEndpointConfig", "DeleteEndpointConfig"])
def test_a_configuration_that_is_not_there_is_not_found(control: Control, operation: str) -> None:
    sentence = control.refusal(operation, EndpointConfigName="config")

    assert sentence == f'Could not find endpoint configuration "{ARN}".'


def test_a_configuration_in_use_can_be_deleted(control: Control) -> None:
    control.serve()

    control.call("DeleteEndpointConfig", EndpointConfigName="config")

    assert control.describe()["EndpointConfigName"] == "config"


@pytest.mark.provenance("observed")
def test_a_variant_needs_its_model(control: Control) -> None:
    sentence = refusal(control, variant("a"), variant("b", "none"))

    assert sentence == f'Could not find model "{arn(Kind.MODEL, "none")}".'


@pytest.mark.provenance("guess")
def test_only_a_configuration_for_inference_components_has_variants_without_model(control: Control) -> None:
    bare = {"VariantName": "a", **INSTANCES}

    assert "needs a ModelName" in refusal(control, bare)
    control.create_config("config", bare, ExecutionRoleArn=ROLE)


@pytest.mark.provenance("observed")
def test_names_of_variants_are_unique_in_a_configuration(control: Control) -> None:
    twice = 'The variant name "a" was non-unique within the request.'

    assert refusal(control, variant("a"), variant("b"), variant("a")) == twice
    assert refusal(control, variant("a"), ShadowProductionVariants=[variant("a")]) == twice


@pytest.mark.provenance("documented")
def test_a_shadow_goes_with_one_variant(control: Control) -> None:
    alone = "one production variant and one shadow variant"

    assert alone in refusal(control, variant("a"), variant("b"), ShadowProductionVariants=[variant("s")])
    assert alone in refusal(control, variant("a"), ShadowProductionVariants=[variant("s"), variant("t")])

    control.create_config("config", variant("a"), ShadowProductionVariants=[variant("s")])
    said = control.call("DescribeEndpointConfig", EndpointConfigName="config")
    assert said["ShadowProductionVariants"] == [variant("s", InitialVariantWeight=1.0)]


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    "capacity", [INSTANCES, {"ServerlessConfig": SERVERLESS}, {"InstancePools": POOLS}], ids=repr
)
def test_a_variant_has_capacity_of_one_kind(control: Control, capacity: dict[str, Any]) -> None:
    control.create_config("config", {"VariantName": "a", "ModelName": "one", **capacity})


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    "capacity",
    [
        {},
        {"InitialInstanceCount": 1},
        {"InstanceType": "ml.m5.large"},
        {**INSTANCES, "ServerlessConfig": SERVERLESS},
        {"InstanceType": "ml.m5.large", "ServerlessConfig": SERVERLESS},
        {**INSTANCES, "InstancePools": POOLS},
        {"InstanceType": "ml.m5.large", "InstancePools": POOLS},
        {"ServerlessConfig": SERVERLESS, "InstancePools": POOLS},
    ],
    ids=repr,
)
def test_a_variant_with_capacity_of_no_or_several_kinds_is_refused(
    control: Control, capacity: dict[str, Any]
) -> None:
    sentence = refusal(control, {"VariantName": "a", "ModelName": "one", **capacity})

    assert sentence.startswith('Production variant "a" needs exactly one of')


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    ("serverless", "words"),
    [
        ({"MemorySizeInMB": 1500}, "must be a multiple of 1024 from 1024 to 6144 (is 1500)"),
        ({"ProvisionedConcurrency": 6}, "must not exceed its MaxConcurrency"),
    ],
)
def test_a_serverless_variant_has_limits(control: Control, serverless: dict[str, int], words: str) -> None:
    assert words in refusal(control, variant(ServerlessConfig={**SERVERLESS, **serverless}))


@pytest.mark.provenance("guess")
def test_a_weight_is_a_number_that_can_be_shared_out(control: Control) -> None:
    sentence = refusal(control, variant(InitialVariantWeight=float("inf")))

    assert sentence == 'The weight of variant "a" must be a finite number.'


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"DataCaptureConfig": CAPTURE}, "DataCaptureConfig"),
        ({"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://out/"}}}, "AsyncInferenceConfig"),
    ],
)
def test_serverless_goes_with_few_other_features(control: Control, more: dict[str, Any], words: str) -> None:
    assert refusal(control, variant("a", ServerlessConfig=SERVERLESS), **more) == (
        "One or more endpoint features are not supported using this configuration: "
        f"ServerlessConfig does not go with {words}."
    )


@pytest.mark.provenance("documented")
def test_serverless_and_instances_do_not_mix(control: Control) -> None:
    mixed = [variant("a"), variant("b", ServerlessConfig=SERVERLESS)]
    assert "ServerlessConfig does not go with variants on instances." in refusal(control, *mixed)


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"PrimaryContainer": {"Mode": "MultiModel", **ONE}}, "a model with Mode MultiModel"),
        ({"Containers": [ONE, ONE]}, "a model of several containers"),
        ({"PrimaryContainer": ONE, "VpcConfig": VPC}, "VpcConfig"),
        ({"PrimaryContainer": ONE, "EnableNetworkIsolation": True}, "EnableNetworkIsolation"),
    ],
)
def test_serverless_goes_with_plain_models_only(control: Control, model: dict[str, Any], words: str) -> None:
    control.call("CreateModel", ModelName="odd", **model)

    said = refusal(control, variant("a", "odd", ServerlessConfig=SERVERLESS))

    assert said.endswith(f"ServerlessConfig does not go with {words}.")
    control.create_config("config", variant("a", "odd"))


@pytest.mark.provenance("documented")
def test_serverless_is_in_no_network_of_its_own(control: Control) -> None:
    for member in ({"VpcConfig": VPC}, {"EnableNetworkIsolation": True}):
        said = refusal(control, variant("a", ServerlessConfig=SERVERLESS), **member)
        assert said.endswith(f"ServerlessConfig does not go with {next(iter(member))}.")


@pytest.mark.provenance("documented")
@pytest.mark.parametrize("odd_one", ["production", "shadow"])
@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"PrimaryContainer": {"Mode": "MultiModel", **ONE}}, "a model with Mode MultiModel"),
        ({"Containers": [ONE, ONE]}, "a model of several containers"),
    ],
)
def test_a_shadow_goes_with_models_of_one_container(
    control: Control, model: dict[str, Any], words: str, odd_one: str
) -> None:
    control.call("CreateModel", ModelName="odd", **model)
    production, shadow = ("odd", "one") if odd_one == "production" else ("one", "odd")

    said = refusal(control, variant("a", production), ShadowProductionVariants=[variant("s", shadow)])

    assert said.endswith(f"ShadowProductionVariants does not go with {words}.")


@pytest.mark.provenance("documented")
def test_a_shadow_goes_with_real_time_endpoints_only(control: Control) -> None:
    shadows = {"ShadowProductionVariants": [variant("s", ServerlessConfig=SERVERLESS)]}
    said = refusal(control, variant("a", ServerlessConfig=SERVERLESS), **shadows)
    assert said.endswith("ShadowProductionVariants does not go with ServerlessConfig.")

    shadows = {"ShadowProductionVariants": [variant("s")]}
    later = {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://out/"}}}
    said = refusal(control, variant("a"), **shadows, **later)
    assert said.endswith("ShadowProductionVariants does not go with AsyncInferenceConfig.")
