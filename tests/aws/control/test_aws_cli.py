"""The control plane as the real aws command line sees it: from a model to an endpoint and back."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.aws.control.conftest import IMAGE, ROLE, Account, arn, script, variant

_AWS = Path(sys.executable).parent / "aws"


def _aws(account: Account, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {
        "AWS_ENDPOINT_URL": account.server.url,
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    return subprocess.run(
        [str(_AWS), *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def _answer(account: Account, *arguments: str) -> Any:
    done = _aws(account, "sagemaker", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout else None


@pytest.mark.provenance("documented")
def test_the_whole_life_of_an_endpoint(account: Account, tmp_path: Path) -> None:
    url = account.put("cli/model.tar.gz", {"inference.py": script("one")})
    container = json.dumps({"Image": IMAGE, "ModelDataUrl": url})
    create = ("create-model", "--execution-role-arn", ROLE, "--primary-container", container)
    for model in ("cli-a", "cli-b"):
        assert _answer(account, *create, "--model-name", model) == {"ModelArn": arn(f"model/{model}")}
    variants = json.dumps([variant("a", "cli-a", 9.0), variant("b", "cli-b", 1.0)])
    named = ("--endpoint-config-name", "cli")
    made = _answer(account, "create-endpoint-config", *named, "--production-variants", variants)
    assert made == {"EndpointConfigArn": arn("endpoint-config/cli")}
    endpoint = ("--endpoint-name", "cli")
    assert _answer(account, "create-endpoint", *endpoint, *named) == {"EndpointArn": arn("endpoint/cli")}
    account.wait("cli")  # the command's own waiter looks every 30 seconds
    assert _answer(account, "wait", "endpoint-in-service", *endpoint) is None
    assert _answer(account, "describe-endpoint", *endpoint)["EndpointStatus"] == "InService"

    answer = tmp_path / "answer"
    command = ("sagemaker-runtime", "invoke-endpoint", *endpoint, "--body", "{}", str(answer))
    done = _aws(account, *command, "--target-variant", "b")
    assert json.loads(done.stdout)["InvokedProductionVariant"] == "b", done.stderr
    assert answer.read_text() == "one"

    desired = ("--desired-weights-and-capacities", "VariantName=a,DesiredWeight=1")
    _answer(account, "update-endpoint-weights-and-capacities", *endpoint, *desired)
    account.wait("cli")
    found = _answer(account, "describe-endpoint", *endpoint, "--query", "ProductionVariants[].CurrentWeight")
    assert found == [1.0, 1.0]
    _answer(account, "update-endpoint", *endpoint, *named)
    account.wait("cli")

    _answer(account, "delete-endpoint", *endpoint)
    account.wait_gone("cli")
    assert _answer(account, "wait", "endpoint-deleted", *endpoint) is None
    _answer(account, "delete-endpoint-config", *named)
    for model in ("cli-a", "cli-b"):
        _answer(account, "delete-model", "--model-name", model)
    listed = _answer(account, "list-models", "--name-contains", "cli-", "--query", "Models[].ModelName")
    assert listed == []


@pytest.mark.provenance("documented")
def test_describing_listing_and_tagging(account: Account) -> None:
    model = account.model("cli")
    config = account.config(variant("v", model))
    assert _answer(account, "describe-model", "--model-name", model)["ModelName"] == model
    found = _answer(account, "describe-endpoint-config", "--endpoint-config-name", config)
    assert found["ProductionVariants"][0]["ModelName"] == model
    listed = _answer(account, "list-endpoint-configs", "--name-contains", config)
    assert [one["EndpointConfigName"] for one in listed["EndpointConfigs"]] == [config]
    assert _answer(account, "list-endpoints", "--status-equals", "OutOfService") == {"Endpoints": []}
    resource = ("--resource-arn", arn(f"model/{model}"))
    tags = [{"Key": "team", "Value": "birds"}]
    assert _answer(account, "add-tags", *resource, "--tags", "Key=team,Value=birds") == {"Tags": tags}
    assert _answer(account, "list-tags", *resource) == {"Tags": tags}
    _answer(account, "delete-tags", *resource, "--tag-keys", "team")
    assert _answer(account, "list-tags", *resource) == {"Tags": []}


@pytest.mark.provenance("observed")
def test_a_refusal_is_printed_with_code_and_words(account: Account) -> None:
    done = _aws(account, "sagemaker", "describe-endpoint", "--endpoint-name", "nobody")
    assert done.returncode != 0
    assert done.stderr.strip() == (
        "An error occurred (ValidationException) when calling the DescribeEndpoint operation: "
        f'Could not find endpoint "{arn("endpoint/nobody")}".'
    )


@pytest.mark.provenance("documented")
def test_the_caller_is_told_who_they_are(account: Account) -> None:
    done = _aws(account, "sts", "get-caller-identity")
    assert json.loads(done.stdout)["Account"] == "000000000000", done.stderr
