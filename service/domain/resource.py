"""One record for everything that an API call can make."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from service.domain.kinds import Kind


@dataclass(frozen=True, slots=True)
class Resource:
    """A named thing of some kind.

    `document` is what the caller asked for, in AWS spelling; `state` is what sagebird made of it, in its own;
    `declared` marks what the endpoints file made. Times are aware UTC. `revision` is the one at
    which the store wrote it last; the store sets it, whatever the caller says. It is no part of what the
    resource is: two that differ in nothing else are equal.
    """

    kind: Kind
    name: str
    document: Mapping[str, Any]
    created_at: datetime
    modified_at: datetime
    status: str = ""
    failure_reason: str = ""
    state: Mapping[str, Any] = field(default_factory=dict)
    declared: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    revision: int = field(default=0, compare=False)
