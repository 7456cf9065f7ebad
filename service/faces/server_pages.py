"""The pages of a server, for people and for machines that watch, as one application."""

from collections.abc import Callable

from service.faces.container.management import create_router
from service.faces.container.strays import answer_strays
from service.faces.people.dashboard.board import Board
from service.faces.people.dashboard.routes import add_dashboard
from service.faces.people.dashboard.verdicts import Verdicts
from service.faces.people.endpoint_document import add_endpoint_document
from service.faces.people.experiments import Experiments
from service.faces.people.pages import create_pages
from service.http.asgi import App
from service.http.server import behind_proxies
from service.invoke.catalogue import Catalogue
from service.invoke.follow import Follower
from service.invoke.predict import Predictor
from service.invoke.registered import RegisteredModels
from service.invoke.round import Round
from service.observe.counts import Registry
from service.observe.exposition import CONTENT_TYPE, render
from service.observe.series import VariantSeries
from service.settings import Settings


def server_pages(
    settings: Settings,
    predictor: Predictor,
    rounds: Round,
    registered: RegisteredModels,
    follower: Follower,
    catalogue: Catalogue,
    registry: Registry,
    experiments: Experiments,
    draining: Callable[[], bool],
) -> App:
    """All that neither predicts nor speaks one of AWS's protocols; live pages end when it is `draining`.

    Must be called on the event loop.
    """
    measured = settings.data / "metrics"

    def metrics() -> tuple[bytes, str]:
        return render(measured, registry, follower.statuses()), CONTENT_TYPE

    series = VariantSeries(settings.data / "series.db", measured)
    board = Board(catalogue, series, measured, settings.data / "environments", Verdicts(experiments).look)
    watched = (follower.pending, follower.problems, metrics)
    found = create_pages(catalogue, *watched, experiments, settings.user_header)
    problems, limit = follower.default_problems, settings.max_body_bytes
    found.include_router(create_router(registered, predictor.answer, rounds, problems, limit))
    add_dashboard(found, catalogue, board, draining)
    add_endpoint_document(found, catalogue)
    answer_strays(found)
    return behind_proxies(found)
