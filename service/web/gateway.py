"""The front door: predictions go straight to their face, the rest to the pages. No framework in between."""

from collections.abc import Awaitable, Callable
from functools import lru_cache, partial

from service.asgi import App, Headers, Message, Receive, Scope, Send
from service.wire.reply import Answering, Preparing

_ENDPOINTS = b"/endpoints/"
_INVOCATIONS = b"/invocations"
_KNOWN_TARGETS = 4096
_PLAIN_NAME = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


class Gateway:
    """The ASGI application of one gateway process."""

    def __init__(
        self,
        runtime: App,
        invocations: App,
        control: App,
        pages: App,
        *,
        prepare_endpoint: Callable[[str, Headers], Answering] | None = None,
        prepare_default: Preparing | None = None,
    ) -> None:
        """Take the four faces.

        `runtime` has what is below /endpoints/, `invocations` has POST /invocations, `control` has POST / and
        `pages` the rest. `prepare_endpoint`, which takes the endpoint's name first, and `prepare_default` are
        the hot ways into the first two.
        """
        self.draining = False
        self._prepare_endpoint = prepare_endpoint
        self._prepare_default = prepare_default
        self.prepares = lru_cache(_KNOWN_TARGETS)(self._prepares)
        self._runtime = runtime
        self._invocations = invocations
        self._control = control
        self._pages = pages

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass a request on. While draining, each answer tells its client to connect anew, elsewhere."""
        if self.draining:
            send = _closing(send)
        return self._face(scope["method"], scope["path"])(scope, receive, send)

    def _face(self, method: str, path: str) -> App:
        if path.startswith("/endpoints/"):
            return self._runtime
        if method == "POST" and path == "/invocations":
            return self._invocations
        return self._control if method == "POST" and path == "/" else self._pages

    def _prepares(self, target: bytes) -> Preparing | None:
        """Who answers `POST target` without ASGI, if anybody; targets that need decoding are left to ASGI."""
        if target == _INVOCATIONS:
            return self._prepare_default
        inside = target.startswith(_ENDPOINTS) and target.endswith(_INVOCATIONS)
        name = target[len(_ENDPOINTS) : -len(_INVOCATIONS)] if inside else b""
        if self._prepare_endpoint is None or not _PLAIN_NAME.issuperset(name) or not name:
            return None
        return partial(self._prepare_endpoint, name.decode("ascii"))


def _closing(send: Send) -> Send:
    async def send_and_close(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
        await send(message)

    return send_and_close
