"""Who sent a request: named once, by the front door, and read by the face that answers."""

from collections.abc import Callable

from service.domain.caller import Caller
from service.http.asgi import Headers, Scope

Identify = Callable[[Headers], Caller]
"""Who sends requests with such headers, until the epoch moves. Raises AccessDenied for who may not."""

CALLER = "caller"
"""Where the front door writes down in a request's scope who sent it."""


def caller_of(scope: Scope) -> Caller:
    """Who sent a request that came through the front door."""
    caller: Caller = scope[CALLER]
    return caller
