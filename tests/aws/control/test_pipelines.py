"""Models of several containers as boto3 calls them: a script, a built-in model and another script in line."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import boto3
import joblib
import numpy as np
import pandas as pd
import pytest
from botocore.config import Config
from sklearn.linear_model import LinearRegression

from tests.aws.control.conftest import IMAGE, ROLE, Account, refusal, variant
from tests.conftest import ROOT, StartServer, wait_until

IRIS = ROOT / "models" / "iris-logistic" / "model.joblib"
ROWS = b"10.2,7.0,2.8,0.4\n12.4,5.8,9.8,4.0\n"  # twice what the model was trained with
HALVES = np.array([[5.1, 3.5, 1.4, 0.2], [6.2, 2.9, 4.9, 2.0]])
CSV_BETWEEN = {"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv"}

# Says no where CustomAttributes have its name, and ends where they have it in capitals.
_PART = """
import json
import os


def model_fn(model_dir):
    return None


def transform_fn(model, data, content_type, accept, context):
    attributes = context.get_request_header("X-Amzn-SageMaker-Custom-Attributes")
    if attributes == {name!r}.upper():
        os._exit(3)
    if attributes == {name!r}:
        context.set_response_status({status})
        return "{name} says no", "text/plain"
    return answer(data, content_type, accept, context)


def answer(data, content_type, accept, context):
"""
HALVE = """
    assert (content_type, accept) == ("text/csv", "application/json"), (content_type, accept)
    rows = [[float(value) / 2 for value in line.split(",")] for line in data.splitlines()]
    return "".join(",".join(map(str, row)) + "\\n" for row in rows), "text/csv"
"""
WORDS = """
    return "".join(f"flower {each} ({content_type} for {accept})\\n" for each in json.loads(data)), "text/csv"
"""
SAY = """
    return json.dumps([content_type, accept, context.environment.get("NOTE")])
"""
READ = """
    return json.dumps([content_type, [float(line) for line in data.splitlines()]])
"""
FILL = """
    return "x" * 6000000, "text/csv"
"""


def part(name: str, body: str, status: int = 418) -> str:
    """An inference.py that is a container called so."""
    return _PART.format(name=name, status=status) + body


class Lines:
    """An account of a server with a worker, and models of several containers in it."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.halve = account.put("halve/model.tar.gz", {"inference.py": part("halve", HALVE, 418)})
        self.iris = account.put("iris/model.tar.gz", {"model.joblib": IRIS.read_bytes()})
        self.words = account.put("words/model.tar.gz", {"inference.py": part("words", WORDS, 503)})
        self.say = account.put("say/model.tar.gz", {"inference.py": part("say", SAY)})

    def model(self, *locations: str, names: tuple[str, ...] = (), mode: str = "", **more: Any) -> str:
        """Create a model of containers with the data there; `more` is of all of them."""
        containers = [{"Image": IMAGE, "ModelDataUrl": location, **more} for location in locations]
        for container, name in zip(containers, names, strict=False):
            container["ContainerHostname"] = name
        execution = {"InferenceExecutionConfig": {"Mode": mode}} if mode else {}
        return self.create(*containers, **execution)

    def create(self, *containers: dict[str, Any], **more: Any) -> str:
        name = self.account.name("pipeline")
        self.account.sagemaker.create_model(
            ModelName=name, ExecutionRoleArn=ROLE, Containers=list(containers), **more
        )
        return name

    def serve(self, *locations: str, **more: Any) -> str:
        return self.account.endpoint(variant("v", self.model(*locations, **more)))

    def ask(self, endpoint: str, body: bytes = ROWS, **more: Any) -> tuple[str, str]:
        """The answer and its type."""
        members = {"ContentType": "text/csv", **more}
        answer = self.account.runtime.invoke_endpoint(EndpointName=endpoint, Body=body, **members)
        assert answer["InvokedProductionVariant"] == "v"
        return answer["Body"].read().decode(), answer["ContentType"]

    def refused(self, endpoint: str, body: bytes = ROWS, **more: Any) -> tuple[str, str, int]:
        members = {"ContentType": "text/csv", **more}
        return refusal(self.account.runtime.invoke_endpoint, EndpointName=endpoint, Body=body, **members)


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory, start_server: StartServer) -> Iterator[Lines]:
    server = start_server(tmp_path_factory.mktemp("none"), workers="1", worker_processes="2", measured=True)
    server.shared = Path(__file__)
    keys = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "y"}
    settings = Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=60)
    sagemaker, runtime = (
        boto3.client(service, endpoint_url=server.url, config=settings, **keys)
        for service in ("sagemaker", "sagemaker-runtime")
    )
    yield Lines(Account(server, sagemaker, runtime))
    sagemaker.close()
    runtime.close()


@pytest.fixture(scope="module")
def three(lines: Lines) -> str:
    """An endpoint of a script, a built-in model and another script."""
    return lines.serve(lines.halve, lines.iris, lines.words)


def model_error(side: str, status: int, container: str, text: str, endpoint: str) -> str:
    """Source: contract B.4, observed."""
    return (
        f'Received {side} error ({status}) from {container} with message "{text}". See '
        "https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1#logEventViewer:group="
        f"/aws/sagemaker/Endpoints/{endpoint} in account 000000000000 for more information."
    )


def species(rows: np.ndarray[Any, Any]) -> list[int]:
    """What scikit-learn itself says."""
    model = joblib.load(IRIS)
    found: list[int] = model.predict(pd.DataFrame(rows, columns=model.feature_names_in_)).tolist()
    return found


def flowers(rows: np.ndarray[Any, Any], accept: str) -> str:
    return "".join(f"flower {each} (application/json for {accept})\n" for each in species(rows))


@pytest.mark.provenance("documented")
def test_each_container_gets_what_the_one_before_answered_and_the_last_one_what_is_accepted(
    lines: Lines, three: str
) -> None:
    assert lines.ask(three, Accept="text/csv; x=1") == (flowers(HALVES, "text/csv; x=1"), "text/csv")
    assert lines.ask(three) == (flowers(HALVES, "application/json"), "text/csv")


@pytest.mark.provenance("documented")
def test_json_is_between_containers_unless_their_environment_says_otherwise(lines: Lines) -> None:
    plain = lines.serve(lines.iris, lines.say)
    told = lines.serve(lines.iris, lines.say, Environment={**CSV_BETWEEN, "NOTE": "here"})

    assert lines.ask(plain, Accept="text/csv")[0] == '["application/json", "text/csv", null]'
    assert lines.ask(told, Accept="application/json")[0] == '["text/csv", "application/json", "here"]'


@pytest.mark.provenance("observed")
@pytest.mark.parametrize(
    ("attributes", "side", "status", "container"),
    [("halve", "client", 418, "container-1"), ("words", "server", 503, "container-3")],
)
def test_the_container_that_refused_is_named(
    lines: Lines, three: str, attributes: str, side: str, status: int, container: str
) -> None:
    text = model_error(side, status, container, f"{attributes} says no", three)

    assert lines.refused(three, CustomAttributes=attributes) == ("ModelError", text, 424)


def test_a_container_that_ends_at_a_call_is_named_and_answers_the_next_one(lines: Lines, three: str) -> None:
    code, message, status = lines.refused(three, CustomAttributes="WORDS")

    assert (code, status) == ("ModelError", 424)
    assert message.startswith('Received server error (502) from container-3 with message "')
    assert lines.ask(three) == (flowers(HALVES, "application/json"), "text/csv")


@pytest.mark.provenance("observed")
def test_a_built_in_model_in_the_middle_is_named_by_its_hostname(lines: Lines) -> None:
    endpoint = lines.serve(lines.halve, lines.iris, lines.words, names=("halve", "flowers", "words"))

    code, message, status = lines.refused(endpoint, b"1,2,3\n")

    assert (code, status) == ("ModelError", 424)
    assert message.startswith('Received client error (400) from flowers with message "')


@pytest.mark.provenance("documented")
def test_a_model_of_another_library_in_the_middle_answers_in_its_own_type(lines: Lines) -> None:
    xgboost = pytest.importorskip("xgboost")
    data = np.random.default_rng(3).uniform(0, 7, size=(100, 4))
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(data, label=data.sum(axis=1)), 5)
    boost = lines.account.put("boost/model.tar.gz", {"xgboost-model": bytes(booster.save_raw("json"))})
    read = lines.account.put("read/model.tar.gz", {"inference.py": part("read", READ)})
    endpoint = lines.serve(lines.halve, boost, read, names=("halve", "boost", "read"))

    answer, _ = lines.ask(endpoint)
    assert json.loads(answer) == [
        "text/csv; charset=utf-8",
        booster.predict(xgboost.DMatrix(HALVES)).tolist(),
    ]
    code, said, _ = lines.refused(endpoint, b"10.2,7.0\n")
    assert code == "ModelError"
    assert "Received client error (400) from boost with message" in said


def test_too_much_for_the_next_container_is_refused(lines: Lines) -> None:
    fill = lines.account.put("fill/model.tar.gz", {"inference.py": part("fill", FILL)})
    endpoint = lines.serve(fill, lines.words, names=("MyContainerName1", "MyContainerName2"))

    assert lines.refused(endpoint) == (
        "ModelError",
        "Received response from MyContainerName1 with status code 200. However, the request payload from "
        "MyContainerName1 to MyContainerName2 is 6000000 bytes, which has exceeded the maximum limit of "
        "5 MB.",
        424,
    )


@pytest.mark.provenance("documented")
def test_callers_name_the_container_that_they_mean(lines: Lines) -> None:
    endpoint = lines.serve(lines.iris, lines.say, names=("flowers", "say"), mode="Direct")
    found = species(HALVES)
    halves = b"5.1,3.5,1.4,0.2\n6.2,2.9,4.9,2.0\n"

    assert lines.ask(endpoint, halves, TargetContainerHostname="flowers") == (
        str(found),
        "application/json",
    )
    assert lines.ask(endpoint, TargetContainerHostname="say")[0] == '["text/csv", "application/json", null]'
    refused = lines.refused(endpoint, b"1,2,3\n", TargetContainerHostname="flowers")
    assert refused[1].startswith('Received client error (400) from flowers with message "')
    refused = lines.refused(endpoint, TargetContainerHostname="say", CustomAttributes="say")
    assert refused[1] == model_error("client", 418, "say", "say says no", endpoint)


@pytest.mark.provenance("documented")
def test_a_container_that_nobody_has_or_needs_is_a_validation_error(lines: Lines, three: str) -> None:
    direct = lines.serve(lines.iris, lines.say, names=("flowers", "say"), mode="Direct")

    cases: tuple[tuple[str, dict[str, Any], str], ...] = (
        (direct, {}, "is missing a target container hostname header"),
        (direct, {"TargetContainerHostname": "nobody"}, "Container 'nobody' is not found in endpoint"),
        (three, {"TargetContainerHostname": "container-1"}, "does not support the target container hostname"),
    )
    for endpoint, members, words in cases:
        code, message, status = lines.refused(endpoint, **members)
        assert (code, status) == ("ValidationError", 400)
        assert words in message


def test_a_direct_variant_beside_a_plain_one_keeps_its_rules(lines: Lines) -> None:
    direct = lines.model(lines.iris, lines.say, names=("flowers", "say"), mode="Direct")
    endpoint = lines.account.endpoint(
        variant("v", direct), variant("plain", lines.account.model("plain"), 0.0)
    )

    assert lines.ask(endpoint, TargetContainerHostname="say")[0].startswith('["text/csv"')
    plain = lines.account.runtime.invoke_endpoint(EndpointName=endpoint, Body=b"", TargetVariant="plain")
    assert plain["Body"].read() == b"plain"
    refused = lines.refused(endpoint, TargetVariant="plain", TargetContainerHostname="say")
    assert "does not support the target container hostname header" in refused[1]


@pytest.mark.provenance("documented")
def test_the_first_container_may_have_many_models(lines: Lines) -> None:
    buffer = io.BytesIO()
    joblib.dump(LinearRegression().fit([[0.0], [1.0]], [0.0, 3.0]), buffer)
    prefix = lines.account.name("many")
    lines.account.put(f"{prefix}/three.tar.gz", {"model.joblib": buffer.getvalue()})
    many = {"Image": IMAGE, "ModelDataUrl": f"s3://models/{prefix}/", "Mode": "MultiModel"}
    model = lines.create(many, {"Image": IMAGE, "ModelDataUrl": lines.words})
    endpoint = lines.account.endpoint(variant("v", model))

    said = lines.ask(endpoint, b"2\n", TargetModel="three.tar.gz")[0]

    assert float(said.split()[1]) == pytest.approx(6.0)
    assert lines.refused(endpoint, b"2\n")[1].endswith("in the X-Amzn-SageMaker-Target-Model header.")
    refused = lines.refused(endpoint, b"2\n", TargetModel="four.tar.gz")
    assert (refused[0], refused[2]) == ("ValidationError", 400)
    assert "target model 'four.tar.gz'" in refused[1]


@pytest.mark.provenance("observed")
def test_a_container_that_does_not_start_fails_the_endpoint_by_its_name(lines: Lines) -> None:
    broken = lines.account.put("broken/model.tar.gz", {"inference.py": "raise RuntimeError('no weights')\n"})
    name = lines.account.name("endpoint")
    config = lines.account.config(variant("v", lines.model(lines.halve, broken)))
    lines.account.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    wait_until(lambda: lines.account.status(name) != "Creating")

    said = lines.account.describe(name)

    assert said["EndpointStatus"] == "Failed"
    assert said["FailureReason"].startswith(
        "The container-2 for production variant v did not pass the ping health check. Please check "
        "CloudWatch logs for this endpoint. "
    )
    assert "no weights" in said["FailureReason"]


def test_an_update_from_a_pipeline_to_another_fails_no_call(lines: Lines) -> None:
    endpoint = lines.serve(lines.iris, lines.say)
    seen: list[str] = []
    wrong: list[Exception] = []
    over = Event()

    def go_on() -> None:
        while not over.is_set():
            try:
                seen.append(lines.ask(endpoint)[0])
            except Exception as error:  # told below
                wrong.append(error)

    callers = [Thread(target=go_on) for _ in range(4)]
    for caller in callers:
        caller.start()
    for new in (lines.model(lines.halve, lines.iris, lines.words), lines.model(lines.iris, lines.say)):
        config = lines.account.config(variant("v", new))
        lines.account.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config)
        lines.account.wait(endpoint)
        seen.append(lines.ask(endpoint)[0])
    over.set()
    for caller in callers:
        caller.join()

    assert wrong == []
    assert set(seen) == {
        '["application/json", "application/json", null]',
        flowers(HALVES, "application/json"),
    }
    assert seen[-1].startswith("[")


@pytest.mark.provenance("documented")
def test_a_job_has_each_record_go_through_all_containers(lines: Lines) -> None:
    account = lines.account
    random = np.random.default_rng(3)
    rows = random.uniform(0.1, 8.0, (300, 4)).round(2)
    account.put("in", {"rows.csv": "".join(",".join(map(str, 2 * row)) + "\n" for row in rows)})
    account.put("bad", {"rows.csv": "1,2,3,4\n1,2,3\n1,2,3,4\n"})
    model = lines.model(lines.halve, lines.iris, lines.words)

    def run(source: str) -> dict[str, Any]:
        name = account.name("job")
        account.sagemaker.create_transform_job(
            TransformJobName=name,
            ModelName=model,
            TransformInput={
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://models/{source}/"}},
                "ContentType": "text/csv",
                "SplitType": "Line",
            },
            TransformOutput={"S3OutputPath": f"s3://models/out-of-{source}/", "Accept": "text/csv"},
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        )
        described = account.sagemaker.describe_transform_job
        wait_until(lambda: described(TransformJobName=name)["TransformJobStatus"] != "InProgress", 60.0)
        found: dict[str, Any] = described(TransformJobName=name)
        return found

    assert run("in")["TransformJobStatus"] == "Completed"
    out = account.server.data / "s3" / "models" / "out-of-in" / "rows.csv.out"
    assert out.read_text() == flowers(rows, "text/csv")
    failed = run("bad")
    assert failed["TransformJobStatus"] == "Failed"
    assert "container-2: " in failed["FailureReason"]
    assert "record 2" in failed["FailureReason"]
