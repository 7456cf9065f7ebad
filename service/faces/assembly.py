"""The faces of a server, joined behind one front door."""

from service.access.shared_counts import SharedCounts
from service.domain.caller import Caller
from service.faces.aws.runtime import RuntimeFace
from service.faces.container.face import InvocationsFace
from service.faces.doorkeeping import keep_door
from service.faces.front_door import Gateway
from service.faces.limits import RateLimits
from service.faces.people.experiments import Experiments
from service.faces.recorded import Recording
from service.faces.server_pages import server_pages
from service.faces.users import users_by
from service.hosting.inline import InlineHost
from service.http.asgi import App, made_when_called
from service.http.guard import guard_of
from service.invoke.catalogue import Catalogue
from service.invoke.follow import Follower
from service.invoke.predict import Predictor
from service.invoke.recording import Recorder
from service.invoke.registered import RegisteredModels
from service.invoke.round import Round
from service.observe.counts import Registry
from service.rates import read_named_rate
from service.settings import Settings
from service.store.store import Store


def server_door(
    settings: Settings,
    caller: Caller,
    predictor: Predictor,
    rounds: Round,
    registered: RegisteredModels,
    follower: Follower,
    host: InlineHost,
    store: Store,
    registry: Registry,
    control: App,
    s3: App | None,
    counts: SharedCounts,
    recorder: Recorder,
    experiments: Experiments,
) -> Gateway:
    """Every face, `control` for `POST /` and `s3` for buckets among them. Must be called on the event loop.

    Every request is `caller`'s, where nobody is asked for a key. Raises: StartupError.
    """
    rates = dict(map(read_named_rate, settings.rates))
    limits = RateLimits(counts.buckets, rates, lambda: follower.directory.default, counts.in_flight)
    kept, user_of = keep_door(settings, caller, limits), users_by(settings.user_header)
    recording = Recording(recorder)
    catalogue = Catalogue(store, host, settings.models, lambda: follower.directory)
    invocations = InvocationsFace(predictor, rounds, settings.max_body_bytes, user_of, recording)
    runtime = RuntimeFace(predictor, rounds, settings.max_body_bytes, user_of, recording)

    def pages() -> App:
        answering = (predictor, rounds, registered, follower)
        return server_pages(settings, *answering, catalogue, registry, experiments, lambda: door.draining)

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
