"""A model in a running container that is called over HTTP, by SageMaker's container contract (A.1, A.5).

The only client of containers; who retries, and how often, is decided by who calls.
"""

import json
from typing import Any, Final, NamedTuple

import httpx

from service.errors import ModelFault, ModelTimeout, ModelUnreachable
from service.hosting.containers.calls import MOST_ANSWER_BYTES, answer_too_large
from service.hosting.host import Answer, Call, StreamedCall
from service.media.types import BYTES

_PING_TIMEOUT_S: Final = 2.0
_PARAMETERS_TIMEOUT_S: Final = 10.0
_MAX_MESSAGE_CHARS: Final = 2000


class _Reply(NamedTuple):
    """What a container sent, all of it."""

    status: int
    content_type: str
    body: bytes


class RemoteModel:
    """The container at a base address such as http://127.0.0.1:8081; any number of threads may call it."""

    def __init__(
        self, url: str, timeout_s: float, *, direct: bool = False, most_bytes: int = MOST_ANSWER_BYTES
    ) -> None:
        """`direct`: no proxy stands between, whatever the environment says.

        An answer may have `most_bytes`.
        """
        self.url = url.rstrip("/")
        # A container that takes its time to answer has accepted the connection long before.
        timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, 10.0))
        self._client = httpx.Client(timeout=timeout, trust_env=not direct)
        self._timeout_s = timeout_s
        self._most_bytes = most_bytes

    def close(self) -> None:
        """Close the connections; the container goes on running."""
        self._client.close()

    def ping(self) -> None:
        """Raises ModelUnreachable unless /ping answers 200 within two seconds."""
        reply = self._send("GET", "/ping", timeout=_PING_TIMEOUT_S)
        if reply.status != 200:
            raise ModelUnreachable(
                f"The container at {self.url} is not healthy: /ping answers {reply.status}."
            )

    def execution_parameters(self) -> dict[str, Any]:
        """What the container says at /execution-parameters; {} where it says nothing that can be read."""
        try:
            reply = self._send("GET", "/execution-parameters", timeout=_PARAMETERS_TIMEOUT_S)
            document = json.loads(reply.body) if reply.status == 200 else {}
        except (ModelFault, ValueError):
            return {}
        return document if isinstance(document, dict) else {}

    def answer(self, call: Call | StreamedCall) -> Answer:
        """Answer one call; a body in parts is sent in chunked encoding.

        Raises: ModelFault with the container's status and text; ModelTimeout; ModelUnreachable.
        """
        headers = {
            name: value
            for name, value in (("Content-Type", call.content_type), ("Accept", call.accept))
            if value is not None
        }
        content = call.body if isinstance(call, Call) else call.parts
        reply = self._send("POST", "/invocations", content=content, headers=headers)
        if not 200 <= reply.status < 300:
            text = reply.body.decode("utf-8", "replace").strip()[:_MAX_MESSAGE_CHARS]
            raise ModelFault(text or "the container gave no reason", reply.status)
        return Answer(reply.body, reply.content_type)

    def _send(self, method: str, path: str, **options: Any) -> _Reply:
        try:
            with self._client.stream(method, self.url + path, **options) as response:
                content_type = response.headers.get("content-type", BYTES)
                return _Reply(response.status_code, content_type, self._body_of(response))
        except httpx.TimeoutException as error:
            raise ModelTimeout(f"no answer within {self._timeout_s:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ModelUnreachable(f"The container at {self.url} cannot be reached: {error}.") from error

    def _body_of(self, response: httpx.Response) -> bytes:
        """Read what comes, within the limit. Raises AnswerTooLarge."""
        body = bytearray()
        for part in response.iter_bytes():
            body += part
            if len(body) > self._most_bytes:
                raise answer_too_large(len(body), self._most_bytes)
        return bytes(body)
