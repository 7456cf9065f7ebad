"""What the front door found out of a request's head: who sent it, and which face answers. Faces read it."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from service.access.claims import AskedHead
from service.access.permissions import Need
from service.domain.caller import Caller
from service.errors import CallerError
from service.faces.proofs import Proof
from service.http.asgi import App, Headers, Scope
from service.http.reply import Answering

PASSAGE = "passage"
"""Where the front door leaves a request's passage in its scope."""

Make = Callable[[Caller], Answering]
"""What answers the requests of a caller."""

Deny = Callable[[CallerError], Answering]
"""What tells whoever asks that he may not."""


Take = Callable[[], None]
"""Counts one request. Raises Throttled."""

Around = Callable[[Callable[[Take], App]], App]
"""Makes a face of what makes one for each request, given what counts that; it is over when the face is."""


IsGood = Callable[[], bool]
"""Whether who came in would be let in again: an answer that has no end of its own ends with that."""


def for_ever() -> bool:
    """For whom nobody takes it back."""
    return True


class Admitted(NamedTuple):
    """Who sent a request.

    Where he has signed it, `proof` takes its body, and raises a CallerError for another than the one that was
    signed; until then he may be anybody, and is told no `refusal`. Where it `lasts`, whoever sends the same
    head again in this epoch is the same. `take` counts the request once he has proven who he is, and raises
    Throttled; his body must not be larger than `most_body_bytes`. Where so many may be under way, `around`
    counts each until it is answered. `is_good` says whether his key is one still.
    """

    caller: Caller
    proof: Proof | None = None
    refusal: CallerError | None = None
    lasts: bool = True
    take: Take | None = None
    most_body_bytes: int | None = None
    around: Around | None = None
    is_good: IsGood = for_ever


class Doorkeeper(Protocol):
    """Who may come in, and as whom, until the epoch moves."""

    def admit(self, head: AskedHead, need: Need | None = None) -> Admitted:
        """Who sends a request with this head, which takes this `need` or else what its path tells.

        Raises: CallerError for who may not.
        """
        ...

    def prepare(self, path: str, headers: Headers, make: Make, deny: Deny) -> Answering:
        """What answers `POST path` with such headers, of which those are left out that vary."""
        ...


class OpenDoor:
    """A doorkeeper who lets everybody in, as whom his headers say he is."""

    def __init__(self, identify: Callable[[Headers], Caller]) -> None:
        """Raises: AccessDenied, where `identify` does."""
        self._identify = identify

    def admit(self, head: AskedHead, need: Need | None = None) -> Admitted:
        """See Doorkeeper."""
        return Admitted(self._identify(head.headers))

    def prepare(self, path: str, headers: Headers, make: Make, deny: Deny) -> Answering:
        """See Doorkeeper."""
        try:
            caller = self._identify(headers)
        except CallerError as error:
            return deny(error)
        return make(caller)


class Passage:
    """What one head leads to. Requests that begin alike may share it, so it holds nothing of their bodies."""

    __slots__ = ("caller", "face", "is_good", "lasts", "prepared")

    def __init__(self, caller: Caller, face: App, *, lasts: bool = True, is_good: IsGood = for_ever) -> None:
        self.caller = caller
        self.face = face
        self.is_good = is_good
        self.lasts = lasts
        """Whether the next request with the same head may have it, too."""
        self.prepared: Any = None
        """What the face made of the head, for the next request with the same one; it alone reads this."""


def passage_of(scope: Scope) -> Passage:
    """What the front door found out of a request that came through it."""
    passage: Passage = scope[PASSAGE]
    return passage


def caller_of(scope: Scope) -> Caller:
    """Who sent a request that came through the front door."""
    return passage_of(scope).caller
