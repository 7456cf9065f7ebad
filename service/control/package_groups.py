"""Groups of model packages: made, described, listed and deleted, each with the policy that it may have."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from service.control.listing import list_resources
from service.control.resources import ResourceReader, Resources
from service.domain import package_sentences
from service.domain.kinds import Kind
from service.domain.listing import ListQuery
from service.domain.resource import Resource
from service.errors import ServiceFault, ValidationFault

GROUP: Final = "ModelPackageGroupName"
COMPLETED: Final = "Completed"
"""The status of all of them: nothing has to be waited for."""

_POLICY: Final = "policy"
_CROSS_ACCOUNT: Final = "CrossAccount"


def create_group(resources: Resources, fields: Mapping[str, Any]) -> dict[str, Any]:
    """CreateModelPackageGroup. Raises ValidationFault: the name is taken."""
    name = fields[GROUP]
    arn = resources.arn(Kind.MODEL_PACKAGE_GROUP, name)
    if resources.find(Kind.MODEL_PACKAGE_GROUP, name) is not None:
        raise ValidationFault(package_sentences.group_exists(arn))
    created = resources.create(Kind.MODEL_PACKAGE_GROUP, fields)
    resources.put(replace(created, status=COMPLETED))
    return {"ModelPackageGroupArn": arn}


def describe_group(resources: ResourceReader, fields: Mapping[str, Any]) -> dict[str, Any]:
    """DescribeModelPackageGroup."""
    group = find_group(resources, fields[GROUP])
    told = resources.described(Kind.MODEL_PACKAGE_GROUP, group.name)
    return {**told, "ModelPackageGroupStatus": COMPLETED, "CreatedBy": {}}


def list_groups(resources: ResourceReader, fields: Mapping[str, Any]) -> dict[str, Any]:
    """ListModelPackageGroups; no other account shares any."""
    if fields.get("CrossAccountFilterOption") == _CROSS_ACCOUNT:
        return {"ModelPackageGroupSummaryList": []}
    return list_resources(resources, Kind.MODEL_PACKAGE_GROUP, fields, _more)


def delete_group(resources: Resources, fields: Mapping[str, Any]) -> None:
    """DeleteModelPackageGroup.

    Raises:
        ServiceFault: it has packages. Source: documented.
    """
    group = find_group(resources, fields[GROUP])
    if resources.page(Kind.MODEL_PACKAGE, ListQuery(limit=1, below=group.name), brief=True):
        arn = resources.arn(Kind.MODEL_PACKAGE_GROUP, group.name)
        raise ServiceFault("ConflictException", package_sentences.group_in_use(arn))
    resources.delete(Kind.MODEL_PACKAGE_GROUP, group.name)


def put_policy(resources: Resources, fields: Mapping[str, Any]) -> dict[str, Any]:
    """PutModelPackageGroupPolicy: kept; nobody is held to it."""
    group = _group_of_policy(resources, fields)
    resources.put(replace(group, state={**group.state, _POLICY: fields["ResourcePolicy"]}))
    return {"ModelPackageGroupArn": resources.arn(Kind.MODEL_PACKAGE_GROUP, group.name)}


def get_policy(resources: ResourceReader, fields: Mapping[str, Any]) -> dict[str, Any]:
    """GetModelPackageGroupPolicy."""
    return {"ResourcePolicy": _with_policy(resources, fields).state[_POLICY]}


def delete_policy(resources: Resources, fields: Mapping[str, Any]) -> None:
    """DeleteModelPackageGroupPolicy."""
    group = _with_policy(resources, fields)
    kept = {name: value for name, value in group.state.items() if name != _POLICY}
    resources.put(replace(group, state=kept))


def find_group(resources: ResourceReader, name_or_arn: str) -> Resource:
    """A group by its name or its ARN. Raises ValidationFault: there is none."""
    found, arn = look_up(resources, Kind.MODEL_PACKAGE_GROUP, name_or_arn)
    if found is None:
        raise ValidationFault(package_sentences.group_missing(arn))
    return found


def look_up(resources: ResourceReader, kind: Kind, name_or_arn: str) -> tuple[Resource | None, str]:
    """What has a name or an ARN, and its ARN: an ARN of elsewhere, or of another kind, is of nothing here."""
    begin = resources.arn(kind, "")
    if name_or_arn.startswith("arn:"):
        name, arn = name_or_arn.removeprefix(begin), name_or_arn
    else:
        name, arn = name_or_arn, f"{begin}{name_or_arn}"
    return (resources.find(kind, name) if arn == f"{begin}{name}" else None), arn


def _group_of_policy(resources: ResourceReader, fields: Mapping[str, Any]) -> Resource:
    group = resources.find(Kind.MODEL_PACKAGE_GROUP, fields[GROUP])
    if group is None:
        arn = resources.arn(Kind.MODEL_PACKAGE_GROUP, fields[GROUP])
        raise ValidationFault(package_sentences.group_of_policy_missing(arn))
    return group


def _with_policy(resources: ResourceReader, fields: Mapping[str, Any]) -> Resource:
    group = _group_of_policy(resources, fields)
    if _POLICY not in group.state:
        arn = resources.arn(Kind.MODEL_PACKAGE_GROUP, group.name)
        raise ValidationFault(package_sentences.policy_missing(arn))
    return group


def _more(group: Resource) -> dict[str, Any]:
    shown = ("ModelPackageGroupDescription", "ManagedConfiguration")
    return {member: group.document[member] for member in shown if member in group.document}
