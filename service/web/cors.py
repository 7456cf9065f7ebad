"""Cross-origin calls: which web pages may call this server from a browser, and what they may read."""

from collections.abc import Sequence
from typing import Any, cast

from starlette.middleware.cors import CORSMiddleware

from service.asgi import App

_METHODS = ("GET", "POST", "OPTIONS")
_EXPOSED = (
    "x-amzn-RequestId",
    "x-amzn-ErrorType",
    "x-Amzn-Invoked-Production-Variant",
    "X-Amzn-SageMaker-Custom-Attributes",
    "X-Amzn-SageMaker-New-Session-Id",
    "X-Amzn-SageMaker-Closed-Session-Id",
)


def allow_origins(app: App, origins: Sequence[str]) -> App:
    """The application, callable from web pages of these origins, `*` being any; without cookies."""
    inner = cast("Any", app)  # Starlette's names for the same types are not assignable to ours
    wrapped: Any = CORSMiddleware(
        inner, allow_origins=origins, allow_methods=_METHODS, allow_headers=["*"], expose_headers=_EXPOSED
    )
    return cast("App", wrapped)
