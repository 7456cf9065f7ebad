"""Access keys: what whoever has one may ask, of which endpoints, and until when. No secrets in here."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from service.domain.stored import StateCodec
from service.rates import RequestRate

ANY_ENDPOINT = "*"


class Permission(StrEnum):
    """What a key allows."""

    INVOKE = "invoke"
    """To ask models, and to say what came of it."""

    READ = "read"
    """To see what there is."""

    MANAGE = "manage"
    """To change it, which nobody can who does not see it."""


@dataclass(frozen=True, slots=True)
class AccessKey:
    """One key as the store keeps it: of its API key a digest, of its secret access key nothing.

    `endpoints` are names, in which `*` stands for any text. Times are seconds since 1970. `sealed_by` says
    which key file its secret access key is derived from. There may be a `rate` of its requests, a largest
    body of them, and a number that may be under way at once, its `concurrency`.
    """

    id: str
    name: str
    digest: str
    permissions: frozenset[Permission]
    endpoints: tuple[str, ...]
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    sealed_by: str = ""
    rate: RequestRate | None = None
    most_body_bytes: int | None = None
    concurrency: int | None = None

    def allows(self, permission: Permission) -> bool:
        """Whether it is good for such requests."""
        sees = permission is Permission.READ and Permission.MANAGE in self.permissions
        return sees or permission in self.permissions

    def covers(self, endpoint: str) -> bool:
        """Whether it is good for an endpoint."""
        return any(matches(pattern, endpoint) for pattern in self.endpoints)

    @property
    def covers_all(self) -> bool:
        """Whether it is good for every endpoint, whatever its name."""
        return ANY_ENDPOINT in self.endpoints

    def has_expired(self, now_s: float) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= now_s

    @property
    def is_revoked(self) -> bool:
        """Whether somebody has taken it back."""
        return self.revoked_at is not None


CODEC = StateCodec(AccessKey)
"""How the store keeps a key."""

KeyDocuments = Mapping[str, Mapping[str, Any]]
"""Keys as the store keeps them, by their ids."""


def matches(pattern: str, name: str) -> bool:
    """Whether a name is one that a pattern stands for; takes no longer than both together are long, times."""
    first, *others = pattern.split("*")
    if not others:
        return pattern == name
    *middle, last = others
    at, end = len(first), len(name) - len(last)
    if at > end or not name.startswith(first) or not name.endswith(last):
        return False
    for part in middle:
        at = name.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True
