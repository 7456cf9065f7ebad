"""Control documents of two megabytes: the keeper reads them, gateways only pass them on."""

import json
import signal
import threading
from pathlib import Path

import httpx

from tests.conftest import RunningServer, StartServer
from tests.harness import web
from tests.harness.gateways import declare, make_model, variants


def add_tags(server: RunningServer, tags: int) -> httpx.Response:
    arn = "arn:aws:sagemaker:us-east-1:000000000000:endpoint/one"
    document = {"ResourceArn": arn, "Tags": [{"Key": f"key-{n}", "Value": "v"} for n in range(tags)]}
    headers = {"X-Amz-Target": "SageMaker.AddTags", "Content-Type": "application/x-amz-json-1.1"}
    return web.post(server.url, content=json.dumps(document), headers=headers, timeout=60)


def test_predictions_and_small_documents_wait_for_no_large_one(
    start_server: StartServer, tmp_path: Path
) -> None:
    make_model(tmp_path / "models" / "one", 1)
    declare(tmp_path / "models", variants("one", one=1))
    server = start_server(tmp_path / "models", gateways=1)
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(add_tags(server, 50_000)))

    server.keeper().send_signal(signal.SIGSTOP)  # who reads it never gets to do so
    thread.start()
    for _ in range(5):
        assert server.invoke("one", "1", Content_Type="text/csv").text == "[1.0]"
    assert add_tags(server, 60).status_code == 400
    assert answers == []
    server.keeper().send_signal(signal.SIGCONT)
    thread.join(60)

    assert answers[0].status_code == 400
    assert "Member must have length less than or equal to 50" in answers[0].json()["message"]
    assert answers[0].headers["x-amzn-requestid"] in server.log.read_text()
