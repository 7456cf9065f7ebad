"""The container contract as an application of its own, for `sagebird container`."""

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

from service import __version__
from service.faces.container.strays import answer_strays, stray
from service.http.request_ids import request_ids


def create_app(router: APIRouter) -> FastAPI:
    """The routes of the contract and nothing else."""
    new_id = request_ids()
    app = FastAPI(
        title="sagebird container", version=__version__, docs_url=None, redoc_url=None, openapi_url=None
    )

    @app.get("/healthz")
    async def healthz() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @app.api_route("/invocations", methods=["GET", "PUT", "PATCH", "DELETE"])
    async def only_post(request: Request) -> Response:
        sentence = "A prediction is asked for by POST, with the input as the body."
        return stray(request, new_id(), 405, sentence, ["POST"])

    app.include_router(router)
    answer_strays(app)
    return app
