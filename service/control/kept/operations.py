"""Creates, describes, changes, lists and deletes what is kept and not run, for all families alike.

Source: names, members and errors are those of botocore's model; sentences are AWS's where they are known, for
SDKs look into them ("already exists" is how a pipeline's upsert finds out that there is one).
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from service.clock import Clock
from service.control.kept.families import Family, families
from service.control.kept.lists import list_kept
from service.control.kept.shown import KeptResource, arn_of, read_kept, shown
from service.control.resources import TAGS, to_tags
from service.control.search import select
from service.domain import sentences
from service.domain.caller import Caller
from service.errors import CallerError, ServiceFault, UnknownOperation, ValidationFault
from service.store.neighbours import KeptView, NeighbourStore
from service.wire.spec import Operation, Service

KeptFields = Mapping[str, Any]

NOT_RUN: Final = "sagebird:kept-not-run"
"""The tag that every one of them has."""

_SERVICE: Final = "sagemaker"
_MOST: Final = 10_000
_MOST_TAGS: Final = 50
_REMOVE: Final = "ToRemove"
_DROP: Final = "DeleteProperties"
_OF_CALLS: Final = frozenset((TAGS, "ClientRequestToken", "ClientToken"))
_ADDED: Final = MappingProxyType({"FeatureAdditions": "FeatureDefinitions"})
_TAKEN: Final = ("ResourceInUse", "ConflictException")
_MISSING: Final = "ResourceNotFound"


@dataclass(frozen=True, slots=True)
class KeptOperations:
    """The operations of all families; `service` is the model that tells of them."""

    service: Service
    store: NeighbourStore
    clock: Clock

    def answer(self, caller: Caller, operation: str, fields: KeptFields) -> Mapping[str, Any]:
        """Run one of them. Raises UnknownOperation: it is of no family; CallerError: its own refusals."""
        if operation in _OF_ALL:
            return _OF_ALL[operation](self, caller, fields)
        found = families(self.service).get(operation)
        if found is None:
            raise UnknownOperation(sentences.operation_not_served(operation))
        act, family = found
        return _ACTS[act](self, family, caller, fields)

    def create(self, family: Family, caller: Caller, fields: KeptFields) -> Mapping[str, Any]:
        """Keep a new one."""
        given = {name: value for name, value in fields.items() if name not in _OF_CALLS}
        now = self.clock.now()
        with self.store.change() as change:
            if family.made is not None:
                given[family.made] = _made_up(family, caller)
            name = _name(family, given)
            self._check_parents(change, family, caller, given)
            if change.find(_SERVICE, family.noun, name) is not None:
                raise _taken(family, arn_of(family, caller, name))
            if len(change.all(_SERVICE, family.noun)) >= _MOST:
                raise ServiceFault("ResourceLimitExceeded", f"No more than {_MOST:,} of a kind are kept.")
            if f"{family.noun}Id" in _shown_by(family.create):
                given.setdefault(f"{family.noun}Id", f"p-{secrets.token_hex(6)}")
            kept = KeptResource(name, given, now, now, 1, to_tags(fields.get(TAGS, [])))
            change.put(kept.document(_SERVICE, family.noun))
        return shown(family, caller, kept, family.create.output)

    def describe(self, family: Family, caller: Caller, fields: KeptFields) -> Mapping[str, Any]:
        """Tell of one."""
        with self.store.view() as view:
            return shown(family, caller, _get(view, family, caller, fields), family.describe.output)

    def update(self, family: Family, caller: Caller, fields: KeptFields) -> Mapping[str, Any]:
        """Change one."""
        with self.store.change() as change:
            kept = _get(change, family, caller, fields)
            given = _updated(family, kept.given, fields)
            kept = replace(kept, given=given, modified_at=self.clock.now(), versions=kept.versions + 1)
            change.put(kept.document(_SERVICE, family.noun))
        return shown(family, caller, kept, family.update.output if family.update else None)

    def delete(self, family: Family, caller: Caller, fields: KeptFields) -> Mapping[str, Any]:
        """Keep one no longer."""
        with self.store.change() as change:
            kept = _get(change, family, caller, fields)
            change.remove(_SERVICE, family.noun, kept.name)
        return shown(family, caller, kept, family.delete.output)

    def list(self, family: Family, caller: Caller, fields: KeptFields) -> Mapping[str, Any]:
        """A page of all of them."""
        with self.store.view() as view:
            found = [read_kept(each) for each in view.all(_SERVICE, family.noun)]
        return list_kept(family, caller, found, fields)

    def add_tags(self, caller: Caller, fields: KeptFields) -> Mapping[str, Any]:
        """AddTags."""
        with self.store.change() as change:
            family, kept = self._at(change, caller, fields["ResourceArn"])
            tags = {**kept.tags, **to_tags(fields[TAGS])}
            if len(tags) > _MOST_TAGS:
                raise ValidationFault(sentences.too_many_tags(_MOST_TAGS))
            change.put(replace(kept, tags=tags).document(_SERVICE, family.noun))
        return {TAGS: _pairs(tags)}

    def delete_tags(self, caller: Caller, fields: KeptFields) -> Mapping[str, Any]:
        """DeleteTags: keys that are not there are no error."""
        gone = set(fields["TagKeys"])
        with self.store.change() as change:
            family, kept = self._at(change, caller, fields["ResourceArn"])
            tags = {key: value for key, value in kept.tags.items() if key not in gone}
            change.put(replace(kept, tags=tags).document(_SERVICE, family.noun))
        return {}

    def list_tags(self, caller: Caller, fields: KeptFields) -> Mapping[str, Any]:
        """ListTags: its own, and the one that says that it is not run."""
        with self.store.view() as view:
            _, kept = self._at(view, caller, fields["ResourceArn"])
        return {TAGS: _pairs({**kept.tags, NOT_RUN: "true"})}

    def search(self, caller: Caller, fields: KeptFields) -> Mapping[str, Any]:
        """Search: a trial is searched as ExperimentTrial, and told as Trial."""
        noun = fields["Resource"].removeprefix("Experiment") or "Experiment"
        found = families(self.service).get(f"Create{noun}")
        output = self.service.operations["Search"].output
        member = output.members["Results"].shape.item.shape.members.get(noun) if output else None
        if found is None or member is None:
            raise UnknownOperation(sentences.operation_not_served(f"Search of {fields['Resource']}"))
        with self.store.view() as view:
            all_kept = [read_kept(each) for each in view.all(_SERVICE, found[1].noun)]
        documents = (
            {**shown(found[1], caller, kept, member.shape), TAGS: _pairs(kept.tags)} for kept in all_kept
        )
        return select(fields, noun, documents)

    def _at(self, view: KeptView, caller: Caller, arn: str) -> tuple[Family, KeptResource]:
        tail, _, name = arn.rpartition(":")[2].partition("/")
        for _, family in families(self.service).values():
            if family.tail == tail:
                found = view.find(_SERVICE, family.noun, name)
                if found is None:
                    raise _missing(family, arn_of(family, caller, name))
                return family, read_kept(found)
        raise ValidationFault(sentences.bad_arn(arn))

    def _check_parents(
        self, view: KeptView, family: Family, caller: Caller, given: Mapping[str, Any]
    ) -> None:
        """Raise where a resource is to lie in one that is not there, as a trial in its experiment."""
        required = family.create.input.required if family.create.input else ()
        for act, other in families(self.service).values():
            if act == "Create" and _holds(other, family) and other.key[0] in required:
                name = given[other.key[0]]
                if view.find(_SERVICE, other.noun, name) is None:
                    raise _missing(other, arn_of(other, caller, name), family.create)


_ACTS: Final[Mapping[str, Callable[[KeptOperations, Family, Caller, KeptFields], Mapping[str, Any]]]] = {
    "Create": KeptOperations.create,
    "Describe": KeptOperations.describe,
    "Update": KeptOperations.update,
    "Delete": KeptOperations.delete,
    "List": KeptOperations.list,
}
_OF_ALL: Final[Mapping[str, Callable[[KeptOperations, Caller, KeptFields], Mapping[str, Any]]]] = {
    "Search": KeptOperations.search,
    "AddTags": KeptOperations.add_tags,
    "DeleteTags": KeptOperations.delete_tags,
    "ListTags": KeptOperations.list_tags,
}


def _get(view: KeptView, family: Family, caller: Caller, fields: KeptFields) -> KeptResource:
    name = _name(family, fields)
    found = view.find(_SERVICE, family.noun, name)
    if found is None:
        raise _missing(family, arn_of(family, caller, name))
    return read_kept(found)


def _name(family: Family, fields: KeptFields) -> str:
    """What a resource is kept by. Some calls take its ARN for its name."""
    whole = fields[family.key[0]] if len(family.key) == 1 else ""
    if whole.startswith("arn:"):
        return str(whole.rpartition(":")[2].partition("/")[2])
    return "/".join(fields[member] for member in family.key)


def _holds(other: Family, family: Family) -> bool:
    """Whether resources of a family may lie in those of the other, which one member names."""
    return len(other.key) == 1 and other.key != family.key


def _made_up(family: Family, caller: Caller) -> str:
    """The member that names a resource which its maker gives no name."""
    if family.made == family.arn:
        return arn_of(family, caller, secrets.token_hex(16))
    return f"d-{secrets.token_hex(6)}"


def _updated(family: Family, given: Mapping[str, Any], fields: KeptFields) -> dict[str, Any]:
    """What a resource is after an update: structures keep what is not named, all else is replaced."""
    changed = dict(given)
    known = {**_shown_by(family.describe), **_taken_by(family.create)}
    for name, value in fields.items():
        if name in family.key or name in _OF_CALLS:
            continue
        if name.endswith(_REMOVE):
            kept = changed.get(name.removesuffix(_REMOVE), {})
            changed[name.removesuffix(_REMOVE)] = {key: kept[key] for key in kept if key not in value}
        elif name == _DROP:
            changed = {key: each for key, each in changed.items() if key not in value}
        elif name in _ADDED:
            changed[_ADDED[name]] = [*changed.get(_ADDED[name], []), *value]
        elif name not in known:
            raise ValidationFault(f"{name} cannot be changed: a {family.words} is kept here, and not run.")
        elif known[name].shape.kind == "structure":
            changed[name] = {**changed.get(name, {}), **value}
        else:
            changed[name] = value
    return changed


def _shown_by(operation: Operation) -> Mapping[str, Any]:
    return {} if operation.output is None else operation.output.members


def _taken_by(operation: Operation) -> Mapping[str, Any]:
    return {} if operation.input is None else operation.input.members


def _taken(family: Family, arn: str) -> CallerError:
    # Source: the SDK, which looks for "already exists" where it would rather change what is there.
    said = f"The {family.words} {arn} already exists."
    code = next((code for code in _TAKEN if code in family.create.errors), "")
    # A pipeline's model has ConflictException for other reasons. Source: the SDK's Pipeline.upsert.
    return ValidationFault(said) if family.noun == "Pipeline" or not code else ServiceFault(code, said)


def _missing(family: Family, arn: str, operation: Operation | None = None) -> CallerError:
    if _MISSING in (operation or family.describe).errors:
        return ServiceFault(_MISSING, f"The {family.words} {arn} does not exist.")
    return ValidationFault(sentences.not_found(family.words, arn))


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
