"""The functions of hop.py's script in FastAPI, as a user writes it in 20 lines: `/def` and `/async`."""

from typing import Annotated

from fastapi import Depends, FastAPI, Header, Request, Response

app = FastAPI()


async def raw(request: Request) -> bytes:
    return await request.body()


def input_fn(body: bytes, content_type: str) -> bytes:
    return body


def predict_fn(data: bytes, model: None) -> bytes:
    return data


def output_fn(prediction: bytes, accept: str) -> tuple[bytes, str]:
    return prediction, "text/csv"


Body = Annotated[bytes, Depends(raw)]
Named = Annotated[str, Header()]


@app.post("/def")
def called(body: Body, content_type: Named, accept: Named = "*/*") -> Response:
    answer, kind = output_fn(predict_fn(input_fn(body, content_type), None), accept)
    return Response(answer, media_type=kind)


@app.post("/async")
async def awaited(body: Body, content_type: Named, accept: Named = "*/*") -> Response:
    answer, kind = output_fn(predict_fn(input_fn(body, content_type), None), accept)
    return Response(answer, media_type=kind)


@app.get("/")
def ready() -> str:
    return "ready"
