"""An application behind a front door that knows who calls."""

from service.domain.caller import Caller
from service.faces.identity import PASSAGE, Passage
from service.http.asgi import App, Receive, Scope, Send


def called(app: App, caller: Caller) -> App:
    """`app`, all of whose requests are this caller's."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        scope[PASSAGE] = Passage(caller, app)
        await app(scope, receive, send)

    return call
