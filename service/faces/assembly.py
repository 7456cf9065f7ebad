"""The faces of a server, and those of a container, joined behind one front door."""

from service.access.token_buckets import TokenBuckets
from service.domain.caller import Caller
from service.faces.aws.runtime import RuntimeFace
from service.faces.container.app import create_app
from service.faces.container.face import InvocationsFace
from service.faces.container.management import create_router
from service.faces.container.strays import answer_strays
from service.faces.doorkeeping import keep_door
from service.faces.front_door import Gateway
from service.faces.identity import OpenDoor
from service.faces.limits import RateLimits
from service.faces.people.dashboard.board import Board
from service.faces.people.dashboard.routes import add_dashboard
from service.faces.people.experiments import Experiments
from service.faces.people.pages import create_pages
from service.faces.recorded import Recording
from service.faces.users import users_by
from service.http.asgi import App, made_when_called
from service.http.guard import guard_of
from service.http.server import behind_proxies
from service.invoke.catalogue import Catalogue
from service.invoke.follow import Follower
from service.invoke.predict import Predictor
from service.invoke.recording import Recorder
from service.invoke.registered import RegisteredModels
from service.invoke.round import Round
from service.observe.counts import Registry
from service.observe.exposition import CONTENT_TYPE, render
from service.observe.series import VariantSeries
from service.rates import read_named_rate
from service.settings import Settings


def container_door(
    settings: Settings,
    caller: Caller,
    predictor: Predictor,
    rounds: Round,
    registered: RegisteredModels,
    follower: Follower,
) -> Gateway:
    """The container contract alone; every request is `caller`'s."""
    user_of = users_by(settings.user_header)
    invocations = InvocationsFace(predictor, rounds, settings.max_body_bytes, user_of)

    def contract() -> App:
        problems, limit = follower.default_problems, settings.max_body_bytes
        router = create_router(registered, predictor.answer, rounds, problems, limit)
        return behind_proxies(create_app(router))

    pages = made_when_called(contract)
    return Gateway(
        pages,
        invocations,
        pages,
        pages,
        guard_of(settings, contains=True),
        OpenDoor(lambda _headers: caller),
        settings.max_body_bytes,
        prepare_default=invocations.prepare,
    )


def server_door(
    settings: Settings,
    caller: Caller,
    predictor: Predictor,
    rounds: Round,
    registered: RegisteredModels,
    follower: Follower,
    catalogue: Catalogue,
    registry: Registry,
    control: App,
    buckets: TokenBuckets,
    recorder: Recorder,
    experiments: Experiments,
    s3: App | None,
) -> Gateway:
    """Every face, `control` for `POST /` and `s3` for buckets among them. Must be called on the event loop.

    Every request is `caller`'s, where nobody is asked for a key. Raises: StartupError.
    """
    rates = dict(map(read_named_rate, settings.rates))
    limits = RateLimits(buckets, rates, lambda: follower.directory.default)
    kept, user_of = keep_door(settings, caller, limits), users_by(settings.user_header)
    recording = Recording(recorder)
    invocations = InvocationsFace(predictor, rounds, settings.max_body_bytes, user_of, recording)
    runtime = RuntimeFace(predictor, rounds, settings.max_body_bytes, user_of, recording)

    def metrics() -> tuple[bytes, str]:
        return render(settings.data / "metrics", registry, follower.statuses()), CONTENT_TYPE

    def pages() -> App:
        measured = settings.data / "metrics"
        series = VariantSeries(settings.data / "series.db", measured)
        board = Board(catalogue, series, measured, settings.data / "environments")
        found = create_pages(catalogue, follower.pending, follower.problems, metrics, experiments)
        problems, limit = follower.default_problems, settings.max_body_bytes
        found.include_router(create_router(registered, predictor.answer, rounds, problems, limit))
        add_dashboard(found, catalogue, board, lambda: door.draining)
        answer_strays(found)
        return behind_proxies(found)

    door = Gateway(
        runtime,
        invocations,
        control,
        made_when_called(pages),
        guard_of(settings),
        kept.doorkeeper,
        settings.max_body_bytes,
        prepare_endpoint=runtime.prepare,
        prepare_default=invocations.prepare,
        epoch=kept.epoch,
        follow_keys=kept.follow_keys,
        limits=limits,
        s3=s3,
    )
    return door
