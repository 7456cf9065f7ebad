from dataclasses import replace
from typing import Any

import pytest

from service.control.deployables import obstacle_of
from service.domain.endpoint import WarmState
from service.domain.features import LoadLimits
from service.domain.image import BUILT_IN
from service.domain.kinds import Kind
from tests.control.conftest import DATA, IMAGE, INSTANCES, PACKAGE_OF_OTHERS, ROLE, Control, variant

CONTAINER = {"Image": IMAGE, "ModelDataUrl": DATA}
UNHEALTHY = (
    "The primary container for production variant {} did not pass the ping health check. "
    "Please check CloudWatch logs for this endpoint. "
)


def reason(control: Control) -> str:
    """Why the endpoint of model `one` failed, with a gateway that has loaded whatever it was asked for."""
    control.create_config()
    control.create_endpoint()
    control.settle(WarmState.WARM)
    said = control.describe()
    assert said["EndpointStatus"] == "Failed"
    return str(said["FailureReason"])


def source_of(control: Control) -> Any:
    fleet = control.endpoint().active
    assert fleet is not None
    return fleet.variants[0].source


@pytest.mark.parametrize("image", [BUILT_IN, IMAGE, f"{IMAGE.partition(':')[0]}@sha256:12"])
def test_scikit_learn_images_run(control: Control, image: str) -> None:
    control.create_model(Image=image)
    control.create_config()
    control.create_endpoint()
    control.settle()

    assert control.describe()["EndpointStatus"] == "InService"


def test_an_image_that_cannot_run_fails_its_endpoint_and_says_what_can(control: Control) -> None:
    control.create_model(Image="763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-inference:2.1")

    sentence = reason(control)

    assert sentence.startswith(
        UNHEALTHY.format("a") + "the image 763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-"
    )
    assert "sagebird/sklearn" in sentence


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"PrimaryContainer": {"ModelPackageName": PACKAGE_OF_OTHERS}}, "a model package cannot run here"),
        ({"PrimaryContainer": {"Image": IMAGE}}, "the model has no data"),
    ],
)
def test_what_has_no_runtime_here_fails_its_endpoint(
    control: Control, model: dict[str, Any], words: str
) -> None:
    control.upload()
    control.call("CreateModel", ModelName="one", **model)

    assert words in reason(control)


def test_inference_components_fail_their_endpoint(control: Control) -> None:
    control.create_config("config", {"VariantName": "a", **INSTANCES}, ExecutionRoleArn=ROLE)
    control.create_endpoint()
    control.settle()

    assert "inference components cannot run here yet" in control.describe()["FailureReason"]


def test_one_container_in_a_list_of_containers_runs(control: Control) -> None:
    assert obstacle_of([CONTAINER]) == ""
    control.upload()
    control.call("CreateModel", ModelName="one", Containers=[CONTAINER])
    control.create_config()
    control.create_endpoint()
    control.settle()

    assert control.describe()["EndpointStatus"] == "InService"


@pytest.mark.provenance("observed")
def test_data_that_went_after_the_model_was_made_fail_the_endpoint(control: Control) -> None:
    control.create_model()
    (control.buckets / "models" / "one.tar.gz").unlink()

    assert reason(control) == (
        'Failed to download model data for container "container_1" from URL: '
        f'"{DATA}". Please ensure that there is an object located at the URL and that the role passed to '
        "CreateModel has permissions to download the object."
    )


def test_one_variant_that_cannot_run_fails_an_update_and_leaves_the_endpoint(control: Control) -> None:
    control.serve()
    control.create_model("other", Image="pytorch:2")
    control.create_config("both", variant("a"), variant("b", "other"))

    control.call("UpdateEndpoint", EndpointName="iris", EndpointConfigName="both")
    control.settle()

    said = control.describe()
    assert said["EndpointStatus"] == "InService"
    assert said["FailureReason"].startswith(UNHEALTHY.format("b") + "the image pytorch:2 cannot run here")


def test_files_that_change_reach_an_endpoint_with_its_next_update(control: Control) -> None:
    control.serve()
    before = source_of(control)
    (control.buckets / "models" / "one.tar.gz").write_bytes(b"other")
    assert source_of(control) == before

    control.call("UpdateEndpoint", EndpointName="iris", EndpointConfigName="config")
    control.settle()

    assert source_of(control).version not in ("", before.version)


@pytest.mark.provenance("documented")
def test_models_below_a_prefix_need_not_be_there_and_follow_their_files(control: Control) -> None:
    prefix = "s3://models/many/"
    control.create_model(Mode="MultiModel", ModelDataUrl=prefix)
    control.create_config()
    control.create_endpoint()
    control.settle()

    source = source_of(control)
    assert control.describe()["EndpointStatus"] == "InService"
    assert (source.location, source.multi, source.version) == (prefix, True, "")


def test_the_environment_reaches_the_model_in_one_order(control: Control) -> None:
    control.create_model("one", Environment={"Z": "", "A": "1"})
    control.serve()

    assert source_of(control).environment == (("A", "1"), ("Z", ""))


def test_data_may_be_named_as_a_source(control: Control) -> None:
    control.upload()
    data = {"S3DataSource": {"S3Uri": DATA, "S3DataType": "S3Object", "CompressionType": "Gzip"}}
    control.call("CreateModel", ModelName="one", PrimaryContainer={"Image": IMAGE, "ModelDataSource": data})
    control.serve()

    assert source_of(control).location == DATA


def test_a_variant_has_the_copies_and_calls_that_its_configuration_says(control: Control) -> None:
    serverless = {"MemorySizeInMB": 1024, "MaxConcurrency": 7}
    control.create_model()
    control.create_config("config", variant("a", InitialInstanceCount=3))
    control.create_config("less", variant("a", ServerlessConfig=serverless))
    control.create_endpoint()
    control.create_endpoint("less", "less")

    counted, less = control.endpoint().pending, control.endpoint("less").pending
    assert counted is not None
    assert less is not None
    assert (counted.variants[0].instances, counted.variants[0].most_calls) == (3, None)
    assert (less.variants[0].instances, less.variants[0].most_calls) == (1, 7)
    assert control.names(Kind.ENDPOINT) == ["iris", "less"]


def test_the_time_that_a_model_may_take_to_load_reaches_every_container(control: Control) -> None:
    times: dict[str, Any] = {
        "ModelDataDownloadTimeoutInSeconds": 61,
        "ContainerStartupHealthCheckTimeoutInSeconds": 62,
    }
    control.create_model()
    control.create_config("config", variant("a", **times), variant("b"))
    control.create_endpoint()
    control.reopen()

    pending = control.endpoint().pending
    assert pending is not None
    assert [each.source.limits for each in pending.variants] == [LoadLimits(61, 62), LoadLimits()]
    assert pending.variants[0].source == pending.variants[1].source  # one model, loaded once


THEIRS = "mine/app:1"


def test_where_images_run_a_variant_keeps_the_one_that_is_there_now(control: Control) -> None:
    identity = ["sha256:1"]
    control.context = replace(
        control.context, runs_images=True, image_now=lambda image: f"{image}#{identity[0]}"
    )
    control.create_model(Image=THEIRS)
    control.serve()

    before = source_of(control)
    identity[0] = "sha256:2"
    control.call("UpdateEndpoint", EndpointName="iris", EndpointConfigName="config")
    control.settle()

    assert (before.image, source_of(control).image) == (f"{THEIRS}#sha256:1", f"{THEIRS}#sha256:2")
    (deployed,) = control.variants()["a"]["DeployedImages"]
    assert deployed["SpecifiedImage"] == THEIRS
    assert deployed["ResolvedImage"].startswith("mine/app@sha256:")


def test_an_image_may_bring_its_model_along(control: Control) -> None:
    control.context = replace(control.context, runs_images=True)
    control.call("CreateModel", ModelName="one", PrimaryContainer={"Image": THEIRS})
    control.serve()

    assert (source_of(control).location, source_of(control).image) == ("", THEIRS)


def test_stages_of_images_are_described_as_they_were_asked_for(control: Control) -> None:
    control.context = replace(control.context, runs_images=True, image_now=lambda image: f"{image}#sha256:1")
    control.upload()
    containers = [CONTAINER, {"Image": THEIRS}]
    control.call("CreateModel", ModelName="one", Containers=containers)
    control.serve()

    deployed = control.variants()["a"]["DeployedImages"]
    assert [image["SpecifiedImage"] for image in deployed] == [IMAGE, THEIRS]
    assert source_of(control).stages[1].source.image == f"{THEIRS}#sha256:1"


def test_what_is_no_name_of_an_image_pins_none(control: Control) -> None:
    control.create_model(Image=f"{BUILT_IN}#sha256:12")
    assert reason(control).endswith(
        f"the image {BUILT_IN}#sha256:12 cannot run here: no image has a name with # in it."
    )


def test_an_image_cannot_serve_many_models(control: Control) -> None:
    control.context = replace(control.context, runs_images=True)
    control.create_model(Mode="MultiModel", ModelDataUrl="s3://models/many/", Image=THEIRS)

    assert f"the image {THEIRS} cannot serve many models here" in reason(control)
