"""Model packages: versions of a group, or packages by a name of their own.

A version is kept by the name of its group and its number, as in its ARN: `flowers/3`. How far it is approved
is the status of its record; there is no other, as nothing is validated and a package is complete at once.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from service.control.listing import list_resources
from service.control.package_groups import COMPLETED, GROUP, find_group, look_up
from service.control.resources import ResourceReader, Resources
from service.domain import package_sentences
from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.errors import ValidationFault

PACKAGE: Final = "ModelPackageName"
SPECIFICATION: Final = "InferenceSpecification"
ADDITIONAL: Final = "AdditionalInferenceSpecifications"

_ARN: Final = "ModelPackageArn"
_VERSION: Final = "ModelPackageVersion"
_APPROVAL: Final = "ModelApprovalStatus"
_METADATA: Final = "CustomerMetadataProperties"
_CARD: Final = "ModelCard"
_OF_CALLS: Final = "ClientToken"
_NOT_APPROVED: Final = "PendingManualApproval"
_VERSIONED, _UNVERSIONED = "Versioned", "Unversioned"
_LAST: Final = "last version"
_MOST_METADATA: Final = 50
_MOST_SPECIFICATIONS: Final = 15
_SUMMARY: Final = (
    GROUP,
    _VERSION,
    "ModelPackageDescription",
    "ModelLifeCycle",
    "ModelPackageRegistrationType",
)
_BATCH: Final = (*_SUMMARY, SPECIFICATION)


def create_package(resources: Resources, fields: Mapping[str, Any]) -> dict[str, Any]:
    """CreateModelPackage: the next version of a group, or a package of its own.

    Raises:
        ValidationFault: it has both names or none, its name is taken, or its group is not there.
    """
    if GROUP in fields and PACKAGE in fields:
        raise ValidationFault(package_sentences.two_names())
    if GROUP not in fields and PACKAGE not in fields:
        raise ValidationFault(package_sentences.no_name())
    named = _next_version(resources, fields[GROUP]) if GROUP in fields else {}
    document = {name: value for name, value in fields.items() if name not in (_OF_CALLS, _APPROVAL)} | named
    arn = resources.arn(Kind.MODEL_PACKAGE, document[PACKAGE])
    if resources.find(Kind.MODEL_PACKAGE, document[PACKAGE]) is not None:
        raise ValidationFault(package_sentences.package_exists(arn))
    created = resources.create(Kind.MODEL_PACKAGE, document)
    approval = fields.get(_APPROVAL, _NOT_APPROVED if GROUP in fields else "")
    resources.put(replace(created, status=approval))
    return {_ARN: arn}


def describe_package(resources: ResourceReader, fields: Mapping[str, Any]) -> dict[str, Any]:
    """DescribeModelPackage: without the text of its card where only what is about it is asked for."""
    package = find_package(resources, fields[PACKAGE])
    told = {
        "CertifyForMarketplace": False,
        **resources.described(Kind.MODEL_PACKAGE, package.name),
        **_approval(package),
        "ModelPackageStatus": COMPLETED,
        "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
        "CreatedBy": {},
    }
    if package.modified_at != package.created_at:
        told |= {"LastModifiedTime": package.modified_at, "LastModifiedBy": {}}
    if _CARD in told and fields.get("IncludedData") == "MetadataOnly":
        told[_CARD] = {name: value for name, value in told[_CARD].items() if name != "ModelCardContent"}
    return {**told, PACKAGE: told.get(GROUP, package.name)}  # the model has one for each of them


def update_package(resources: Resources, fields: Mapping[str, Any]) -> dict[str, Any]:
    """UpdateModelPackage: what is named replaces what was there, or is added to it."""
    package = find_package(resources, fields[_ARN])
    document = {**package.document, **_replaced(fields)}
    if _METADATA in fields or f"{_METADATA}ToRemove" in fields:
        document[_METADATA] = _metadata(package.document.get(_METADATA, {}), fields)
    if f"{ADDITIONAL}ToAdd" in fields:
        document[ADDITIONAL] = _specifications(package.document.get(ADDITIONAL, []), fields)
    approval, now = fields.get(_APPROVAL, package.status), resources.clock.now()
    resources.put(replace(package, document=document, status=approval, modified_at=now))
    return {_ARN: resources.arn(Kind.MODEL_PACKAGE, package.name)}


def delete_package(resources: Resources, fields: Mapping[str, Any]) -> None:
    """DeleteModelPackage: models that were made of it stay as they are."""
    resources.delete(Kind.MODEL_PACKAGE, find_package(resources, fields[PACKAGE]).name)


def list_packages(resources: ResourceReader, fields: Mapping[str, Any]) -> dict[str, Any]:
    """ListModelPackages: of one group, else those of no group unless others are asked for."""
    only: dict[str, Any] = {}
    if GROUP in fields:
        only["below"] = find_group(resources, fields[GROUP]).name
    wanted = fields.get("ModelPackageType", _VERSIONED if GROUP in fields else _UNVERSIONED)
    if wanted in (_VERSIONED, _UNVERSIONED):
        only["nested"] = wanted == _VERSIONED
    if _APPROVAL in fields:
        only["status"] = fields[_APPROVAL]
    answer = list_resources(resources, Kind.MODEL_PACKAGE, fields, _more, only)
    member = Kind.MODEL_PACKAGE.row.list
    return {**answer, member: [_without_made_up_name(summary) for summary in answer[member]]}


def batch_describe_packages(resources: ResourceReader, fields: Mapping[str, Any]) -> dict[str, Any]:
    """BatchDescribeModelPackage: those that are there, and what is wrong with the others."""
    summaries: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    for arn in fields["ModelPackageArnList"]:
        try:
            package = find_package(resources, arn)
        except ValidationFault as fault:
            errors[arn] = {"ErrorCode": "ValidationException", "ErrorResponse": fault.message}
            continue
        summaries[arn] = {
            **{member: package.document[member] for member in _BATCH if member in package.document},
            _ARN: arn,
            "CreationTime": package.created_at,
            "ModelPackageStatus": COMPLETED,
            **_approval(package),
        }
    return {"ModelPackageSummaries": summaries, "BatchDescribeModelPackageErrorMap": errors}


def find_package(resources: ResourceReader, name_or_arn: str) -> Resource:
    """A package by its ARN, or by its name and version as they stand there.

    Raises:
        ValidationFault: there is none.
    """
    found, arn = look_up(resources, Kind.MODEL_PACKAGE, name_or_arn)
    if found is None:
        raise ValidationFault(package_sentences.package_missing(arn))
    return found


def _next_version(resources: Resources, group_or_arn: str) -> dict[str, Any]:
    """The members that name a new version; the number of one that was deleted is given to no other."""
    group = find_group(resources, group_or_arn)
    version = group.state.get(_LAST, 0) + 1
    resources.put(replace(group, state={**group.state, _LAST: version}))
    return {GROUP: group.name, _VERSION: version, PACKAGE: f"{group.name}/{version}"}


def _without_made_up_name(told: Mapping[str, Any]) -> dict[str, Any]:
    """In lists a version is named by its group and its number alone. Source: observed."""
    return {name: value for name, value in told.items() if name != PACKAGE or GROUP not in told}


def _approval(package: Resource) -> dict[str, str]:
    return {_APPROVAL: package.status} if package.status else {}


def _more(package: Resource) -> dict[str, Any]:
    known = {member: package.document[member] for member in _SUMMARY if member in package.document}
    return {**known, "ModelPackageStatus": COMPLETED, **_approval(package)}


def _replaced(fields: Mapping[str, Any]) -> dict[str, Any]:
    special = (_ARN, _OF_CALLS, _APPROVAL, _METADATA, f"{_METADATA}ToRemove", f"{ADDITIONAL}ToAdd")
    return {name: value for name, value in fields.items() if name not in special}


def _metadata(known: Mapping[str, str], fields: Mapping[str, Any]) -> dict[str, str]:
    gone = set(fields.get(f"{_METADATA}ToRemove", ()))
    kept = {name: value for name, value in known.items() if name not in gone}
    changed = {**kept, **fields.get(_METADATA, {})}
    if len(changed) > _MOST_METADATA:
        raise ValidationFault(package_sentences.too_many(_METADATA, _MOST_METADATA))
    return changed


def _specifications(known: list[Any], fields: Mapping[str, Any]) -> list[Any]:
    changed = [*known, *fields[f"{ADDITIONAL}ToAdd"]]
    names = [each["Name"] for each in changed]
    for name in names:
        if names.count(name) > 1:
            raise ValidationFault(package_sentences.specification_twice(name))
    if len(changed) > _MOST_SPECIFICATIONS:
        raise ValidationFault(package_sentences.too_many(ADDITIONAL, _MOST_SPECIFICATIONS))
    return changed
