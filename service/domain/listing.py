"""One page of the resources of a kind: which, in what order, and where the page begins."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from service.domain.resource import Resource

SortKey = Literal["name", "created_at", "modified_at", "status"]
PagePosition = tuple[str | float, str]
"""Where a resource stands in an order: the value that it is sorted by, and its name, which breaks ties.

Times are seconds since 1970; text is compared by code point.
"""


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What a list call asks for; defaults as AWS's (contract C.2).

    The page begins after the place `after`, that of the last resource of the page before: whatever is added
    or removed meanwhile, no resource comes twice and none that stays is left out. `name_contains` is literal,
    but for the case of ASCII letters. Times exclude themselves.

    Those that lie in others are `nested`, as a version in its group: `group/1` is `below` the group.
    """

    order: SortKey = "created_at"
    descending: bool = True
    limit: int = 10
    after: PagePosition | None = None
    name_contains: str | None = None
    status: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    modified_after: datetime | None = None
    modified_before: datetime | None = None
    below: str | None = None
    nested: bool | None = None

    def place_of(self, resource: Resource) -> PagePosition:
        """Where a resource stands in this order."""
        value = getattr(resource, self.order)
        return (value.timestamp() if isinstance(value, datetime) else value), resource.name
