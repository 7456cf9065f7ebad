"""A running server as commands see it: one request, one answer, and a sentence where there is none."""

import json
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import urlsplit

import httpx
import typer

from service.cli.refusal import fail
from service.cli.told import told_names
from service.whereabouts import FILE, find_urls

DEFAULT_URL = "http://127.0.0.1:8080"
URL_VARIABLE = "SAGEBIRD_URL"
KEY_VARIABLE = "SAGEBIRD_API_KEY"

_TIMEOUT_S = 75.0
_TRY_S = 1.0
_UNAUTHORIZED, _FORBIDDEN = 401, 403
_KEY_FAULTS = ("MissingAuthenticationTokenException", "UnrecognizedClientException", "ExpiredTokenException")
_KEY_HINT = f" Commands send the API key that {KEY_VARIABLE} holds: set it to a good one."
_HOST_AND_PORT = re.compile(r"(\[[^\[\]/]*\]|[^/:]+):[0-9]{1,5}(/|$)")
_PORT = "SAGEBIRD_PORT"
_AWS_URL = "AWS_ENDPOINT_URL"
_REQUEST_ID = "x-amzn-requestid"


def locate(given: str | None, data: Path | None = None) -> str:
    """Where the server is: as given, as AWS's variable says, or where the one of the data folder listens.

    One that says where it is and does not answer there is gone: then it is the usual address.
    """
    named = given or os.environ.get(_AWS_URL)
    if named:
        return f"http://{named}" if _HOST_AND_PORT.match(named) else named
    return next((url for url in find_urls(data or _data()) if _is_there(url)), _usual_url())


def _usual_url() -> str:
    """Where a server listens that was told nothing else than its port."""
    port = os.environ.get(_PORT, "")
    return f"http://127.0.0.1:{port}" if port.isdecimal() and int(port) else DEFAULT_URL


def _at_parse(given: str | None) -> str:
    return locate(given)


def _option(**more: Any) -> Any:
    told = f"AWS_ENDPOINT_URL, else where the server of this folder is, else {DEFAULT_URL}"
    text = f"Where the server is.  \\[default: {told}]"
    return typer.Option("--url", envvar=URL_VARIABLE, help=text, show_default=False, **more)


GivenUrl = Annotated[str | None, _option()]
"""For commands that look the server up themselves, by `locate`."""

Url = Annotated[str, _option(callback=_at_parse)]
"""It is looked up before the command begins, unless it is given."""


class OperationRefused(Exception):
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
    response = ask(url, method, path, **options)
    if not response.is_success:
        fail(error_text(response))
    return response


def status(url: str, **asked: str) -> Any:
    """What /status says; `endpoint` and `target_model` ask for the example of one model."""
    response = call(url, "GET", "/status", params=asked)
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict) or not {"endpoints", "models"} <= document.keys():
        _fail_stranger(url)
    return document


def find_endpoint(url: str, name: str, target_model: str | None = None) -> Any:
    """What /status says of one endpoint, with the example of the target model.

    The command ends if there is none of that name.
    """
    asked = {} if target_model is None else {"endpoint": name, "target_model": target_model}
    cards = status(url, **asked)["endpoints"]
    card = next((card for card in cards if card["name"] == name), None)
    if card is None:
        fail(f"There is no endpoint {name} at {url}: it has {choices(cards)}.")
    return card


def hint_names(url: str, name: str) -> str:
    """The endpoints that there are, to be said where there is none of that name; else nothing.

    Nor for a key that may only invoke: what was refused before is what counts then.
    """
    if ask(url, "GET", "/status").status_code in (_UNAUTHORIZED, _FORBIDDEN):
        return ""
    cards = status(url)["endpoints"]
    return "" if any(card["name"] == name for card in cards) else f" {url} has {choices(cards)}."


def choices(cards: Any) -> str:
    """The endpoints that there are, for a sentence."""
    return told_names([card["name"] for card in cards])


def operate(url: str, operation: str, fields: Mapping[str, Any], service: str = "SageMaker") -> Any:
    """Call one operation of the control plane, or of another `service`; its output as JSON gives it.

    Raises:
        OperationRefused: the server refused it.
    """
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"{service}.{operation}"}
    response = ask(url, "POST", "/", content=json.dumps(fields), headers=headers)
    try:
        document = response.json() if response.content else {}
    except ValueError:
        document = None
    if not isinstance(document, dict) or not (response.is_success or "__type" in document):
        _fail_stranger(url)
    if response.is_success:
        return document
    hint = _KEY_HINT if document["__type"] in _KEY_FAULTS else ""
    raise OperationRefused(document["__type"], document.get("message", "") + hint)


def ask(url: str, method: str, path: str, **options: Any) -> httpx.Response:
    """Send one request and return its answer, whichever it is; none ends the command with a sentence."""
    headers = {**key_header(), **options.pop("headers", {})}
    try:
        response = httpx.request(
            method, url.rstrip("/") + path, timeout=_TIMEOUT_S, headers=headers, **options
        )
    except UnicodeEncodeError as error:
        fail(f"A header can only hold ASCII, not {error.object!r}.")
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        why = str(error).rstrip(".")
        fail(
            f"{url}{_origin(url)} is no address of a server ({why}): write it as http://HOST:PORT, or start "
            "one with `sagebird serve`."
        )
    except httpx.HTTPError as error:
        fail(
            f"No sagebird answers at {url}{_origin(url)} ({error}): start one with `sagebird serve`, or name "
            "another with --url."
        )
    if not response.is_success and not _is_the_edges(response):
        expect_sagebird(url, response)
    return response


def key_header() -> dict[str, str]:
    """What a request brings to a server that asks for keys, if there is a key."""
    key = os.environ.get(KEY_VARIABLE, "")
    return {"X-Api-Key": key} if key else {}


def expect_sagebird(url: str, response: httpx.Response) -> None:
    """End the command where an answer has no request id: it is another web server's, or a proxy's."""
    if _REQUEST_ID not in response.headers:
        _fail_stranger(url, f" (it said {response.status_code} {response.reason_phrase})")


def _is_the_edges(response: httpx.Response) -> bool:
    """Whether it may be a refusal before it was known what is asked, which has no request id."""
    return response.headers.get("content-type", "").startswith("text/plain") and response.status_code not in (
        404,
        405,
    )


def _fail_stranger(url: str, said: str = "") -> NoReturn:
    fail(f"What answers at {url}{_origin(url)} is no sagebird server{said}: name another with --url.")


def _origin(url: str) -> str:
    """Why a command looks there, where nobody has just typed it."""
    for variable in (URL_VARIABLE, _AWS_URL):
        if (named := os.environ.get(variable)) and url in (named, f"http://{named}"):
            return f", which {variable} names,"
    urls, file = find_urls(_data()), _data() / FILE
    if url in urls:
        return f", which {file} names,"
    return f" (nor at {' or '.join(urls)}, which {file} names)" if urls and url == _usual_url() else ""


def _data() -> Path:
    return Path(os.environ.get("SAGEBIRD_DATA") or "data")


def _is_there(url: str) -> bool:
    """Whether somebody listens there."""
    try:
        place = urlsplit(url)
        socket.create_connection((place.hostname or "", place.port or 80), _TRY_S).close()
    except (OSError, ValueError, UnicodeError):
        return False
    return True


def is_of_body(response: httpx.Response) -> bool:
    """Whether the model refused the body, or its type."""
    try:
        document = response.json()
    except ValueError:
        return False
    return isinstance(document, dict) and document.get("OriginalStatusCode") in (400, 415)


def error_text(response: httpx.Response) -> str:
    """An answer that is no success, as a sentence: its own, without the status, where it has one."""
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return f"{response.status_code}: {response.text}{_hint_key(response)}"
    message = document.get("OriginalMessage") or document.get("Message") or document.get("message")
    code = response.headers.get("x-amzn-errortype", "")
    if message and not code:
        return f"{message}{_hint_key(response)}"
    return f"{response.status_code}{code and ' '}{code}: {message or document}{_hint_key(response)}"


def _hint_key(response: httpx.Response) -> str:
    """Where commands have their key from: the server names headers, as other clients need."""
    return _KEY_HINT if response.status_code == _UNAUTHORIZED else ""
