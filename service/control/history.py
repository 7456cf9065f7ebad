"""How an endpoint's weights changed, when, on whose behalf and why: the last changes, kept with the state."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from service.control.resources import Resources
from service.domain.endpoint import Fleet

_MOST = 100

MOST_REASON_CHARS = 300
"""How much is kept of why weights were changed."""


class Facts(Protocol):
    """Where facts are read."""

    def fact(self, name: str) -> Any:
        """The value of a fact, None if there is none."""
        ...


def note_change(resources: Resources, endpoint: str, before: Fleet | None, after: Fleet, reason: str) -> None:
    """Keep a change of weights; what changes none is no change."""
    if before is None or before.weights != after.weights:
        note_decision(resources, endpoint, dict(after.weights), reason)


def note_decision(resources: Resources, endpoint: str, weights: Mapping[str, float], reason: str) -> None:
    """Keep what was decided on weights, be it that they stay as they are."""
    change = {
        "at": resources.clock.now().isoformat(timespec="seconds"),
        "weights": dict(weights),
        "reason": reason[:MOST_REASON_CHARS],
        "by": resources.context.caller.principal,
    }
    resources.put_fact(_name(endpoint), [*changes_of(resources, endpoint), change][-_MOST:])


def forget_changes(resources: Resources, endpoint: str) -> None:
    """Begin anew: the endpoint is another one from now on."""
    if changes_of(resources, endpoint):
        resources.put_fact(_name(endpoint), [])


def changes_of(facts: Facts, endpoint: str) -> Sequence[Mapping[str, Any]]:
    """The changes of an endpoint's weights, the newest last."""
    found: Sequence[Mapping[str, Any]] = facts.fact(_name(endpoint)) or ()
    return found


def _name(endpoint: str) -> str:
    return f"weights:{endpoint}"
