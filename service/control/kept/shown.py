"""What is told of a kept resource: the members of an answer, from its document, its name or its times."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from service.control.kept.families import Family
from service.domain.caller import Caller
from service.store.documents import KeptDocument
from service.wire.spec import Member, Shape

_AT: Final = "timestamp of sagebird"
_DEEP: Final = ("string", "integer", "boolean")


@dataclass(frozen=True, slots=True)
class KeptResource:
    """One as it is kept: `given` is what its create and update calls said, `versions` how many those were."""

    name: str
    given: Mapping[str, Any]
    created_at: datetime
    modified_at: datetime
    versions: int
    tags: Mapping[str, str]

    def document(self, service: str, noun: str) -> KeptDocument:
        """As the store has it."""
        kept = {
            "given": to_plain(self.given),
            "modified_s": self.modified_at.timestamp(),
            "versions": self.versions,
        }
        return KeptDocument(service, noun, self.name, kept, self.created_at.timestamp(), dict(self.tags))


def read_kept(kept: KeptDocument) -> KeptResource:
    """From what the store has."""
    document = kept.document
    created, modified = kept.created_s, document["modified_s"]
    return KeptResource(
        kept.name,
        from_plain(document["given"]),
        datetime.fromtimestamp(created, UTC),
        datetime.fromtimestamp(modified, UTC),
        document["versions"],
        kept.tags,
    )


def arn_of(family: Family, caller: Caller, name: str) -> str:
    """The ARN of a resource; the names in one that lies in others are parts of its tail."""
    return caller.arns.arn(family.tail, name)


def shown(family: Family, caller: Caller, kept: KeptResource, shape: Shape | None) -> dict[str, Any]:
    """The members of a shape that are known of a resource."""
    if shape is None:
        return {}
    found = {name: _value(family, caller, kept, member) for name, member in shape.members.items()}
    empty = (name for name in shape.required if shape.members[name].shape.kind == "structure")
    needed: dict[str, Any] = {name: {} for name in empty}
    return needed | {name: value for name, value in found.items() if value is not None}


def _value(family: Family, caller: Caller, kept: KeptResource, member: Member) -> Any:
    name, kind = member.name, member.shape.kind
    if name in kept.given:
        return kept.given[name]
    if name == family.arn or (kind == "string" and name.endswith(family.arn)):
        return arn_of(family, caller, kept.name)
    if kind == "timestamp":
        return _time(name, kept)
    if family.status is not None and name == family.status[0]:
        return family.status[1]
    if kind == "integer" and name == f"{family.noun}Version":
        return kept.versions
    if kind == "string" and name.endswith(family.key[-1]):  # as MonitoringJobDefinitionName
        return kept.name.rpartition("/")[2]
    return deep(kept.given, name) if kind in _DEEP else None


def _time(name: str, kept: KeptResource) -> datetime | None:
    if name.startswith(("Creation", "Created")):
        return kept.created_at
    return kept.modified_at if name.startswith(("LastModified", "LastUpdated")) else None


def deep(value: Any, name: str) -> Any:
    """What a member of that name holds that lies somewhere in a document, the outermost first; or None."""
    level = [value]
    while level:
        for each in level:
            if isinstance(each, Mapping) and name in each:
                return each[name]
        level = [inner for each in level for inner in _inside(each)]
    return None


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value.values()


def to_plain(value: Any) -> Any:
    """The same, fit for JSON."""
    if isinstance(value, Mapping):
        return {key: to_plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [to_plain(each) for each in value]
    if isinstance(value, datetime):
        return {_AT: value.timestamp()}
    return value


def from_plain(value: Any) -> Any:
    """Undo `to_plain`."""
    if isinstance(value, dict):
        if value.keys() == {_AT}:
            return datetime.fromtimestamp(value[_AT], UTC)
        return {key: from_plain(each) for key, each in value.items()}
    return [from_plain(each) for each in value] if isinstance(value, list) else value
