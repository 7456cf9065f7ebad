"""Families of operations whose resources are kept and not run, as botocore's model tells of them.

A family is what its operations say: the members that name a resource, the one that holds its ARN, where its
status is told and what lists of it are called. Jobs and servers are in none: one that is done, or in service,
without anything having run would be a lie.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from service.wire.spec import Member, Operation, Service, Shape

FAMILIES: Final = (
    *("Action", "Algorithm", "AppImageConfig", "Artifact", "CodeRepository", "Context"),
    *("DataQualityJobDefinition", "DeviceFleet", "Domain", "Experiment", "FeatureGroup", "FlowDefinition"),
    *("Hub", "HumanTaskUi", "Image", "ModelBiasJobDefinition", "ModelCard"),
    *("ModelExplainabilityJobDefinition", "ModelQualityJobDefinition"),
    *("NotebookInstanceLifecycleConfig", "Pipeline", "Project", "Space", "StudioLifecycleConfig", "Trial"),
    *("TrialComponent", "UserProfile"),
)
"""What each operation of a family has in its name, as CreateImage."""

_ACTS: Final = ("Create", "Describe", "Update", "Delete", "List")
_TAIL: Final = re.compile(r":([a-z-]+)/")
_WORDS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
# What is there at once is told to be so; the order is by how much each of them promises.
_DONE: Final = ("Created", "CREATED", "CreateCompleted", "Active", "InService", "Completed")


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """One of them. `update` is None for what cannot be changed.

    `key` are the members that name a resource, together. `made` is the one of them that the server makes up.
    `arn` is the member that holds its ARN, and `tail` the word before the name there.
    """

    noun: str
    create: Operation
    describe: Operation
    update: Operation | None
    delete: Operation
    listed: Operation
    key: tuple[str, ...]
    made: str | None
    arn: str
    tail: str

    @property
    def words(self) -> str:
        """What a sentence calls one."""
        return " ".join(_words(self.noun)).lower()

    @property
    def summaries(self) -> tuple[str, Shape]:
        """The member that a list is in, and what it is a list of."""
        member = next(each for each in _members(self.listed.output).values() if each.shape.kind == "list")
        return member.name, member.shape.item.shape

    @property
    def status(self) -> tuple[str, str] | None:
        """The member that tells how a resource is, and what that says of one that is there."""
        for name, member in _members(self.describe.output).items():
            if name.endswith("Status") and member.shape.enum and name not in _members(self.create.input):
                return next(((name, value) for value in _DONE if value in member.shape.enum), None)
        return None


@cache
def families(service: Service) -> Mapping[str, tuple[str, Family]]:
    """By the name of each operation: what it does, as `Create`, and the family that it belongs to."""
    return dict(_operations(service))


def _operations(service: Service) -> Iterator[tuple[str, tuple[str, Family]]]:
    for noun in FAMILIES:
        family = _read(service, noun)
        served = (family.create, family.describe, family.update, family.delete, family.listed)
        for act, operation in zip(_ACTS, served, strict=True):
            if operation is not None:
                yield operation.name, (act, family)


def _read(service: Service, noun: str) -> Family:
    known = service.operations
    create, describe = known[f"Create{noun}"], known[f"Describe{noun}"]
    plurals = (f"List{noun}s", f"List{noun[:-1]}ies")
    listed = next(known[name] for name in plurals if name in known)
    key = () if describe.input is None else describe.input.required
    made = next((member for member in key if member not in _members(create.input)), None)
    arn, tail = _arn(noun, create, describe)
    return Family(
        noun,
        create,
        describe,
        known.get(f"Update{noun}"),
        known[f"Delete{noun}"],
        listed,
        key,
        made,
        arn,
        tail,
    )


def _arn(noun: str, create: Operation, describe: Operation) -> tuple[str, str]:
    """The member that holds the ARN, and the word before the name in it: by its pattern, if that says it."""
    shown = _members(describe.output)
    names = [name for name in _members(create.output) if name.endswith("Arn")]
    arn = names[0] if names else f"{noun}Arn"
    found = _TAIL.search(shown[arn].shape.pattern or "")
    return arn, found[1] if found else "-".join(_words(noun)).lower()


def _words(noun: str) -> list[str]:
    return _WORDS.split(noun)


def _members(shape: Shape | None) -> Mapping[str, Member]:
    return {} if shape is None else shape.members
