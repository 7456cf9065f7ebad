"""The front door: predictions go straight to their face, the rest to the pages. No framework in between."""

from service.asgi import App, Message, Receive, Scope, Send


class Gateway:
    """The ASGI application of one gateway process."""

    def __init__(self, runtime: App, invocations: App, control: App, pages: App) -> None:
        """Take the four faces.

        `runtime` has what is below /endpoints/, `invocations` has POST /invocations, `control` has POST / and
        `pages` the rest.
        """
        self.draining = False
        self._runtime = runtime
        self._invocations = invocations
        self._control = control
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on. While draining, each answer tells its client to connect anew, elsewhere."""
        if self.draining:
            send = _closing(send)
        path = scope["path"]
        if path.startswith("/endpoints/"):
            await self._runtime(scope, receive, send)
        elif scope["method"] == "POST" and path == "/invocations":
            await self._invocations(scope, receive, send)
        elif scope["method"] == "POST" and path == "/":
            await self._control(scope, receive, send)
        else:
            await self._pages(scope, receive, send)


def _closing(send: Send) -> Send:
    async def send_and_close(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
        await send(message)

    return send_and_close
