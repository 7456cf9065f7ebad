"""Heads as boto3 sends them, made beforehand: of all that a client signs no two are alike."""

import io
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse
from botocore.config import Config

# What the generator writes itself.
_GIVEN = ("content-length", "host")


def signed_headers(
    endpoint: str,
    headers: Mapping[str, str],
    body: str,
    count: int,
    signer: tuple[str, str] = ("AKIDEXAMPLE", "secret"),
    url: str = "http://127.0.0.1",
) -> list[dict[str, str]]:
    """The headers of so many InvokeEndpoint calls, each signed by itself; nothing is sent.

    `headers` may have a Content-Type and an X-Amzn-SageMaker-Target-Model; `signer` is the id of an access
    key and its secret, `url` the server that they are for.
    """
    client = boto3.client(
        "sagemaker-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id=signer[0],
        aws_secret_access_key=signer[1],
        config=Config(retries={"mode": "standard"}),
    )
    found: list[dict[str, str]] = []

    def capture(request: Any, **_: Any) -> AWSResponse:
        sent = {name: _text(value) for name, value in request.headers.items() if name.lower() not in _GIVEN}
        found.append({"Accept-Encoding": "identity", **sent})  # as http.client adds it
        return AWSResponse(request.url, 200, {}, io.BytesIO())

    client.meta.events.register("before-send.sagemaker-runtime.InvokeEndpoint", capture)
    asked = {"TargetModel": headers.get("X-Amzn-SageMaker-Target-Model")}
    for _ in range(count):
        client.invoke_endpoint(
            EndpointName=endpoint,
            ContentType=headers["Content-Type"],
            Body=body.encode(),
            **{name: value for name, value in asked.items() if value is not None},
        )
    return found


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
