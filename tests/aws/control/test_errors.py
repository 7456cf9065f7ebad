"""Every refusal of contract C.7 that applies, as boto3 raises it: code, text and status."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.aws.control.conftest import IMAGE, ROLE, Account, arn, refusal, script, variant

NOBODY = "nobody"
REFUSED = "refused"
_DATA = {"Image": IMAGE, "ModelDataUrl": "s3://models/errors/model.tar.gz"}
_DETECTED = "1 validation error detected: "


@dataclass(frozen=True)
class Refused:
    """A call that must be refused; a message that ends in an ellipsis is only what it begins with."""

    name: str
    operation: str
    members: dict[str, Any]
    message: str
    source: str = "observed"

    def is_told(self, message: str) -> bool:
        if self.message.endswith("…"):
            return message.startswith(self.message[:-1])
        return message == self.message


def _model(name: str = REFUSED, **members: Any) -> dict[str, Any]:
    return {"ModelName": name, "ExecutionRoleArn": ROLE, **members}


def _config(*variants: dict[str, Any], name: str = REFUSED, **members: Any) -> dict[str, Any]:
    return {"EndpointConfigName": name, "ProductionVariants": list(variants), **members}


def _weights(*desired: dict[str, Any], name: str = "errors") -> dict[str, Any]:
    return {"EndpointName": name, "DesiredWeightsAndCapacities": list(desired)}


def _missing(words: str, part: str) -> str:
    return f'Could not find {words} "{arn(f"{part}/{NOBODY}")}".'


_ENDPOINT = _missing("endpoint", "endpoint")
_CONFIG = _missing("endpoint configuration", "endpoint-config")
_MODEL = _missing("model", "model")
_TAKEN = "Cannot create already existing"

CASES = [
    Refused("describe-endpoint", "describe_endpoint", {"EndpointName": NOBODY}, _ENDPOINT),
    Refused("delete-endpoint", "delete_endpoint", {"EndpointName": NOBODY}, _ENDPOINT),
    Refused(
        "update-endpoint",
        "update_endpoint",
        {"EndpointName": NOBODY, "EndpointConfigName": "errors"},
        _ENDPOINT,
    ),
    Refused(
        "update-to-unknown-config",
        "update_endpoint",
        {"EndpointName": "errors", "EndpointConfigName": NOBODY},
        _CONFIG,
    ),
    Refused(
        "weights-of-unknown-endpoint",
        "update_endpoint_weights_and_capacities",
        _weights({"VariantName": "v", "DesiredWeight": 1.0}, name=NOBODY),
        _ENDPOINT,
    ),
    Refused(
        "endpoint-of-unknown-config",
        "create_endpoint",
        {"EndpointName": REFUSED, "EndpointConfigName": NOBODY},
        _CONFIG,
    ),
    Refused("describe-config", "describe_endpoint_config", {"EndpointConfigName": NOBODY}, _CONFIG),
    Refused("delete-config", "delete_endpoint_config", {"EndpointConfigName": NOBODY}, _CONFIG),
    Refused("config-of-unknown-model", "create_endpoint_config", _config(variant("v", NOBODY)), _MODEL),
    Refused("describe-model", "describe_model", {"ModelName": NOBODY}, _MODEL),
    Refused("delete-model", "delete_model", {"ModelName": NOBODY}, _MODEL),
    Refused(
        "model-twice",
        "create_model",
        _model("errors", PrimaryContainer=_DATA),
        f'{_TAKEN} model "{arn("model/errors")}".',
    ),
    Refused(
        "config-twice",
        "create_endpoint_config",
        _config(variant("v", "errors"), name="errors"),
        f'{_TAKEN} endpoint configuration "{arn("endpoint-config/errors")}".',
    ),
    Refused(
        "endpoint-twice",
        "create_endpoint",
        {"EndpointName": "errors", "EndpointConfigName": "errors"},
        f'{_TAKEN} endpoint "{arn("endpoint/errors")}".',
    ),
    Refused(
        "weight-of-unknown-variants",
        "update_endpoint_weights_and_capacities",
        _weights({"VariantName": "x", "DesiredWeight": 1.0}, {"VariantName": "y", "DesiredWeight": 1.0}),
        'The variant name(s) "x, y" is/are not present within endpoint configuration "errors".',
    ),
    Refused(
        "weight-twice",
        "update_endpoint_weights_and_capacities",
        _weights({"VariantName": "v", "DesiredWeight": 1.0}, {"VariantName": "v", "DesiredWeight": 2.0}),
        'The variant name "v" was non-unique within the request.',
    ),
    Refused(
        "no-container-source",
        "create_model",
        _model(PrimaryContainer={"ModelDataUrl": "s3://models/errors/model.tar.gz"}),
        "Specify one of either Image and Model Data URL or ModelPackageName in container definition.",
    ),
    Refused(
        "no-container",
        "create_model",
        _model(),
        "Specify one of PrimaryContainer and Containers.",
        source="guess",
    ),
    Refused(
        "both-kinds-of-containers",
        "create_model",
        _model(PrimaryContainer=_DATA, Containers=[_DATA]),
        "Specify one of PrimaryContainer and Containers.",
        source="guess",
    ),
    Refused(
        "two-sources-of-data",
        "create_model",
        _model(
            PrimaryContainer={
                **_DATA,
                "ModelDataSource": {
                    "S3DataSource": {
                        "S3Uri": "s3://models/errors/",
                        "S3DataType": "S3Prefix",
                        "CompressionType": "None",
                    }
                },
            }
        ),
        "Specify either ModelDataUrl or ModelDataSource, not both.",
        source="guess",
    ),
    Refused(
        "missing-model-data",
        "create_model",
        _model(PrimaryContainer={"Image": IMAGE, "ModelDataUrl": "s3://models/none.tar.gz"}),
        "Could not find model data at s3://models/none.tar.gz.",
    ),
    Refused(
        "model-data-outside-of-the-bucket",
        "create_model",
        _model(PrimaryContainer={"Image": IMAGE, "ModelDataUrl": "s3://models/../../etc"}),
        "Could not find model data at s3://models/../../etc.",
    ),
    Refused(
        "same-variant-twice",
        "create_endpoint_config",
        _config(variant("v", "errors"), variant("v", "errors")),
        'The variant name "v" was non-unique within the request.',
        source="guess",
    ),
    Refused(
        "both-update-policies",
        "update_endpoint",
        {
            "EndpointName": "errors",
            "EndpointConfigName": "errors",
            "DeploymentConfig": {
                "BlueGreenUpdatePolicy": {
                    "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
                },
                "RollingUpdatePolicy": {
                    "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 50},
                    "WaitIntervalInSeconds": 0,
                },
            },
        },
        "A DeploymentConfig has either a BlueGreenUpdatePolicy or a RollingUpdatePolicy, not both.",
        source="guess",
    ),
    Refused(
        "pattern",
        "create_endpoint",
        {"EndpointName": "under_score", "EndpointConfigName": "errors"},
        f"{_DETECTED}Value 'under_score' at 'endpointName' failed to satisfy constraint: Member must satisfy "
        "regular expression pattern: …",
    ),
    Refused(
        "length",
        "create_model",
        _model("m" * 64, PrimaryContainer=_DATA),
        f"{_DETECTED}Value '{'m' * 64}' at 'modelName' failed to satisfy constraint: Member must have length "
        "less than or equal to 63",
    ),
    Refused(
        "instance-type",
        "create_endpoint_config",
        _config(variant("v", "errors", InitialInstanceCount=1, InstanceType="local")),
        f"{_DETECTED}Value 'local' at 'productionVariants.1.member.instanceType' failed to satisfy "
        "constraint: Member must satisfy enum value set: [ml.…",
    ),
    Refused(
        "two-mistakes",
        "create_endpoint",
        {"EndpointName": "under_score", "EndpointConfigName": "two_scores"},
        "2 validation errors detected: Value 'under_score' at 'endpointName' failed to satisfy constraint: …",
    ),
    Refused(
        "page-of-101",
        "list_endpoints",
        {"MaxResults": 101},
        f"{_DETECTED}Value '101' at 'maxResults' failed to satisfy constraint: Member must have value less "
        "than or equal to 100",
    ),
    Refused(
        "foreign-arn",
        "list_tags",
        {"ResourceArn": arn("training-job/j-1")},
        f'"{arn("training-job/j-1")}" is not the ARN of a model, endpoint configuration, endpoint or '
        "transform job of this account and region.",
        source="guess",
    ),
]

# Terraform's provider reads these words out of messages. Source: contract C.7, last row.
TERRAFORM = [
    ("describe_endpoint", {"EndpointName": NOBODY}, "Could not find endpoint"),
    ("delete_endpoint", {"EndpointName": NOBODY}, "Could not find endpoint"),
    ("describe_endpoint_config", {"EndpointConfigName": NOBODY}, "Could not find endpoint configuration"),
    ("delete_endpoint_config", {"EndpointConfigName": NOBODY}, "Could not find endpoint configuration"),
    ("describe_model", {"ModelName": NOBODY}, "Could not find model"),
    ("delete_model", {"ModelName": NOBODY}, "Could not find model"),
]


@pytest.fixture(scope="module", autouse=True)
def stand(account: Account) -> Iterator[None]:
    """A model, a configuration and an endpoint, all of the name `errors`."""
    account.put("errors/model.tar.gz", {"inference.py": script("fine")})
    account.sagemaker.create_model(**_model("errors", PrimaryContainer=_DATA))
    account.sagemaker.create_endpoint_config(**_config(variant("v", "errors"), name="errors"))
    account.sagemaker.create_endpoint(EndpointName="errors", EndpointConfigName="errors")
    account.wait("errors")
    before = account.describe("errors")["LastModifiedTime"]
    yield
    assert account.sagemaker.list_models(NameContains=REFUSED)["Models"] == []
    assert account.sagemaker.list_endpoint_configs(NameContains=REFUSED)["EndpointConfigs"] == []
    assert account.sagemaker.list_endpoints(NameContains=REFUSED)["Endpoints"] == []
    assert account.describe("errors")["EndpointStatus"] == "InService"
    assert account.describe("errors")["LastModifiedTime"] == before


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=case.name, marks=pytest.mark.provenance(case.source)) for case in CASES],
)
def test_each_refusal_reaches_boto3_with_its_code_and_words(case: Refused, account: Account) -> None:
    code, message, status = refusal(getattr(account.sagemaker, case.operation), **case.members)
    assert (code, status) == ("ValidationException", 400)
    assert case.is_told(message), message


@pytest.mark.provenance("observed")
@pytest.mark.parametrize(("operation", "members", "words"), TERRAFORM)
def test_terraform_knows_by_the_words_what_is_not_there(
    operation: str, members: dict[str, Any], words: str, account: Account
) -> None:
    code, message, _ = refusal(getattr(account.sagemaker, operation), **members)
    assert code == "ValidationException"
    assert words in message


@pytest.mark.provenance("observed")
def test_the_sdk_knows_by_the_words_what_is_there_already(account: Account) -> None:
    _, message, _ = refusal(account.sagemaker.create_model, **_model("errors", PrimaryContainer=_DATA))
    assert "Cannot create already existing model" in message


@pytest.mark.provenance("observed")
def test_changes_of_an_endpoint_that_is_changing_are_refused(account: Account) -> None:
    endpoint = account.endpoint(variant("v", account.model("busy")))
    busy = (
        "ValidationException",
        f'Cannot update in-progress endpoint "{arn(f"endpoint/{endpoint}")}".',
        400,
    )
    desired = [{"VariantName": "v", "DesiredWeight": 2.0}]
    sagemaker = account.sagemaker
    with account.keeper_asleep():
        sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=endpoint, DesiredWeightsAndCapacities=desired
        )
        assert refusal(sagemaker.delete_endpoint, EndpointName=endpoint) == busy
        assert refusal(sagemaker.update_endpoint, EndpointName=endpoint, EndpointConfigName="errors") == busy
        again = {"EndpointName": endpoint, "DesiredWeightsAndCapacities": desired}
        assert refusal(sagemaker.update_endpoint_weights_and_capacities, **again) == busy
    account.wait(endpoint)
    sagemaker.delete_endpoint(EndpointName=endpoint)
    account.wait_gone(endpoint)
