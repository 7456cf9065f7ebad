"""What a handler may ask about its request and say about its answer. Source: multi-model-server."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any


class _Metrics:
    """Counts and times things for nobody."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments, **named: None


class Context:
    """A request and its answer.

    The first argument is the request's index in its batch, which is always 0; it may be left out here.
    """

    def __init__(
        self, model_dir: str, environment: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> None:
        self.system_properties: dict[str, Any] = {
            "model_dir": model_dir,
            "gpu_id": None,
            "batch_size": 1,
            "server_name": "sagebird",
            "server_version": "1.0",
        }
        self.model_name = "model"
        self.manifest: dict[str, Any] = {"model": {"modelName": self.model_name}}
        self.environment = dict(environment)
        self.metrics = _Metrics()
        self.request_headers = dict(headers or {})
        self.request_ids = {0: self.get_request_header("X-Amzn-RequestId") or str(uuid.uuid4())}
        self.response_headers: dict[str, str] = {}
        self.response_status = 200
        self.request_processor = [self]

    def get_request_id(self, idx: int = 0) -> str:
        """The id of the request."""
        return self.request_ids[0]

    def get_request_header(self, *index_and_key: Any) -> str | None:
        """The request's header of that name in any case, or None."""
        key = str(index_and_key[-1]).lower()
        return next((value for name, value in self.request_headers.items() if name.lower() == key), None)

    def get_all_request_header(self, idx: int = 0) -> dict[str, str]:
        """All headers of the request."""
        return self.request_headers

    def get_response_headers(self, idx: int = 0) -> dict[str, str]:
        """The headers that were set."""
        return self.response_headers

    def set_response_header(self, *index_key_value: Any) -> None:
        """Add a header to the answer; custom attributes and session ids travel on."""
        key, value = index_key_value[-2:]
        self.response_headers[str(key).lower()] = str(value)

    def set_response_content_type(self, *index_and_value: Any) -> None:
        """Name the answer's Content-Type; it wins over what Accept asked for."""
        self.set_response_header("content-type", index_and_value[-1])

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        """Answer with this status."""
        self.response_status = code

    def set_all_response_status(self, code: int = 200, phrase: str = "") -> None:
        """Answer with this status."""
        self.set_response_status(code, phrase)

    def get_response_status(self, idx: int = 0) -> tuple[int, str]:
        """The status that was set."""
        return self.response_status, ""

    def get_response_content_type(self, idx: int = 0) -> str | None:
        """The Content-Type that was set."""
        return self.response_headers.get("content-type")

    get_request_property = get_request_header
    get_request_properties = get_all_request_header
    add_response_property = set_response_header
    report_status = set_response_status
