"""The response that handlers return: flask's where that is installed. Source: sagemaker-containers 2.8.6."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._content_types import JSON

try:
    from flask import Response as _Base
except ImportError:

    class _Base:  # type: ignore[no-redef]
        """As much of flask's as handlers use."""

        default_mimetype = JSON

        def __init__(
            self,
            response: Any = None,
            status: Any = 200,
            headers: Mapping[str, str] | None = None,
            mimetype: str | None = None,
            content_type: str | None = None,
            direct_passthrough: bool = False,
        ) -> None:
            self.status_code = int(str(status).split(" ")[0])
            self.headers = dict(headers or {})
            said = content_type or mimetype or self.headers.get("Content-Type") or self.default_mimetype
            is_text = not content_type and said.startswith("text/") and "charset" not in said
            self.content_type = f"{said}; charset=utf-8" if is_text else said
            self.mimetype = self.content_type.partition(";")[0].strip()
            self.set_data(b"" if response is None else response)

        def set_data(self, value: Any) -> None:
            """Answer with this text, these bytes, or several of them."""
            parts = [value] if isinstance(value, (str, bytes, bytearray)) else value
            self.data = b"".join(part.encode() if isinstance(part, str) else bytes(part) for part in parts)

        def get_data(self, as_text: bool = False) -> Any:
            """The body."""
            return self.data.decode() if as_text else self.data

        @property
        def response(self) -> list[bytes]:
            """The body, in parts."""
            return [self.data]

        @property
        def status(self) -> str:
            """The status as text."""
            return str(self.status_code)


class Response(_Base):  # type: ignore[misc]  # flask may be absent
    """A response that is JSON unless it says otherwise; `accept` is passed over, as AWS's does."""

    default_mimetype = JSON

    def __init__(
        self,
        response: Any = None,
        accept: Any = None,
        status: Any = 200,
        headers: Any = None,
        mimetype: str | None = None,
        direct_passthrough: bool = False,
    ) -> None:
        super().__init__(response, status, headers, mimetype, None, direct_passthrough)
