"""Search: resources by what they are described with, as expressions of filters say."""

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from operator import ge, gt, le, lt
from typing import Any, Final

from service.control.describe_endpoint import describe_endpoint
from service.control.model_packages import describe_package
from service.control.models import describe_model
from service.control.package_groups import describe_group
from service.control.resources import TAGS, ResourceReader
from service.domain import sentences
from service.domain.kinds import Kind
from service.errors import ValidationFault

_PAGE: Final = 10
_NEXT: Final = "NextToken"
_CHANGED, _MADE = "LastModifiedTime", "CreationTime"
_Describe = Callable[[ResourceReader, Mapping[str, Any]], dict[str, Any]]
_SEARCHED: Final[Mapping[str, tuple[Kind, _Describe]]] = {
    "Endpoint": (Kind.ENDPOINT, describe_endpoint),
    "Model": (Kind.MODEL, describe_model),
    "ModelPackage": (Kind.MODEL_PACKAGE, describe_package),
    "ModelPackageGroup": (Kind.MODEL_PACKAGE_GROUP, describe_group),
}
_ORDERED: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "GreaterThan": gt,
    "GreaterThanOrEqualTo": ge,
    "LessThan": lt,
    "LessThanOrEqualTo": le,
}


def search(resources: ResourceReader, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Search of resources that are run here. Raises ValidationFault, as `select`."""
    answer = select(fields, fields["Resource"], _described(resources, fields["Resource"]))
    if fields["Resource"] == "Model":
        answer["Results"] = [{"Model": result} for result in answer["Results"]]  # as of a dashboard
    return answer


def is_searched(fields: Mapping[str, Any]) -> bool:
    """Whether a call asks for resources of this file; others may be known elsewhere."""
    return fields["Resource"] in _SEARCHED


def select(fields: Mapping[str, Any], member: str, documents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One page of the documents that fit; those changed last come first unless it is asked otherwise.

    Raises:
        ValidationFault: the token is none that the same question got, or a value does not fit its property.
    """
    found = [each for each in documents if _fits_all(each, fields)]
    order = fields.get("SortBy", _CHANGED)
    found.sort(key=lambda each: _rank(each, order), reverse=fields.get("SortOrder") != "Ascending")
    question = json.dumps({name: str(value) for name, value in sorted(fields.items()) if name != _NEXT})
    begin = _read_token(fields.get(_NEXT), question)
    end = begin + fields.get("MaxResults", _PAGE)
    answer: dict[str, Any] = {
        "Results": [{member: each} for each in found[begin:end]],
        "TotalHits": {"Value": len(found), "Relation": "EqualTo"},
    }
    if end < len(found):
        answer[_NEXT] = base64.urlsafe_b64encode(json.dumps([end, question]).encode()).decode("ascii")
    return answer


def _described(resources: ResourceReader, wanted: str) -> Iterator[dict[str, Any]]:
    kind, describe = _SEARCHED[wanted]
    for resource in resources.all(kind):
        tags = [{"Key": key, "Value": value} for key, value in resource.tags.items()]
        yield {**describe(resources, {kind.row.name: resource.name}), TAGS: tags}


def _fits_all(document: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    conditions = [
        {"Name": each["Key"], "Value": each["Value"]} for each in fields.get("VisibilityConditions", ())
    ]
    seen = all(_fits(document, condition) for condition in conditions)
    return seen and ("SearchExpression" not in fields or _holds(document, fields["SearchExpression"]))


def _holds(document: Mapping[str, Any], expression: Mapping[str, Any]) -> bool:
    """Whether an expression holds for a document; one without conditions does for all."""
    found = [_fits(document, each) for each in expression.get("Filters", ())]
    found += [_fits_nested(document, each) for each in expression.get("NestedFilters", ())]
    found += [_holds(document, each) for each in expression.get("SubExpressions", ())]
    if not found:
        return True
    return any(found) if expression.get("Operator") == "Or" else all(found)


def _fits_nested(document: Mapping[str, Any], nested: Mapping[str, Any]) -> bool:
    """Whether one of the items of a list fits all filters, whose names begin with the list's."""
    prefix = f"{nested['NestedPropertyName']}."
    inner = [{**each, "Name": each["Name"].removeprefix(prefix)} for each in nested["Filters"]]
    items = _values(document, nested["NestedPropertyName"].split("."))
    return any(isinstance(item, Mapping) and all(_fits(item, each) for each in inner) for item in items)


def _fits(document: Mapping[str, Any], condition: Mapping[str, Any]) -> bool:
    """Whether a property is as a filter says; `Tags.team` is the value of a tag.

    Source: botocore, Filter: without an operator it is Equals, and `In` takes values between commas.
    """
    found = list(_values(document, condition["Name"].split(".")))
    operator, wanted = condition.get("Operator", "Equals"), condition.get("Value", "")
    match operator:
        case "Exists":
            return bool(found)
        case "NotExists":
            return not found
        case "NotEquals":
            return not any(_compared(value, wanted)[0] == _compared(value, wanted)[1] for value in found)
        case "Contains":
            return any(wanted in str(value) for value in found)
        case "In":
            return any(str(value) in wanted.split(",") for value in found)
    if operator in _ORDERED:
        return any(_ORDERED[operator](*_compared(value, wanted)) for value in found)
    return any(_compared(value, wanted)[0] == _compared(value, wanted)[1] for value in found)


def _values(value: Any, path: Sequence[str]) -> Iterator[Any]:
    """What lies at a path; of lists, in each of their items."""
    if isinstance(value, list) and path and all(isinstance(item, Mapping) for item in value):
        tags = {item["Key"]: item.get("Value", "") for item in value if "Key" in item}
        for item in (tags,) if tags else value:
            yield from _values(item, path)
    elif isinstance(value, list):
        yield from value
    elif not path:
        yield value
    elif isinstance(value, Mapping) and path[0] in value:
        yield from _values(value[path[0]], path[1:])


def _compared(value: Any, wanted: str) -> tuple[Any, Any]:
    """A property and what it is held against as values of one kind: times, numbers, else texts."""
    try:
        if isinstance(value, datetime):
            told = datetime.fromisoformat(wanted)
            return value, told if told.tzinfo else told.replace(tzinfo=UTC)
        if isinstance(value, bool):
            return str(value).lower(), wanted.lower()
        return (value, float(wanted)) if isinstance(value, int | float) else (str(value), wanted)
    except ValueError:
        raise ValidationFault(f"{wanted!r} is no value that a property of that kind has.") from None


def _rank(document: Mapping[str, Any], order: str) -> tuple[Any, ...]:
    """Numbers and times among themselves, texts behind them, what lacks the property last."""
    value = next(_values(document, order.split(".")), None)
    if value is None and order == _CHANGED:
        value = document.get(_MADE)
    if isinstance(value, datetime):
        value = value.timestamp()
    if isinstance(value, int | float):
        return 2, value, ""
    return (0, 0, "") if value is None else (1, 0, str(value))


def _read_token(token: str | None, question: str) -> int:
    if token is None:
        return 0
    try:
        begin, asked = json.loads(base64.urlsafe_b64decode(token.encode("ascii")))
    except (ValueError, TypeError, RecursionError):
        raise ValidationFault(sentences.bad_token("it is none that Search gave")) from None
    if asked != question or not isinstance(begin, int) or begin < 0:
        raise ValidationFault(sentences.bad_token("it belongs to a call with other filters or another order"))
    return begin
