"""List calls for any row of domain.kinds: filters, orders and pages, written once."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from math import isfinite
from types import MappingProxyType
from typing import Any

from service.control.resources import ResourceReader
from service.domain import sentences
from service.domain.kinds import Kind
from service.domain.listing import ListQuery, PagePosition, SortKey
from service.domain.resource import Resource
from service.errors import ValidationFault

DEFAULT_RESULTS = 10
"""Source: contract C.2."""

_ORDERS: Mapping[str, SortKey] = {"Name": "name", "CreationTime": "created_at", "Status": "status"}
_FILTERS = (
    "NameContains",
    "StatusEquals",
    "CreationTimeAfter",
    "CreationTimeBefore",
    "LastModifiedTimeAfter",
    "LastModifiedTimeBefore",
)


def list_resources(
    resources: ResourceReader,
    kind: Kind,
    fields: Mapping[str, Any],
    more: Callable[[Resource], Mapping[str, Any]] | None = None,
    only: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """One page of summaries, newest first unless asked otherwise; `more` adds members to each summary.

    `only` are conditions of a ListQuery beside those that all kinds have.

    Raises:
        ValidationFault: the token is not one that the same question got.
    """
    order = _ORDERS[fields.get("SortBy", "CreationTime")]
    descending = fields.get("SortOrder", "Descending") == "Descending"
    question = [
        kind.value,
        order,
        descending,
        *(_plain(fields.get(name)) for name in _FILTERS),
        *map(list, only.items()),
    ]
    most = fields.get("MaxResults", DEFAULT_RESULTS)
    listing = replace(
        ListQuery(
            order=order,
            descending=descending,
            limit=most + 1,
            after=_read_token(fields.get("NextToken"), question),
            name_contains=fields.get("NameContains"),
            status=fields.get("StatusEquals"),
            created_after=fields.get("CreationTimeAfter"),
            created_before=fields.get("CreationTimeBefore"),
            modified_after=fields.get("LastModifiedTimeAfter"),
            modified_before=fields.get("LastModifiedTimeBefore"),
        ),
        **only,
    )
    found = resources.page(kind, listing, brief=more is None)
    summaries = [_summary(resources, kind, resource) for resource in found[:most]]
    if more is not None:
        summaries = [
            {**summary, **more(resource)} for summary, resource in zip(summaries, found, strict=False)
        ]
    answer: dict[str, Any] = {kind.row.list: summaries}
    if len(found) > most:
        answer["NextToken"] = _write_token(listing.place_of(found[most - 1]), question)
    return answer


def _summary(resources: ResourceReader, kind: Kind, resource: Resource) -> dict[str, Any]:
    row = kind.row
    summary: dict[str, Any] = {
        row.name: resource.name,
        row.arn: resources.arn(kind, resource.name),
        "CreationTime": resource.created_at,
    }
    if row.modified:
        summary["LastModifiedTime"] = resource.modified_at
    if row.status is not None:
        summary[row.status] = resource.status
    return summary


def _plain(value: Any) -> Any:
    return value.timestamp() if isinstance(value, datetime) else value


def _write_token(place: PagePosition, question: list[Any]) -> str:
    """The place of the last row of a page. It holds its question, so that it answers no other."""
    text = json.dumps([*place, question], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode("ascii")


def _read_token(token: str | None, question: list[Any]) -> PagePosition | None:
    if token is None:
        return None
    try:
        value, name, asked = json.loads(base64.urlsafe_b64decode(token.encode("ascii")))
    except (ValueError, TypeError, RecursionError):
        raise ValidationFault(sentences.bad_token("it is none that a list call gave")) from None
    if asked != question:
        raise ValidationFault(sentences.bad_token("it belongs to a call with other filters or another order"))
    if not _is_place(value, name, question):
        raise ValidationFault(sentences.bad_token("it is none that a list call gave"))
    return value, name


def _is_place(value: Any, name: Any, question: list[Any]) -> bool:
    """Whether a token that anybody may have made up names what a database can compare."""
    if not (isinstance(name, str) and name.isascii() and name.isprintable()):
        return False
    if question[1] == "created_at":
        return isinstance(value, float) and isfinite(value)
    return isinstance(value, str) and value.isascii() and value.isprintable()
