"""Create, look up, list and delete for any row of domain.kinds, written once."""

from collections.abc import Mapping
from typing import Any

from service.arn import Arns
from service.clock import Clock
from service.domain import sentences
from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.errors import ValidationFault
from service.store.store import Change


class Resources:
    """Resources within one transaction of the store."""

    def __init__(self, change: Change, arns: Arns, clock: Clock) -> None:
        self._change = change
        self._arns = arns
        self.clock = clock

    def arn(self, kind: Kind, name: str) -> str:
        """The ARN of a resource."""
        return self._arns.arn(kind.row.arn_part, name)

    def revision(self) -> int:
        """The store's revision that this transaction starts from."""
        return self._change.revision()

    def create(self, kind: Kind, document: Mapping[str, Any], *, declared: bool = False) -> Resource:
        """Make a resource out of the document of its create call.

        Raises:
            ValidationFault: the name is taken.
        """
        name = document[kind.row.name_member]
        if self.find(kind, name) is not None:
            raise ValidationFault(sentences.already_exists(kind.row.words, self.arn(kind, name)))
        now = self.clock.now()
        resource = Resource(kind, name, document, created_at=now, modified_at=now, declared=declared)
        self._change.put(resource)
        return resource

    def get(self, kind: Kind, name: str) -> Resource:
        """Look a resource up.

        Raises:
            ValidationFault: there is none; never 404 (contract Z1).
        """
        resource = self.find(kind, name)
        if resource is None:
            raise ValidationFault(sentences.not_found(kind.row.words, self.arn(kind, name)))
        return resource

    def find(self, kind: Kind, name: str) -> Resource | None:
        """Look a resource up that need not be there."""
        return self._change.get(kind, name)

    def all(self, kind: Kind) -> list[Resource]:
        """All resources of a kind, by name."""
        return self._change.of_kind(kind)

    def put(self, resource: Resource) -> None:
        """Write a changed resource."""
        self._change.put(resource)

    def delete(self, kind: Kind, name: str) -> None:
        """Remove a resource.

        Raises:
            ValidationFault: there is none.
        """
        self.get(kind, name)
        self._change.remove(kind, name)
