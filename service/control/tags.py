"""AddTags, ListTags and DeleteTags for everything that has an ARN."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from service.control.resources import TAGS, ResourceReader, Resources, to_tags
from service.domain import sentences
from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.errors import ValidationFault

MOST_TAGS = 50
"""Source: botocore, shape TagList."""

# Any account and region: requests of all of them are served by the one installation.
_ARN = re.compile(r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:[0-9]{12}:([a-z-]+)/(.+)", re.DOTALL)
_KINDS = {kind.row.arn_part: kind for kind in Kind}


def add_tags(resources: Resources, fields: Mapping[str, Any]) -> dict[str, Any]:
    """AddTags: new keys are added, known ones get the new value; answers all tags of the resource."""
    resource = _resource(resources, fields["ResourceArn"])
    tags = {**resource.tags, **to_tags(fields[TAGS])}
    if len(tags) > MOST_TAGS:
        raise ValidationFault(sentences.too_many_tags(MOST_TAGS))
    resources.put(replace(resource, tags=tags))
    return {TAGS: _pairs(tags)}


def list_tags(resources: ResourceReader, fields: Mapping[str, Any]) -> dict[str, Any]:
    """ListTags: all of them at once, since a resource has no more than the least page holds."""
    if "NextToken" in fields:
        raise ValidationFault(sentences.bad_token("it is none that ListTags gave"))
    return {TAGS: _pairs(_resource(resources, fields["ResourceArn"]).tags)}


def delete_tags(resources: Resources, fields: Mapping[str, Any]) -> dict[str, Any]:
    """DeleteTags: keys that are not there are no error."""
    resource = _resource(resources, fields["ResourceArn"])
    gone = set(fields["TagKeys"])
    resources.put(
        replace(resource, tags={key: value for key, value in resource.tags.items() if key not in gone})
    )
    return {}


def is_ours(arn: str) -> bool:
    """Whether an ARN is one of a kind that the table of kinds has; others may be known elsewhere."""
    found = _ARN.fullmatch(arn)
    return found is not None and found[1] in _KINDS


def _resource(resources: ResourceReader, arn: str) -> Resource:
    found = _ARN.fullmatch(arn)
    kind = _KINDS.get(found[1]) if found else None
    if found is None or kind is None:
        raise ValidationFault(sentences.bad_arn(arn))
    return resources.get(kind, found[2])


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
