"""The addresses below /dashboard: the page, its parts, and what keeps them up to date. All are read-only.

What the page changes it changes by the API that everybody uses, `POST /`, which refuses other sites' pages.
Only the first of these may be shown to anybody: it holds nothing of the server's.
"""

from collections.abc import Callable, Mapping
from functools import cache
from math import isfinite
from typing import Any, Final
from zlib import crc32

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from service.domain.traffic import Traffic
from service.faces.identity import passage_of
from service.faces.people.dashboard.board import Board, Picture
from service.faces.people.dashboard.forms import form_of
from service.faces.people.dashboard.live import Live, News
from service.faces.people.dashboard.promotion import preview
from service.faces.people.dashboard.render import Renderer, layout_of
from service.faces.people.pages import Served
from service.faces.people.shown import page_answer
from service.invoke.catalogue import EndpointCard

_NOT_KEPT: Final = {"cache-control": "no-store"}
_MOST_WEIGHTS: Final = 100


def add_dashboard(app: FastAPI, served: Served, board: Board, is_over: Callable[[], bool]) -> None:
    """Have an application answer below /dashboard; open pages are let go once it `is_over`."""
    renderer = cache(Renderer)
    live = Live(lambda: _news(board.look(), renderer()), is_over)

    @app.get("/dashboard", include_in_schema=False)
    def dashboard() -> Response:
        return page_answer(renderer().shell())

    @app.get("/dashboard/main", include_in_schema=False)
    def main() -> Response:
        return _fragment(renderer().main(board.look()))

    @app.get("/dashboard/live", include_in_schema=False)
    async def follow(request: Request) -> Response:
        told = {**_NOT_KEPT, "x-accel-buffering": "no"}
        is_good = passage_of(request.scope).is_good
        return StreamingResponse(live.follow(is_good), media_type="text/event-stream", headers=told)

    @app.get("/dashboard/shares", include_in_schema=False)
    def shares(request: Request) -> Response:
        card = served.endpoint(request.query_params.get("endpoint", ""))
        weights = request.query_params.getlist("weight")[:_MOST_WEIGHTS]
        return _fragment(renderer().fragment("shares.html", _moves(card, weights)))

    @app.get("/dashboard/promotion", include_in_schema=False)
    def promotion(request: Request) -> Response:
        asked = request.query_params
        card = served.endpoint(asked.get("endpoint", ""))
        found = None if card is None else board.experiment(card.name)
        said = preview(card, found, asked.get("variant", ""), asked.get("pause_s", ""))
        return _fragment(renderer().fragment("promotion.html", said))

    @app.get("/dashboard/try", include_in_schema=False)
    def attempt(request: Request) -> Response:
        asked = request.query_params
        card = served.endpoint(asked.get("endpoint", ""))
        if card is None:
            return page_answer("<p>There is no such endpoint any more.</p>")
        return _fragment(renderer().fragment("try.html", _attempt(served, card, asked.get("target_model"))))


def _fragment(html: str) -> Response:
    answer = page_answer(html)
    answer.headers.update(_NOT_KEPT)
    return answer


def _news(picture: Picture, renderer: Renderer) -> News:
    *closed, last = picture.minutes
    charts, tails = {}, {}
    for panel in picture.panels:
        name, curves = panel.card.name, panel.curves
        charts[name] = {"t": closed, "of": {key: _each(own, slice(-1)) for key, own in curves.items()}}
        tails[name] = {"t": [last], "of": {key: _each(own, slice(-1, None)) for key, own in curves.items()}}
    weights = {panel.card.name: panel.weights for panel in picture.panels}
    layout = {"board": layout_of(picture)}
    parts = renderer.parts(picture)
    return {"parts": parts, "charts": charts, "tails": tails, "weights": weights, "layout": layout}


def _each(curves: Mapping[str, list[float | None]], part: slice) -> dict[str, list[float | None]]:
    return {name: curve[part] for name, curve in curves.items()}


def _moves(card: EndpointCard | None, weights: list[str]) -> dict[str, Any]:
    """What other weights would do, by the function that shares traffic out; in the order of variants."""
    serving = [] if card is None else [variant for variant in card.variants if not variant.pending]
    try:
        wanted = [float(weight) for weight in weights]
        after = Traffic([(v.name, w) for v, w in zip(serving, wanted, strict=True)]).shares()
    except ValueError:
        return {"problem": "The endpoint has other variants by now.", "moves": []}
    if not any(wanted) or not all(map(isfinite, wanted)):
        return {"problem": "No variant would get any request: calls would fail.", "moves": []}
    moves = [
        {"name": variant.name, "before": variant.share, "after": after[variant.name]}
        for variant in serving
        if abs(variant.share - after[variant.name]) > 1e-9
    ]
    return {"problem": "", "moves": moves}


def _attempt(served: Served, card: EndpointCard, target_model: str | None) -> dict[str, Any]:
    target = target_model or (None if card.example is None else card.example.target_model)
    example = served.example_for(card.name, target) if card.models and target else None
    form = form_of(served.manual(card.name), example)
    tab = f"t{crc32(card.name.encode('utf-8', 'replace')):x}"
    return {"card": card, "form": form, "target_model": target, "tab": tab}
