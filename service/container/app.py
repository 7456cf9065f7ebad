"""The container contract as an application of its own, for `sagebird container`."""

from fastapi import APIRouter, FastAPI
from fastapi.responses import PlainTextResponse

from service import __version__


def create_app(router: APIRouter) -> FastAPI:
    """The routes of the contract and nothing else."""
    app = FastAPI(
        title="sagebird container", version=__version__, docs_url=None, redoc_url=None, openapi_url=None
    )

    @app.get("/healthz")
    async def healthz() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @app.api_route("/invocations", methods=["GET", "PUT", "PATCH", "DELETE"])
    async def only_post() -> PlainTextResponse:
        sentence = "A prediction is asked for by POST, with the input as the body.\n"
        return PlainTextResponse(sentence, 405, {"Allow": "POST"})

    app.include_router(router)
    return app
