"""The faces of a container behind one front door: the container contract alone."""

from service.domain.caller import Caller
from service.faces.container.app import create_app
from service.faces.container.face import InvocationsFace
from service.faces.container.management import create_router
from service.faces.front_door import Gateway
from service.faces.identity import OpenDoor
from service.faces.users import users_by
from service.http.asgi import App, made_when_called
from service.http.guard import guard_of
from service.http.server import behind_proxies
from service.invoke.follow import Follower
from service.invoke.predict import Predictor
from service.invoke.registered import RegisteredModels
from service.invoke.round import Round
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
