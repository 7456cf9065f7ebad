"""Pages for people and machines that watch: /, /status, /docs, /openapi.json, /metrics, /healthz, /readyz."""

from collections.abc import Callable
from html import escape
from pathlib import Path
from shlex import quote
from typing import Protocol

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles

from service import __version__
from service.invoke.catalogue import EndpointCard, ExampleRequest, Manual, ModelCard
from service.web.openapi import describe_api
from service.web.shown import json_answer, page_answer, text_answer

_STATIC = Path(__file__).parent / "static"


_ACTIONS = ("invocations", "async-invocations", "invocations-response-stream")
_OTHER_METHODS = ("GET", "PUT", "PATCH", "DELETE", "OPTIONS")
_ANY_INPUT = "-H 'Content-Type: text/csv' -d '1.0,2.0,3.0'"

MOST_SHOWN = 200
"""How many endpoints pages for people show: nobody reads ten thousand, and no browser likes to draw them."""


class Served(Protocol):
    """What is served at this moment. All of these may block; they are called in threads."""

    def endpoints(self, most: int | None = None) -> list[EndpointCard]:
        """The cards of all endpoints, or of the first so many by name."""
        ...

    def endpoint(self, name: str | None) -> EndpointCard | None:
        """The card of one endpoint, by None that of the default one; None where there is none."""
        ...

    def manual(self, name: str) -> Manual:
        """How one endpoint is called."""
        ...

    def models(self) -> list[ModelCard]:
        """Every model that is there to be served, or that some gateway holds or failed to load."""
        ...

    def notices(self) -> list[str]:
        """Sentences for people, such as that the endpoints file is refused."""
        ...


def create_pages(
    served: Served,
    pending: Callable[[], list[str]],
    problems: Callable[[], list[str]],
    metrics: Callable[[], tuple[bytes, str]],
) -> FastAPI:
    """The pages.

    `pending` says what keeps this gateway from being ready, `problems` what does not answer as declared,
    `metrics` gives the exposition and its Content-Type; the last may block.
    """
    app = FastAPI(title="sagebird", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    _add_health(app, pending, problems, metrics)
    _add_docs(app, served)
    _add_overview(app, served)
    _add_wrong_methods(app, served)
    return app


def _add_health(
    app: FastAPI,
    pending: Callable[[], list[str]],
    problems: Callable[[], list[str]],
    metrics: Callable[[], tuple[bytes, str]],
) -> None:
    @app.get("/healthz", tags=["health"], summary="200 while this process is alive")
    async def healthz() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @app.get(
        "/readyz",
        tags=["health"],
        summary="200 once every declared endpoint is up or has failed; names those that failed",
    )
    async def readyz() -> Response:
        ready, found = not pending(), problems()
        return text_answer("\n".join([*(["ready"] if ready else []), *found, ""]), 200 if ready else 503)

    @app.get("/metrics", tags=["health"], summary="Prometheus metrics, summed over the gateways")
    def show_metrics() -> Response:
        body, content_type = metrics()
        return Response(body, headers={"content-type": content_type})


def _add_docs(app: FastAPI, served: Served) -> None:
    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse((_STATIC / "docs.html").read_text(encoding="utf-8"))

    @app.get("/openapi.json", include_in_schema=False)
    def openapi() -> Response:
        return json_answer(describe_api(app, served.endpoints(MOST_SHOWN), served.manual))


def _add_overview(app: FastAPI, served: Served) -> None:
    @app.get("/status", tags=["people"], summary="Endpoints and models as JSON")
    def status() -> Response:
        document = {
            "version": __version__,
            "notices": served.notices(),
            "endpoints": served.endpoints(),
            "models": served.models(),
        }
        return json_answer(document)

    @app.get("/", include_in_schema=False)
    def home(request: Request) -> Response:
        if "authorization" in request.headers or "X-Amz-Credential" in request.query_params:
            # boto3's S3 and STS clients come here too when only AWS_ENDPOINT_URL is set
            return PlainTextResponse("sagebird does not serve this AWS service.\n", 501)
        host = str(request.base_url).rstrip("/")
        if "text/html" in request.headers.get("accept", ""):
            return page_answer(_page(served.endpoints(MOST_SHOWN + 1), served.notices(), host))
        return text_answer(_text(served.endpoints(MOST_SHOWN + 1), served.notices(), host))


def _add_wrong_methods(app: FastAPI, served: Served) -> None:
    """What a browser gets that opens the address of an endpoint: how it is called."""

    def only_post(request: Request, name: str | None = None) -> Response:
        card = served.endpoint(name)
        text = f"{request.method} asks for no prediction here: send a POST with the input as the body"
        host = str(request.base_url).rstrip("/")
        if card is not None and card.example is not None:
            text += f", for example\n\n  {curl_line(card, card.example, host)}"
        elif name is not None:
            text += f", for example\n\n  curl {host}/endpoints/{quote(name)}/invocations {_ANY_INPUT}"
        return text_answer(f"{text}\n\n{host}/docs lets you try it.\n", 405, {"Allow": "POST"})

    for path in ("/invocations", *(f"/endpoints/{{name:path}}/{action}" for action in _ACTIONS)):
        app.add_api_route(path, only_post, methods=list(_OTHER_METHODS), include_in_schema=False)


def curl_line(card: EndpointCard, example: ExampleRequest, host: str) -> str:
    """The curl command that sends an endpoint's example request."""
    headers = [f"Content-Type: {example.content_type}"]
    if example.target_model is not None:
        headers.append(f"X-Amzn-SageMaker-Target-Model: {example.target_model}")
    options = "".join(f" -H {quote(header)}" for header in headers)
    body = quote(example.body.strip("\n"))
    return f"curl {host}/endpoints/{card.name}/invocations{options} -d {body}"


def _text(cards: list[EndpointCard], notices: list[str], host: str) -> str:
    shown, more = cards[:MOST_SHOWN], _more(cards)
    count = f"more than {MOST_SHOWN}" if more else str(len(cards))
    lines = [f"sagebird {__version__} serves {count} endpoints. Docs: {host}/docs", ""]
    lines += [*notices, ""] if notices else []
    for card in shown:
        shares = ", ".join(f"{v.name} {v.share:.0%} ({v.model})" for v in card.variants if not v.pending)
        lines.append(f"{card.name}{' (default)' if card.default else ''}: {card.status}: {shares}")
        if card.failure_reason:
            lines.append(f"  {card.failure_reason}")
        if card.models:
            lines.append(f"  models: {', '.join(card.models)}")
        if card.example is not None:
            lines.append("  " + curl_line(card, card.example, host))
        lines.append("")
    return "\n".join([*lines, more, ""] if more else lines)


def _more(cards: list[EndpointCard]) -> str:
    """What a page says of those that it leaves out, "" if there are none."""
    left_out = len(cards) > MOST_SHOWN
    return (
        f"Only {MOST_SHOWN} endpoints are shown here; /status and ListEndpoints have all." if left_out else ""
    )


def _page(cards: list[EndpointCard], notices: list[str], host: str) -> str:
    told = "".join(f'<p class="bad">{escape(notice)}</p>' for notice in notices)
    shown = "\n".join(_section(card, host) for card in cards[:MOST_SHOWN])
    more = f"<p>{_more(cards)}</p>" if _more(cards) else ""
    sections = told + shown + more or "<p>No endpoint is declared yet.</p>"
    return (
        (_STATIC / "home.html")
        .read_text(encoding="utf-8")
        .format(version=escape(__version__), host=escape(host), sections=sections)
    )


def _section(card: EndpointCard, host: str) -> str:
    rows = "".join(
        f"<tr><td>{escape(v.name)}{' <em>(coming)</em>' if v.pending else ''}</td><td>{escape(v.model)}</td>"
        f'<td class="number">{v.weight:g}</td><td class="number">{v.share:.0%}</td></tr>'
        for v in card.variants
    )
    reason = f'<p class="bad">{escape(card.failure_reason)}</p>' if card.failure_reason else ""
    names = f"<p>Models: {escape(', '.join(card.models))}</p>" if card.models else ""
    call = ""
    if card.example is not None:
        call = f"<pre><code>{escape(curl_line(card, card.example, host))}</code></pre>"
    default = ' <span class="tag">default</span>' if card.default else ""
    status = escape(card.status)
    return (
        f'<section><h2>{escape(card.name)}{default} <span class="tag {status}">{status}</span></h2>{reason}'
        "<table><thead><tr><th>Variant</th><th>Model</th><th>Weight</th><th>Share</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>{names}{call}</section>"
    )
