"""Repositories of ECR: kept, so that programs that make or look for them go on. No images are kept in them.

There is no registry behind: models run images of the machine's own container engine.
"""

import base64
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from service.clock import Clock
from service.domain import unserved
from service.domain.caller import Caller
from service.errors import ServiceFault
from service.store.documents import KeptDocument
from service.store.neighbours import KeptView, NeighbourStore

EcrFields = Mapping[str, Any]

_SERVICE: Final = "ecr"
_REPOSITORY: Final = "repository"
_PAGE: Final = 100
_MOST: Final = 10_000
_MOST_TAGS: Final = 50
_TOKEN_S: Final = 12 * 3600
_KEPT: Final = (
    "imageTagMutability",
    "imageTagMutabilityExclusionFilters",
    "imageScanningConfiguration",
    "encryptionConfiguration",
)


@dataclass(frozen=True, slots=True)
class EcrContext:
    """What an operation needs beside its members."""

    kept: NeighbourStore
    clock: Clock
    caller: Caller


def create_repository(context: EcrContext, fields: EcrFields) -> Mapping[str, Any]:
    """CreateRepository."""
    name = fields["repositoryName"]
    with context.kept.change() as change:
        if change.find(_SERVICE, _REPOSITORY, name) is not None:
            raise ServiceFault(
                "RepositoryAlreadyExistsException",
                f"The repository with name '{name}' already exists in the registry with id "
                f"'{context.caller.account}'",
            )
        if len(change.all(_SERVICE, _REPOSITORY)) >= _MOST:
            raise ServiceFault("LimitExceededException", f"No more than {_MOST} repositories are kept.")
        given = {member: fields[member] for member in _KEPT if member in fields}
        kept = KeptDocument(
            _SERVICE, _REPOSITORY, name, given, context.clock.now().timestamp(), _tags(fields.get("tags", []))
        )
        change.put(kept)
    return {"repository": _described(context, kept)}


def describe_repositories(context: EcrContext, fields: EcrFields) -> Mapping[str, Any]:
    """DescribeRepositories: those that are named, or all, in pages."""
    _check_registry(context, fields)
    with context.kept.view() as view:
        if "repositoryNames" in fields:
            named = [_get(context, view, name) for name in fields["repositoryNames"]]
            return {"repositories": [_described(context, kept) for kept in named]}
        kept_all = view.all(_SERVICE, _REPOSITORY)
    after, most = fields.get("nextToken", ""), fields.get("maxResults", _PAGE)
    found = [kept for kept in kept_all if kept.name > after]
    more = {"nextToken": found[most - 1].name} if len(found) > most else {}
    return {"repositories": [_described(context, kept) for kept in found[:most]], **more}


def delete_repository(context: EcrContext, fields: EcrFields) -> Mapping[str, Any]:
    """DeleteRepository."""
    _check_registry(context, fields)
    with context.kept.change() as change:
        kept = _get(context, change, fields["repositoryName"])
        change.remove(_SERVICE, _REPOSITORY, kept.name)
    return {"repository": _described(context, kept)}


def describe_images(context: EcrContext, fields: EcrFields) -> Mapping[str, Any]:
    """DescribeImages: a repository has none here."""
    _check_registry(context, fields)
    _look(context, fields)
    if fields.get("imageIds"):
        told = {f"{member}:'{value}'" for member, value in fields["imageIds"][0].items()}
        raise ServiceFault(
            "ImageNotFoundException",
            f"The image with imageId {{{', '.join(sorted(told))}}} does not exist within the repository with "
            f"name '{fields['repositoryName']}' in the registry with id '{context.caller.account}'",
        )
    return {"imageDetails": []}


def list_images(context: EcrContext, fields: EcrFields) -> Mapping[str, Any]:
    """ListImages: a repository has none here."""
    _check_registry(context, fields)
    _look(context, fields)
    return {"imageIds": []}


def put_image_tag_mutability(context: EcrContext, fields: EcrFields) -> Mapping[str, Any]:
    """PutImageTagMutability: kept."""
    return _change(context, fields, ("imageTagMutability", "imageTagMutabilityExclusionFilters"))


def put_image_scanning_configuration(context: EcrContext, fields: EcrFields) -> Mapping[str, Any]:
    """PutImageScanningConfiguration: kept."""
    return _change(context, fields, ("imageScanningConfiguration",))


def get_authorization_token(context: EcrContext, fields: EcrFields) -> Mapping[str, Any]:
    """GetAuthorizationToken: of the form that AWS's have; it opens nothing, for there is no registry here."""
    del fields
    password = secrets.token_urlsafe(48)
    token = base64.b64encode(f"AWS:{password}".encode()).decode()
    expires_s = context.clock.now().timestamp() + _TOKEN_S
    data = {"authorizationToken": token, "expiresAt": expires_s, "proxyEndpoint": f"https://{_host(context)}"}
    return {"authorizationData": [data]}


# Tags


def list_tags_for_resource(context: EcrContext, fields: EcrFields) -> Mapping[str, Any]:
    """ListTagsForResource."""
    with context.kept.view() as view:
        tags = _of_arn(context, view, fields["resourceArn"]).tags
    return {"tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def tag_resource(context: EcrContext, fields: EcrFields) -> Mapping[str, Any]:
    """TagResource."""
    with context.kept.change() as change:
        kept = _of_arn(context, change, fields["resourceArn"])
        tags = {**kept.tags, **_tags(fields["tags"])}
        if len(tags) > _MOST_TAGS:
            raise ServiceFault("TooManyTagsException", f"A repository has at most {_MOST_TAGS} tags.")
        change.put(replace(kept, tags=tags))
    return {}


def untag_resource(context: EcrContext, fields: EcrFields) -> Mapping[str, Any]:
    """UntagResource."""
    with context.kept.change() as change:
        kept = _of_arn(context, change, fields["resourceArn"])
        left = {key: value for key, value in kept.tags.items() if key not in fields["tagKeys"]}
        change.put(replace(kept, tags=left))
    return {}


def _change(context: EcrContext, fields: EcrFields, members: Sequence[str]) -> Mapping[str, Any]:
    _check_registry(context, fields)
    with context.kept.change() as change:
        kept = _get(context, change, fields["repositoryName"])
        rest = {member: value for member, value in kept.document.items() if member not in members}
        given = {member: fields[member] for member in members if member in fields}
        change.put(replace(kept, document={**rest, **given}))
    told = {"repositoryName": kept.name, "registryId": context.caller.account}
    return {**told, **given}


def _described(context: EcrContext, kept: KeptDocument) -> dict[str, Any]:
    return {
        "repositoryArn": context.caller.arns.of("ecr", f"repository/{kept.name}"),
        "registryId": context.caller.account,
        "repositoryName": kept.name,
        "repositoryUri": f"{_host(context)}/{kept.name}",
        "createdAt": kept.created_s,
        "imageTagMutability": "MUTABLE",
        "imageScanningConfiguration": {"scanOnPush": False},
        "encryptionConfiguration": {"encryptionType": "AES256"},
        **kept.document,
    }


def _host(context: EcrContext) -> str:
    caller = context.caller
    ending = ".cn" if caller.arns.partition == "aws-cn" else ""
    return f"{caller.account}.dkr.ecr.{caller.region}.amazonaws.com{ending}"


def _check_registry(context: EcrContext, fields: EcrFields) -> None:
    """There is one registry: the caller's own."""
    asked = fields.get("registryId", context.caller.account)
    if asked != context.caller.account:
        name = fields.get("repositoryName") or ", ".join(fields.get("repositoryNames", ["*"]))
        raise _not_found(name, asked)


def _look(context: EcrContext, fields: EcrFields) -> None:
    with context.kept.view() as view:
        _get(context, view, fields["repositoryName"])


def _get(context: EcrContext, view: KeptView, name: str) -> KeptDocument:
    kept = view.find(_SERVICE, _REPOSITORY, name)
    if kept is None:
        raise _not_found(name, context.caller.account)
    return kept


def _of_arn(context: EcrContext, view: KeptView, arn: str) -> KeptDocument:
    found = re.fullmatch(r"arn:[a-z-]+:ecr:[a-z0-9-]+:[0-9]{12}:repository/(.+)", arn)
    if found is None:
        raise ServiceFault("InvalidParameterException", f"Invalid parameter at 'resourceArn': {arn}")
    return _get(context, view, found[1])


def _not_found(name: str, registry: str) -> ServiceFault:
    return ServiceFault(
        "RepositoryNotFoundException",
        f"The repository with name '{name}' does not exist in the registry with id '{registry}'",
    )


def _tags(pairs: Sequence[Mapping[str, str]]) -> dict[str, str]:
    tags = {pair["Key"]: pair["Value"] for pair in pairs}
    if len(tags) > _MOST_TAGS:
        raise ServiceFault("TooManyTagsException", f"A repository has at most {_MOST_TAGS} tags.")
    return tags


_ANSWERED: Final = MappingProxyType[str, Callable[[EcrContext, EcrFields], Mapping[str, Any]]](
    {
        "CreateRepository": create_repository,
        "DescribeRepositories": describe_repositories,
        "DeleteRepository": delete_repository,
        "DescribeImages": describe_images,
        "ListImages": list_images,
        "PutImageTagMutability": put_image_tag_mutability,
        "PutImageScanningConfiguration": put_image_scanning_configuration,
        "GetAuthorizationToken": get_authorization_token,
        "ListTagsForResource": list_tags_for_resource,
        "TagResource": tag_resource,
        "UntagResource": untag_resource,
    }
)

SERVED: Final = frozenset(_ANSWERED)
"""The operations of ecr that are served."""


class EcrOperations:
    """Runs operations of ECR. All of them may wait for the disk."""

    def __init__(self, context: EcrContext) -> None:
        self._context = context

    def answer(self, caller: Caller, operation: str, fields: EcrFields) -> Mapping[str, Any]:
        """Run one, on behalf of its caller. Raises ServiceFault, Unavailable, UnknownOperation."""
        found = _ANSWERED.get(operation)
        if found is None:
            raise unserved.refusal(_SERVICE, _SERVICE, operation)
        return found(replace(self._context, caller=caller), fields)
