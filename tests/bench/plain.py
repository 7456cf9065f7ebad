"""FastAPI + scikit-learn as a user writes it in 20 lines; the variable MODELS names their folder."""

import io
import os
from pathlib import Path
from typing import Annotated, Any

import joblib
import numpy as np
from fastapi import Depends, FastAPI, Request

models = {path.parent.name: joblib.load(path) for path in Path(os.environ["MODELS"]).glob("*/model.joblib")}
app = FastAPI()


async def raw(request: Request) -> bytes:
    return await request.body()


@app.post("/{name}")
def predict(name: str, body: Annotated[bytes, Depends(raw)]) -> list[Any]:
    rows = np.loadtxt(io.BytesIO(body), delimiter=",", ndmin=2)
    answers: list[Any] = models[name].predict(rows).tolist()
    return answers


@app.post("/texts/{name}")
def predict_text(name: str, body: Annotated[bytes, Depends(raw)]) -> list[Any]:
    answers: list[Any] = models[name].predict([body.decode()]).tolist()
    return answers


@app.get("/")
def ready() -> str:
    return "ready"
