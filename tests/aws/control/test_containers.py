"""What a container definition says reaches the model that runs, and what cannot run fails its endpoint."""

from typing import Any

import pytest
from botocore.exceptions import WaiterError

from tests.aws.control.conftest import IMAGE, ROLE, Account, arn, refusal, script, variant


def _source(uri: str, compression: str, kind: str) -> dict[str, Any]:
    return {"S3DataSource": {"S3Uri": uri, "S3DataType": kind, "CompressionType": compression}}


def _failure(account: Account, *variants: dict[str, Any], **members: Any) -> str:
    """FailureReason of an endpoint that must fail."""
    endpoint = account.name("fails")
    config = account.config(*variants, **members)
    account.sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=config)
    with pytest.raises(WaiterError):
        account.wait(endpoint)
    return str(account.describe(endpoint)["FailureReason"])


@pytest.mark.provenance("documented")
def test_a_multi_model_container_serves_the_archives_below_its_prefix(account: Account) -> None:
    prefix = account.name("many")
    for name in ("one", "deep/two"):
        account.put(f"{prefix}/{name}.tar.gz", {"inference.py": script(name)})
    url = f"s3://models/{prefix}/"
    model = account.model("many", Mode="MultiModel", ModelDataUrl=url)
    endpoint = account.endpoint(variant("all", model))
    assert account.ask(endpoint, TargetModel="one.tar.gz") == "one"
    assert account.ask(endpoint, TargetModel="deep/two.tar.gz") == "deep/two"
    account.put(f"{prefix}/later.tar.gz", {"inference.py": script("later")})
    assert account.ask(endpoint, TargetModel="later.tar.gz") == "later"
    code, message, _ = refusal(
        account.runtime.invoke_endpoint, EndpointName=endpoint, TargetModel="none.tar.gz", Body=b"{}"
    )
    assert code == "ValidationError"
    assert message.startswith("Failed to download model data for target model 'none.tar.gz'")
    found = account.sagemaker.describe_model(ModelName=model)["PrimaryContainer"]
    assert (found["Mode"], found["ModelDataUrl"]) == ("MultiModel", url)


@pytest.mark.provenance("documented")
def test_uncompressed_files_of_a_prefix_are_a_model(account: Account) -> None:
    uri = account.put(f"{account.name('plain')}/files/", {"code/inference.py": script("plain")})
    source = _source(uri, "None", "S3Prefix")
    model = account.model("plain", ModelDataSource=source)
    assert account.ask(account.endpoint(variant("v", model))) == "plain"
    assert account.sagemaker.describe_model(ModelName=model)["PrimaryContainer"]["ModelDataSource"] == source


@pytest.mark.provenance("documented")
def test_a_compressed_object_is_a_model(account: Account) -> None:
    uri = account.put(f"{account.name('packed')}/model.tar.gz", {"inference.py": script("packed")})
    model = account.model("packed", ModelDataSource=_source(uri, "Gzip", "S3Object"))
    assert account.ask(account.endpoint(variant("v", model))) == "packed"


@pytest.mark.provenance("documented")
def test_an_address_of_s3_over_https_is_the_same_object(account: Account) -> None:
    key = f"{account.name('https')}/model.tar.gz"
    account.put(key, {"inference.py": script("https")})
    model = account.model("https", ModelDataUrl=f"https://models.s3.us-east-1.amazonaws.com/{key}")
    assert account.ask(account.endpoint(variant("v", model))) == "https"


@pytest.mark.provenance("documented")
def test_the_environment_reaches_the_script(account: Account) -> None:
    model = account.model("hello", Environment={"SUFFIX": " from the environment"})
    assert account.ask(account.endpoint(variant("v", model))) == "hello from the environment"


@pytest.mark.provenance("documented")
def test_a_container_may_be_the_only_one_of_a_list(account: Account) -> None:
    url = account.put(f"{account.name('list')}/model.tar.gz", {"inference.py": script("listed")})
    model = account.name("listed")
    containers = [{"Image": "sagebird/sklearn", "ModelDataUrl": url}]
    account.sagemaker.create_model(ModelName=model, ExecutionRoleArn=ROLE, Containers=containers)
    assert account.ask(account.endpoint(variant("v", model))) == "listed"


def test_an_image_that_cannot_run_fails_the_endpoint_with_what_can(account: Account) -> None:
    reason = _failure(account, variant("v", account.model("x", Image="example.com/mine:latest")))
    assert "example.com/mine:latest cannot run here" in reason
    assert "sagebird/sklearn" in reason


def test_a_container_of_a_pipeline_that_cannot_run_fails_the_endpoint_by_its_name(account: Account) -> None:
    url = account.put(f"{account.name('part')}/model.tar.gz", {"inference.py": script("part")})
    model = account.name("pipeline")
    containers = [{"Image": image, "ModelDataUrl": url} for image in (IMAGE, "somebody/else:1")]
    account.sagemaker.create_model(ModelName=model, ExecutionRoleArn=ROLE, Containers=containers)
    reason = _failure(account, variant("v", model))
    assert reason.startswith("The container-2 for production variant v did not pass the ping health check. ")
    assert "the image somebody/else:1 cannot run here" in reason


@pytest.mark.provenance("observed")
def test_missing_model_data_is_refused_at_once(account: Account) -> None:
    url = "s3://models/nowhere/model.tar.gz"
    container = {"Image": IMAGE, "ModelDataUrl": url}
    refused = refusal(
        account.sagemaker.create_model,
        ModelName=account.name("none"),
        ExecutionRoleArn=ROLE,
        PrimaryContainer=container,
    )
    assert refused == ("ValidationException", f"Could not find model data at {url}.", 400)


@pytest.mark.provenance("observed")
def test_model_data_that_is_gone_fails_the_endpoint(account: Account) -> None:
    key = f"{account.name('gone')}/model.tar.gz"
    url = account.put(key, {"inference.py": script("gone")})
    model = account.model("gone", ModelDataUrl=url)
    (account.server.data / "s3" / "models" / key).unlink()
    reason = _failure(account, variant("v", model))
    assert f'Failed to download model data for container "container_1" from URL: "{url}"' in reason


def test_a_damaged_archive_fails_the_endpoint(account: Account) -> None:
    key = f"{account.name('damaged')}/model.tar.gz"
    url = account.put(key, {"inference.py": script("x")})
    (account.server.data / "s3" / "models" / key).write_bytes(b"no archive at all")
    reason = _failure(account, variant("v", account.model("damaged", ModelDataUrl=url)))
    assert "is not a readable gzip tar archive" in reason


def test_members_that_are_only_stored_are_described_as_they_were_given(account: Account) -> None:
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 50,
        "DestinationS3Uri": "s3://models/captured",
        "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
    }
    config = account.config(
        variant("v", account.model("v")),
        DataCaptureConfig=capture,
        KmsKeyId="some-key",
        VpcConfig={"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
    )
    found = account.sagemaker.describe_endpoint_config(EndpointConfigName=config)
    assert found["DataCaptureConfig"] == capture
    assert (found["KmsKeyId"], found["VpcConfig"]["Subnets"]) == ("some-key", ["subnet-1"])
    endpoint = account.name("captured")
    account.sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=config)
    account.wait(endpoint)
    shown = account.describe(endpoint)["DataCaptureConfig"]
    assert shown["CaptureStatus"] == "Stopped"
    assert shown["CurrentSamplingPercentage"] == 50


def test_a_configuration_for_inference_components_is_taken_and_fails_the_endpoint(account: Account) -> None:
    without_model = {"VariantName": "v", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    assert "inference components" in _failure(account, without_model, ExecutionRoleArn=ROLE)


@pytest.mark.provenance("documented")
def test_the_names_of_everything_are_in_its_arns(account: Account) -> None:
    model = account.model("named")
    assert account.sagemaker.describe_model(ModelName=model)["ModelArn"] == arn(f"model/{model}")


@pytest.mark.provenance("documented")
def test_code_in_an_archive_of_its_own_runs_with_the_model(account: Account) -> None:
    prefix = account.name("apart")
    model_data = account.put(f"{prefix}/model.tar.gz", {"weights.txt": "7"})
    files = {"score.py": script("apart"), "other.py": ""}
    code = account.put(f"{prefix}/sourcedir.tar.gz", files)
    environment = {"SAGEMAKER_SUBMIT_DIRECTORY": code, "SAGEMAKER_PROGRAM": "score.py"}
    model = account.model("apart", ModelDataUrl=model_data, Environment=environment)
    endpoint = account.endpoint(variant("v", model))
    assert account.ask(endpoint) == "apart"

    account.put(f"{prefix}/sourcedir.tar.gz", {"score.py": script("anew")})
    config = account.config(variant("v", model))
    account.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config)
    account.wait(endpoint)
    assert account.answers(endpoint, 20) == {("v", "anew"): 20}


def test_code_that_is_not_there_fails_the_endpoint(account: Account) -> None:
    code = "s3://models/nowhere/sourcedir.tar.gz"
    model = account.model("no-code", Environment={"SAGEMAKER_SUBMIT_DIRECTORY": code})
    assert code in _failure(account, variant("v", model))
