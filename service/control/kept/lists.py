"""List calls of kept families: their filters, by what their names say, orders and pages."""

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from service.control.kept.families import Family
from service.control.kept.shown import KeptResource, deep, shown
from service.domain import sentences
from service.domain.caller import Caller
from service.errors import ValidationFault

_PAGE: Final = 10
_NEXT: Final = "NextToken"
_PAGING: Final = frozenset((_NEXT, "MaxResults", "SortBy", "SortOrder"))
_PASSED: Final = frozenset(("CrossAccountFilterOption",))  # there is one account
_ENDINGS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "Prefix": str.startswith,
    "Contains": lambda text, part: part.lower() in text.lower(),
    "Equals": lambda text, part: text == part,
}


def list_kept(
    family: Family, caller: Caller, resources: Iterable[KeptResource], fields: Mapping[str, Any]
) -> dict[str, Any]:
    """One page of summaries, newest first unless asked otherwise.

    Raises ValidationFault: the token is not one that the same question got.
    """
    question = [family.noun, *sorted((name, str(value)) for name, value in fields.items() if name != _NEXT)]
    order, descending = fields.get("SortBy", ""), fields.get("SortOrder", "Descending") == "Descending"
    wanted = [kept for kept in resources if _matches(family, caller, kept, fields)]
    wanted.sort(key=lambda kept: (_rank(family, caller, kept, order), kept.name), reverse=descending)
    begin = _read_token(fields.get(_NEXT), question, wanted)
    most = fields.get("MaxResults", _PAGE)
    member, summary = family.summaries
    page = wanted[begin : begin + most]
    answer: dict[str, Any] = {member: [shown(family, caller, kept, summary) for kept in page]}
    if begin + most < len(wanted):
        answer[_NEXT] = _write_token(page[-1].name, question)
    return answer


def _matches(family: Family, caller: Caller, kept: KeptResource, fields: Mapping[str, Any]) -> bool:
    given = {name: value for name, value in fields.items() if name not in _PAGING | _PASSED}
    if not given:
        return True
    known = shown(family, caller, kept, family.describe.output)
    return all(_fits(family, kept, known, name, value) for name, value in given.items())


def _fits(family: Family, kept: KeptResource, known: Mapping[str, Any], name: str, wanted: Any) -> bool:
    if isinstance(wanted, datetime):
        at = kept.created_at if name.startswith("Creat") else kept.modified_at
        return at >= wanted if name.endswith("After") else at <= wanted
    for ending, test in _ENDINGS.items():
        asked = name.removesuffix(ending)
        if asked != name:
            found = _named(family, known, asked)
            return isinstance(found, str) and test(found, wanted)
    found = known[name] if name in known else deep(kept.given, name)
    return bool(found == wanted)


def _named(family: Family, known: Mapping[str, Any], asked: str) -> Any:
    """The member that a filter is about: `Name` and `Status` are short for a family's own."""
    if asked == "Name":
        return known.get(family.key[-1])
    if asked == "Status" and family.status is not None:
        return known.get(family.status[0])
    return known[asked] if asked in known else deep(known, asked)


def _rank(family: Family, caller: Caller, kept: KeptResource, order: str) -> Any:
    if order == "Name":
        return ""  # names decide between equals
    if "Modified" in order:
        return kept.modified_at
    if "Status" in order:
        return str(_named(family, shown(family, caller, kept, family.describe.output), order) or "")
    return kept.created_at


def _write_token(name: str, question: Sequence[Any]) -> str:
    text = json.dumps([name, question], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode("ascii")


def _read_token(token: str | None, question: Sequence[Any], wanted: Sequence[KeptResource]) -> int:
    """Where the next page begins: behind the one that the last page ended with."""
    if token is None:
        return 0
    try:
        name, asked = json.loads(base64.urlsafe_b64decode(token.encode("ascii")))
    except (ValueError, TypeError, RecursionError):
        raise ValidationFault(sentences.bad_token("it is none that a list call gave")) from None
    if asked != json.loads(json.dumps(question)):
        raise ValidationFault(sentences.bad_token("it belongs to a call with other filters or another order"))
    places = [place for place, kept in enumerate(wanted) if kept.name == name]
    if not places:
        raise ValidationFault(sentences.bad_token("the resource that the page ended with is gone"))
    return places[0] + 1
