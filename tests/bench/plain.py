"""FastAPI + scikit-learn as a user writes it in 20 lines; the variable MODELS names their folder."""

import io
import os
from pathlib import Path
from typing import Annotated, Any

import joblib
import numpy as np
import pandas as pd
from fastapi import Depends, FastAPI, Request, Response

from tests.bench.scripts import load_script

folder = Path(os.environ["MODELS"])
models = {path.parent.name: joblib.load(path) for path in folder.glob("*/model.joblib")}
app = FastAPI()


async def raw(request: Request) -> bytes:
    return await request.body()


@app.post("/rows/{name}")
def predict(name: str, body: Annotated[bytes, Depends(raw)]) -> list[Any]:
    rows = np.loadtxt(io.BytesIO(body), delimiter=",", ndmin=2)
    answers: list[Any] = models[name].predict(rows).tolist()
    return answers


@app.post("/texts/{name}")
def predict_text(name: str, body: Annotated[bytes, Depends(raw)]) -> list[Any]:
    answers: list[Any] = models[name].predict([body.decode()]).tolist()
    return answers


@app.post("/records/{name}")
def predict_record(name: str, record: dict[str, Any]) -> list[Any]:
    answers: list[Any] = models[name].predict(pd.DataFrame([record])).tolist()
    return answers


@app.post("/scripts/{name}")
def predict_by_script(name: str, body: Annotated[bytes, Depends(raw)]) -> Response:
    answer, content_type = load_script(folder / name).answer(body, "application/json", "application/json")
    return Response(answer, media_type=content_type)


@app.get("/")
def ready() -> str:
    return "ready"
