"""What the front door found out of a request's head: who sent it, and which face answers. Faces read it."""

from collections.abc import Callable
from typing import Any

from service.domain.caller import Caller
from service.http.asgi import App, Headers, Scope

Identify = Callable[[Headers], Caller]
"""Who sends requests with such headers, until the epoch moves. Raises AccessDenied for who may not."""

PASSAGE = "passage"
"""Where the front door leaves a request's passage in its scope."""


class Passage:
    """What one head leads to. Requests that begin alike may share it, so it holds nothing of their bodies."""

    __slots__ = ("caller", "face", "prepared")

    def __init__(self, caller: Caller, face: App) -> None:
        self.caller = caller
        self.face = face
        self.prepared: Any = None
        """What the face made of the head, for the next request with the same one; it alone reads this."""


def passage_of(scope: Scope) -> Passage:
    """What the front door found out of a request that came through it."""
    passage: Passage = scope[PASSAGE]
    return passage


def caller_of(scope: Scope) -> Caller:
    """Who sent a request that came through the front door."""
    return passage_of(scope).caller
