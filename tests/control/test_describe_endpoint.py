from datetime import timedelta
from typing import Any

import pytest

from service.control.declaration import Declaration, DeclaredVariant
from service.control.declared import apply_declaration
from service.domain import sentences
from service.domain.endpoint import WarmState
from service.domain.image import resolved_image
from service.domain.kinds import Kind
from tests.control.conftest import IMAGE, NOON, PACKAGE_OF_OTHERS, Control, arn, variant

ARN = arn(Kind.ENDPOINT, "iris")
SERVERLESS = {"MemorySizeInMB": 1024, "MaxConcurrency": 5}
ALARMS = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "loud"}]}}
CAPTURE = {
    "InitialSamplingPercentage": 50,
    "DestinationS3Uri": "s3://captured/here",
    "CaptureOptions": [{"CaptureMode": "Input"}],
}
EXPLAINER = {"ClarifyExplainerConfig": {"ShapConfig": {"ShapBaselineConfig": {"ShapBaseline": "1,2"}}}}
ASYNC = {"OutputConfig": {"S3OutputPath": "s3://out/"}}
OTHER_ASYNC = {"OutputConfig": {"S3OutputPath": "s3://elsewhere/"}}


def images(begun_at: Any = NOON) -> list[dict[str, Any]]:
    return [
        {"SpecifiedImage": IMAGE, "ResolvedImage": resolved_image(IMAGE), "ResolutionTime": begun_at},
    ]


def summary(
    name: str = "a",
    weight: tuple[float, float] = (1.0, 1.0),
    count: tuple[int, int] = (1, 1),
    status: str = "",
    since: Any = NOON,
    begun_at: Any = NOON,
) -> dict[str, Any]:
    """A variant's summary; current and desired values, and its status if it has any."""
    found = {
        "VariantName": name,
        "DeployedImages": images(begun_at),
        "CurrentWeight": weight[0],
        "DesiredWeight": weight[1],
        "CurrentInstanceCount": count[0],
        "DesiredInstanceCount": count[1],
    }
    return {**found, "VariantStatus": [{"Status": status, "StartTime": since}]} if status else found


def said(status: str, *variants: dict[str, Any], modified: Any = NOON, **more: Any) -> dict[str, Any]:
    return {
        "EndpointName": "iris",
        "EndpointArn": ARN,
        "EndpointConfigName": "config",
        "ProductionVariants": list(variants),
        "EndpointStatus": status,
        "CreationTime": NOON,
        "LastModifiedTime": modified,
        **more,
    }


def weigh(control: Control, **fields: Any) -> None:
    control.call(
        "UpdateEndpointWeightsAndCapacities",
        EndpointName="iris",
        DesiredWeightsAndCapacities=[{"VariantName": "a", **fields}],
    )


@pytest.mark.provenance("observed")
def test_an_endpoint_that_is_not_there_is_not_found(control: Control) -> None:
    sentence = control.refusal("DescribeEndpoint", EndpointName="iris")

    assert sentence == f'Could not find endpoint "{ARN}".'


@pytest.mark.provenance("botocore")
def test_while_creating_nothing_runs_yet(control: Control) -> None:
    control.create_model()
    control.create_config("config", variant("a", InitialInstanceCount=2))
    control.create_endpoint()

    assert control.describe() == said("Creating", summary(weight=(0.0, 1.0), count=(0, 2), status="Creating"))


@pytest.mark.provenance("botocore")
def test_until_gateways_follow_what_runs_is_creating_too(control: Control) -> None:
    control.create_model()
    control.create_config()
    control.create_endpoint()
    control.report()
    control.keep()

    assert control.describe() == said("Creating", summary(status="Creating"))


@pytest.mark.provenance("botocore")
def test_in_service_there_is_no_status_of_variants(control: Control) -> None:
    control.serve(variant("a", InitialVariantWeight=0), variant("b", InitialInstanceCount=3))

    assert control.describe() == said("InService", summary("a", weight=(0, 0)), summary("b", count=(3, 3)))


@pytest.mark.provenance("documented")
def test_while_updating_the_old_fleet_is_shown_with_the_pending_one_beside_it(control: Control) -> None:
    control.serve()
    control.create_config("other", variant("b", InitialInstanceCount=2, InitialVariantWeight=3))
    control.clock.advance(60)
    later = NOON + timedelta(seconds=60)

    control.call("UpdateEndpoint", EndpointName="iris", EndpointConfigName="other")

    pending = {
        "EndpointConfigName": "other",
        "StartTime": later,
        "ProductionVariants": [
            summary("b", (0.0, 3), (0, 2), status="Creating", since=later, begun_at=later),
        ],
    }
    assert control.describe() == said(
        "Updating",
        summary(status="Updating", since=later),
        modified=later,
        PendingDeploymentSummary=pending,
    )

    control.report()
    control.keep()

    assert control.describe() == said(
        "Updating",
        summary("b", (3, 3), (2, 2), status="Updating", since=later, begun_at=later),
        modified=later,
        EndpointConfigName="other",
    )


@pytest.mark.provenance("documented")
def test_while_weights_change_current_values_are_those_of_before(control: Control) -> None:
    control.serve(variant("a"), variant("b"))

    weigh(control, DesiredWeight=0, DesiredInstanceCount=4)

    assert control.describe() == said(
        "Updating",
        summary("a", (1.0, 0), (1, 4), status="Updating"),
        summary("b", status="Updating"),
    )
    control.settle()
    assert control.describe() == said("InService", summary("a", (0, 0), (4, 4)), summary("b"))


@pytest.mark.provenance("documented")
def test_a_first_fleet_that_failed_is_shown_with_the_reason(control: Control) -> None:
    control.create_model()
    control.create_config()
    control.create_endpoint()
    control.settle(WarmState.FAILED, "no such file")

    assert control.describe() == said(
        "Failed", summary(), FailureReason=sentences.variant_failed("a", "no such file")
    )


@pytest.mark.provenance("documented")
def test_a_failed_update_is_shown_as_the_fleet_that_serves_with_the_reason(control: Control) -> None:
    control.serve()
    control.create_config("other", variant("b"))
    control.call("UpdateEndpoint", EndpointName="iris", EndpointConfigName="other")
    control.settle(WarmState.FAILED, "no such file")

    assert control.describe() == said(
        "InService", summary(), FailureReason=sentences.variant_failed("b", "no such file")
    )


@pytest.mark.provenance("botocore")
def test_while_deleting_the_last_fleet_is_shown(control: Control) -> None:
    control.serve()

    control.call("DeleteEndpoint", EndpointName="iris")

    assert control.describe() == said("Deleting", summary(status="Deleting"))


def test_an_endpoint_that_is_withdrawn_before_it_served_shows_no_fleet(control: Control) -> None:
    models = control.folder / "data"
    models.mkdir()
    only = DeclaredVariant("a", models, False, 1.0, False, False, {})
    apply_declaration(Declaration({"iris": (only,)}), control.store, control.context)
    apply_declaration(Declaration({}), control.store, control.context)

    assert control.describe() == {
        "EndpointName": "iris",
        "EndpointArn": ARN,
        "EndpointStatus": "Deleting",
        "CreationTime": NOON,
        "LastModifiedTime": NOON,
    }


@pytest.mark.provenance("documented")
def test_a_serverless_variant_shows_its_configuration_in_place_of_counts(control: Control) -> None:
    control.create_model()
    control.create_config("config", variant(ServerlessConfig=SERVERLESS))
    control.create_endpoint()
    begun = control.variants()["a"]
    control.settle()
    other = {**SERVERLESS, "MaxConcurrency": 9}
    control.create_config("other", variant(ServerlessConfig=other))

    assert begun["DesiredServerlessConfig"] == SERVERLESS
    assert not begun.keys() & {"CurrentServerlessConfig", "CurrentInstanceCount", "DesiredInstanceCount"}
    (served,) = control.describe()["ProductionVariants"]
    assert served["CurrentServerlessConfig"] == served["DesiredServerlessConfig"] == SERVERLESS
    assert not served.keys() & {"CurrentInstanceCount", "DesiredInstanceCount"}

    control.call("UpdateEndpoint", EndpointName="iris", EndpointConfigName="other")

    (pending,) = control.describe()["PendingDeploymentSummary"]["ProductionVariants"]
    assert pending["DesiredServerlessConfig"] == other
    assert not pending.keys() & {"CurrentServerlessConfig", "CurrentInstanceCount", "DesiredInstanceCount"}


@pytest.mark.provenance("botocore")
def test_what_a_configuration_says_besides_is_shown_while_its_fleet_serves(control: Control) -> None:
    scaling = {"Status": "ENABLED", "MinInstanceCount": 1, "MaxInstanceCount": 2}
    routing = {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"}
    metrics = {"EnableEnhancedMetrics": True}
    control.serve(
        variant("a", ManagedInstanceScaling=scaling, RoutingConfig=routing),
        DataCaptureConfig=CAPTURE,
        AsyncInferenceConfig=ASYNC,
        ExplainerConfig=EXPLAINER,
        MetricsConfig=metrics,
    )

    found = control.describe()

    assert found["DataCaptureConfig"] == {
        "EnableCapture": True,
        "CaptureStatus": "Stopped",
        "CurrentSamplingPercentage": 50,
        "DestinationS3Uri": "s3://captured/here",
        "KmsKeyId": "",
    }
    assert (found["AsyncInferenceConfig"], found["ExplainerConfig"]) == (ASYNC, EXPLAINER)
    assert found["MetricsConfig"] == metrics
    (shown,) = found["ProductionVariants"]
    assert (shown["ManagedInstanceScaling"], shown["RoutingConfig"]) == (scaling, routing)

    control.create_config("plain", AsyncInferenceConfig=OTHER_ASYNC)
    control.call("UpdateEndpoint", EndpointName="iris", EndpointConfigName="plain")
    assert control.describe()["AsyncInferenceConfig"] == ASYNC
    control.settle()
    later = {"EndpointConfigName": "plain", "AsyncInferenceConfig": OTHER_ASYNC}
    assert control.describe() == said("InService", summary(), **later)


def test_a_capture_that_is_off_is_shown_as_off(control: Control) -> None:
    control.serve(DataCaptureConfig={**CAPTURE, "EnableCapture": False, "KmsKeyId": "key"})

    shown = control.describe()["DataCaptureConfig"]

    assert (shown["EnableCapture"], shown["KmsKeyId"]) == (False, "key")


@pytest.mark.provenance("documented")
def test_the_last_deployment_is_shown_in_every_status(control: Control) -> None:
    control.create_model()
    control.create_config()
    control.create_endpoint(DeploymentConfig=ALARMS)
    seen = [control.describe()["LastDeploymentConfig"]]
    control.settle()
    seen.append(control.describe()["LastDeploymentConfig"])
    weigh(control, DesiredWeight=2)
    seen.append(control.describe()["LastDeploymentConfig"])
    control.settle()
    control.call("DeleteEndpoint", EndpointName="iris")
    seen.append(control.describe()["LastDeploymentConfig"])

    assert seen == [ALARMS] * 4


def test_a_variant_without_image_shows_none(control: Control) -> None:
    control.call("CreateModel", ModelName="one", PrimaryContainer={"ModelPackageName": PACKAGE_OF_OTHERS})
    control.create_config()
    control.create_endpoint()

    assert "DeployedImages" not in control.variants()["a"]
