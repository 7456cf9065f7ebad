"""Which share of an endpoint's calls is asked of a second variant, too, as the store keeps it."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

SHADOW_SHARES: Final = "shadow_shares"
"""The fact that has them, by endpoint."""


class ShadowShare(NamedTuple):
    """A share of calls, above 0 and up to 1, of the fleet that it was asked for."""

    share: float
    generation: int


def read_shadow_shares(fact: Mapping[str, Any] | None) -> dict[str, ShadowShare]:
    """The shares that the fact has."""
    return {name: ShadowShare(*each) for name, each in (fact or {}).items()}
