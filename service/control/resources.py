"""Create, describe, list and delete for any row of domain.kinds, written once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

from service.clock import Clock
from service.domain import sentences
from service.domain.caller import Caller
from service.domain.kinds import Kind
from service.domain.listing import ListQuery
from service.domain.resource import Resource
from service.errors import ModelFault, ValidationFault
from service.store.store import Change, View
from service.store.tasks import JobTasks

TAGS = "Tags"
"""The member of create calls that is kept beside the document: describe calls do not repeat it."""

_OF_AWS = "aws:"


def follow_files(_location: str) -> str:
    """The version of every model whose files are followed as they change: none."""
    return ""


@dataclass(frozen=True, slots=True)
class OperationContext:
    """What operations need beside the store.

    `caller` is on whose behalf they run, the server's own where nobody called. `version_of` gives the
    fingerprint of the model files at a location and raises ModelFault where there are none. Blocking. Where
    it `reloads`, declared endpoints are updated when the files of their models change. `changed_s` is when
    the newest of those in a folder came about, in seconds since 1970.

    Where it `runs_images`, images of others are no obstacle; `image_now` is an image as it is there now.
    """

    caller: Caller
    clock: Clock
    version_of: Callable[[str], str] = follow_files
    reloads: bool = False
    changed_s: Callable[[Path], float] = lambda _path: inf
    runs_images: bool = False
    image_now: Callable[[str], str] = str

    def version_of_declared(self, location: str) -> str:
        """The fingerprint of a declared model's files; "" where it follows them, or they are not there."""
        try:
            return self.version_of(location) if self.reloads else ""
        except ModelFault:
            return ""

    def of(self, caller: Caller) -> "OperationContext":
        """The same on behalf of somebody else."""
        return replace(self, caller=caller)


class ResourceReader:
    """Resources within one transaction of the store that reads."""

    def __init__(self, view: View, context: OperationContext) -> None:
        self._view = view
        self.context = context
        self.clock = context.clock
        self._arns = context.caller.arns

    def arn(self, kind: Kind, name: str) -> str:
        """The ARN of a resource."""
        return self._arns.arn(kind.row.arn_part, name)

    def get(self, kind: Kind, name: str) -> Resource:
        """Look a resource up.

        Raises:
            ValidationFault: there is none; never 404 (contract Z.1).
        """
        resource = self.find(kind, name)
        if resource is None:
            raise ValidationFault(sentences.not_found(kind.row.words, self.arn(kind, name)))
        return resource

    def find(self, kind: Kind, name: str) -> Resource | None:
        """Look a resource up that need not be there."""
        return self._view.get(kind, name)

    def all(self, kind: Kind) -> list[Resource]:
        """All resources of a kind, by name."""
        return self._view.of_kind(kind)

    def page(self, kind: Kind, listing: ListQuery, *, brief: bool = False) -> list[Resource]:
        """One page of the resources of a kind; `brief` ones come without document, state and tags."""
        return self._view.page(kind, listing, brief=brief)

    def fact(self, name: str) -> Any:
        """The value of a fact, None if there is none."""
        return self._view.fact(name)

    def described(self, kind: Kind, name: str) -> dict[str, Any]:
        """What a describe call answers: the document of the create call, the ARN and the time.

        Raises:
            ValidationFault: there is none.
        """
        resource = self.get(kind, name)
        return {
            **resource.document,
            kind.row.arn: self.arn(kind, resource.name),
            "CreationTime": resource.created_at,
        }


class Resources(ResourceReader):
    """Resources within one transaction of the store that writes."""

    def __init__(self, change: Change, context: OperationContext) -> None:
        super().__init__(change, context)
        self._change = change

    @property
    def tasks(self) -> JobTasks:
        """The tasks of jobs."""
        return self._change.tasks

    def revision(self) -> int:
        """The store's revision that this transaction starts from."""
        return self._change.revision()

    def next_revision(self) -> int:
        """The revision that what this transaction writes is written in."""
        return self._change.next_revision()

    def create(self, kind: Kind, document: Mapping[str, Any], *, declared: bool = False) -> Resource:
        """Make a resource out of the document of its create call.

        Raises:
            ValidationFault: the name is taken, or a tag is given twice or begins with aws:.
        """
        name = document[kind.row.name]
        if self.find(kind, name) is not None:
            raise ValidationFault(sentences.already_exists(kind.row.words, self.arn(kind, name)))
        now = self.clock.now()
        resource = Resource(
            kind,
            name,
            {member: value for member, value in document.items() if member != TAGS},
            created_at=now,
            modified_at=now,
            declared=declared,
            tags=to_tags(document.get(TAGS, [])),
        )
        self._change.put(resource)
        return resource

    def put(self, resource: Resource) -> None:
        """Write a changed resource."""
        self._change.put(resource)

    def put_fact(self, name: str, value: Any) -> None:
        """Write a fact about the whole installation."""
        self._change.put_fact(name, value)

    def delete(self, kind: Kind, name: str) -> None:
        """Remove a resource.

        Raises:
            ValidationFault: there is none.
        """
        self.get(kind, name)
        self._change.remove(kind, name)


def to_tags(pairs: list[Mapping[str, str]]) -> dict[str, str]:
    """AWS's list of Key and Value as a mapping. Raises ValidationFault: a key is twice there, or AWS's."""
    tags: dict[str, str] = {}
    for pair in pairs:
        if pair["Key"].lower().startswith(_OF_AWS):
            raise ValidationFault(sentences.tag_of_aws(pair["Key"]))
        if pair["Key"] in tags:
            raise ValidationFault(sentences.tag_twice(pair["Key"]))
        tags[pair["Key"]] = pair["Value"]
    return tags
