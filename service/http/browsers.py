"""What a browser is told beside each page: nothing foreign runs in it, around it, or reads it."""

from service.http.asgi import App, Headers, Message, Receive, Scope, Send

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",  # Swagger UI's marks
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_TOLD: Headers = [
    (b"content-security-policy", _POLICY.encode("ascii")),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


def for_browsers(app: App) -> App:
    """The application's pages, with what browsers need to know; HEAD is answered as GET, without a body."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server itself leaves the body out
        await app(scope, receive, with_headers(send, _TOLD))

    return call


def with_headers(send: Send, more: Headers) -> Send:
    """`send`, with these headers on every answer."""

    async def send_more(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *more]
        await send(message)

    return send_more
