"""A running server as commands see it: one request, one answer, and a sentence where there is none."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, NoReturn

import httpx
import typer

from service.cli.refusal import fail

DEFAULT_URL = "http://127.0.0.1:8080"
Url = Annotated[str, typer.Option(envvar="SAGEBIRD_URL", help="Where the server is.")]

_TIMEOUT_S = 75.0


class Refused(Exception):
    """The control plane refused an operation: AWS's code and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def is_not_found(self) -> bool:
        """Whether the resource is not there. Source: contract C.7."""
        return self.message.startswith("Could not find")


def call(url: str, method: str, path: str, **options: Any) -> httpx.Response:
    """Send one request and return its answer; whatever else happens ends the command with a sentence."""
    response = _send(url, method, path, **options)
    if not response.is_success:
        fail(_error_text(response))
    return response


def status(url: str) -> Any:
    """What /status says."""
    response = call(url, "GET", "/status")
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict) or not {"endpoints", "models"} <= document.keys():
        _fail_stranger(url)
    return document


def operate(url: str, operation: str, fields: Mapping[str, Any]) -> Any:
    """Call one operation of the control plane; its output as JSON gives it.

    Raises:
        Refused: the server refused it.
    """
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"SageMaker.{operation}"}
    response = _send(url, "POST", "/", content=json.dumps(fields), headers=headers)
    try:
        document = response.json() if response.content else {}
    except ValueError:
        document = None
    if not isinstance(document, dict) or not (response.is_success or "__type" in document):
        _fail_stranger(url)
    if response.is_success:
        return document
    raise Refused(document["__type"], document.get("message", ""))


def _send(url: str, method: str, path: str, **options: Any) -> httpx.Response:
    try:
        return httpx.request(method, url.rstrip("/") + path, timeout=_TIMEOUT_S, **options)
    except UnicodeEncodeError as error:
        fail(f"A header can only hold ASCII, not {error.object!r}.")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        fail(
            f"No sagebird answers at {url} ({error}): start one with `sagebird serve`, or name another with "
            "--url."
        )


def _fail_stranger(url: str) -> NoReturn:
    fail(f"What answers at {url} is no sagebird: name another with --url.")


def _error_text(response: httpx.Response) -> str:
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return f"{response.status_code}: {response.text}"
    message = document.get("OriginalMessage") or document.get("Message") or document
    return f"{response.status_code} {response.headers.get('x-amzn-errortype', '')}: {message}"
