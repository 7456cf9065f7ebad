"""Pages for people and machines that watch: /, /status, /docs, /openapi.json, /metrics, /healthz, /readyz.

Routes take the request alone and read its parameters themselves. What FastAPI makes of declared ones it makes
while models are loaded and asked in other threads; it hushes warnings of pydantic's by filters, which those
threads swap meanwhile.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles

from service import __version__
from service.faces.people.experiments import Experiments, add_experiments
from service.faces.people.home import MOST_SHOWN, curl_line, home_page, home_text
from service.faces.people.models_api import in_query
from service.faces.people.openapi import describe_api
from service.faces.people.shown import json_answer, page_answer, text_answer
from service.http.failures import note_stray
from service.http.request_ids import request_ids
from service.invoke.catalogue import EndpointCard, ExampleRequest, Manual, ModelCard
from service.log import get_logger
from service.settings import USER_HEADER
from service.wire.services import ACTIONS

_STATIC = Path(__file__).parent / "static"


_OTHER_METHODS = ("GET", "PUT", "PATCH", "DELETE", "OPTIONS")


class Served(Protocol):
    """What is served at this moment. All of these may block; they are called in threads."""

    def endpoints(self, most: int | None = None) -> list[EndpointCard]:
        """The cards of all endpoints, or of the first so many by name."""
        ...

    def endpoint(self, name: str | None) -> EndpointCard | None:
        """The card of one endpoint, by None that of the default one; None where there is none."""
        ...

    def example_for(self, name: str, target_model: str) -> ExampleRequest | None:
        """The example request of one model of a multi-model endpoint, None if there is none."""
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
    experiments: Experiments | None = None,
    user_header: str = USER_HEADER,
) -> FastAPI:
    """The pages; where there are `experiments`, theirs too. `user_header` is the setting's.

    `pending` says what keeps this gateway from being ready, `problems` what does not answer as declared,
    `metrics` gives the exposition and its Content-Type; the last may block.
    """
    app = FastAPI(title="sagebird", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    _add_client(app)
    _add_health(app, pending, problems, metrics)
    _add_docs(app, served, user_header)
    _add_overview(app, served)
    if experiments is not None:
        add_experiments(app, experiments)
    _add_wrong_methods(app, served)
    return app


def _add_health(
    app: FastAPI,
    pending: Callable[[], list[str]],
    problems: Callable[[], list[str]],
    metrics: Callable[[], tuple[bytes, str]],
) -> None:
    @app.get("/healthz", tags=["health"], operation_id="healthz", summary="200 while this process is alive")
    async def healthz() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @app.get(
        "/readyz",
        tags=["health"],
        operation_id="readyz",
        summary="200 once every declared endpoint is up or has failed; names those that failed",
    )
    async def readyz() -> Response:
        ready, found = not pending(), problems()
        return text_answer("\n".join([*(["ready"] if ready else []), *found, ""]), 200 if ready else 503)

    @app.get(
        "/metrics",
        tags=["health"],
        operation_id="metrics",
        summary="Prometheus metrics, summed over the gateways",
    )
    def show_metrics() -> Response:
        body, content_type = metrics()
        return Response(body, headers={"content-type": content_type})


def _add_client(app: FastAPI) -> None:
    """The module by which web pages ask."""

    @app.get("/client.js", include_in_schema=False)
    async def client() -> Response:
        script = (_STATIC / "client.js").read_bytes()
        return Response(script, media_type="text/javascript", headers={"cache-control": "max-age=3600"})


def _add_docs(app: FastAPI, served: Served, user_header: str) -> None:
    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse((_STATIC / "docs.html").read_text(encoding="utf-8"))

    @app.get("/openapi.json", include_in_schema=False)
    def openapi() -> Response:
        return json_answer(describe_api(app, served.endpoints(MOST_SHOWN), served.manual, user_header))


def _add_overview(app: FastAPI, served: Served) -> None:
    @app.get(
        "/status",
        tags=["people"],
        operation_id="status",
        summary="Endpoints and models as JSON; the example of one endpoint for the target model, if asked",
        openapi_extra={"parameters": [in_query("endpoint"), in_query("target_model")]},
    )
    def status(request: Request) -> Response:
        asked = request.query_params
        endpoint, target_model = asked.get("endpoint", ""), asked.get("target_model", "")
        cards = served.endpoints()
        if target_model:
            example = served.example_for(endpoint, target_model)
            cards = [replace(card, example=example) if card.name == endpoint else card for card in cards]
        document = {
            "version": __version__,
            "notices": served.notices(),
            "endpoints": cards,
            "models": served.models(),
        }
        return json_answer(document)

    @app.get("/", include_in_schema=False)
    def home(request: Request) -> Response:
        host = str(request.base_url).rstrip("/")
        if "text/html" in request.headers.get("accept", ""):
            shown = home_page(served.endpoints(MOST_SHOWN + 1), served.models(), served.notices(), host)
            return page_answer(shown)
        return text_answer(home_text(served.endpoints(MOST_SHOWN + 1), served.notices(), host))


def _add_wrong_methods(app: FastAPI, served: Served) -> None:
    """What a browser gets that opens the address of an endpoint: how it is called."""
    new_id = request_ids()

    def only_post(request: Request) -> Response:
        card = served.endpoint(request.path_params.get("name"))
        text = f"{request.method} asks for no prediction here: send a POST with the input as the body"
        host = str(request.base_url).rstrip("/")
        if card is not None:
            text += f", for example\n\n  {curl_line(card, host)}"
        request_id, path = new_id(), request.url.path
        note_stray(get_logger("sagebird.gateway"), request_id, 405, "POST only", path=path)
        headers = {"Allow": "POST", "x-amzn-RequestId": request_id}
        return text_answer(f"{text}\n\n{host}/docs lets you try it.\n", 405, headers)

    for path in ("/invocations", *(f"/endpoints/{{name:path}}{action}" for action in ACTIONS)):
        app.add_api_route(path, only_post, methods=list(_OTHER_METHODS), include_in_schema=False)
