"""What models take and give, as JSON Schemas and example bodies of each type. No paths, no HTTP in here."""

import csv
import io
import json
from typing import Any

import orjson

from service.hosting.host import Column, Interface
from service.invoke.catalogue import ExampleRequest, Manual
from service.media.types import CSV, JSON, JSON_LINES, NPY, TEXT

BUILT_IN = (CSV, JSON, JSON_LINES, NPY)
"""What built-in code reads and writes."""

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_BYTES: Schema = {"type": "string", "format": "binary"}
_NUMBER: Schema = {"type": "number"}
_MOST_DEPTH = 12


def request_types(manual: Manual) -> list[str]:
    """The types of request that a document lists, that of the first example first."""
    shown = [example.content_type for example in manual.examples]
    scripted = manual.interface is not None and manual.interface.scripted
    others: tuple[str, ...] = () if scripted and shown else BUILT_IN
    if manual.interface is not None and manual.interface.texts:
        others = (TEXT, *BUILT_IN)
    return [*shown, *(name for name in others if name not in shown)]


def request_schema(content_type: str, manual: Manual) -> Schema:
    """The schema of a request's body of this type."""
    if content_type != JSON:
        return _BYTES if content_type == NPY else _TEXT
    interface = manual.interface
    if interface is None:
        return {}
    if interface.scripted:
        return _as_shown(manual, interface)
    if interface.texts:
        return {"type": "array", "items": _TEXT, "minItems": 1}
    if interface.width is None and not interface.columns:
        return _as_shown(manual, interface)  # a model of texts, say
    kinds: list[Schema] = [_row(interface)]
    if interface.columns:
        record = _record(interface.columns)
        kinds = [record] if any(column.text for column in interface.columns) else [*kinds, record]
    # One list of either, not one list or the other: generated clients tell apart what is in a list.
    return {"type": "array", "items": kinds[0] if len(kinds) == 1 else {"anyOf": kinds}, "minItems": 1}


def request_example(content_type: str, manual: Manual) -> Any:
    """An example body of this type that works, None if none is known; JSON as a value, others as text."""
    for example in manual.examples:
        if example.content_type == content_type:
            return _value(example) if content_type == JSON else example.body
    if not manual.examples or (manual.interface is not None and manual.interface.scripted):
        return None
    if manual.interface is not None and manual.interface.texts:
        return _text_example(content_type, manual.examples[0])
    rows = _rows(manual.examples[0])
    if rows is None:
        return None
    if content_type == JSON:
        return rows
    if content_type == JSON_LINES:
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return _written_csv(rows) if content_type == CSV else None


def answer_content(manual: Manual) -> dict[str, Any]:
    """The content of an answer, by type: schema, and the model's answer to its own example."""
    interface = manual.interface
    shown = None if interface is None else interface.shown
    kind = "" if shown is None else shown.content_type.partition(";")[0].strip().lower()
    answered = _parsed(shown.body) if shown is not None and kind == JSON else None
    if interface is not None and interface.scripted:
        if shown is None or kind != JSON:
            return {kind or "*/*": {"schema": _TEXT if kind.startswith("text/") else {}}}
        return {JSON: {"schema": inferred(answered, _words(interface)), "example": answered}}
    content: dict[str, Any] = {name: {"schema": _BYTES if name == NPY else _TEXT} for name in BUILT_IN}
    del content[JSON]
    json_content: dict[str, Any] = {"schema": _answers(interface, answered)}
    if answered is not None:
        json_content["example"] = answered
    return {JSON: json_content, **content}


def inferred(value: Any, words: frozenset[str] = frozenset(), depth: int = 0) -> Schema:
    """The schema that one value shows: numbers, texts, lists and objects.

    A text that is one of `words`, a classifier's labels, is taken to be a label.
    """
    if depth > _MOST_DEPTH or value is None:
        return {}
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, (int, float)):
        return _NUMBER
    if isinstance(value, str):
        return {"type": "string", "enum": sorted(words)} if value in words else _TEXT
    if isinstance(value, list):
        return {"type": "array", "items": _either([inferred(item, words, depth + 1) for item in value])}
    members = {name: inferred(item, words, depth + 1) for name, item in value.items()}
    return {"type": "object", "properties": members, "required": sorted(members)}


def _either(schemas: list[Schema]) -> Schema:
    found: list[Schema] = []
    for schema in schemas:
        if not schema:
            return {}
        if schema not in found:
            found.append(schema)
    return {} if not found else found[0] if len(found) == 1 else {"anyOf": found}


def _as_shown(manual: Manual, interface: Interface) -> Schema:
    """What a script reads, by its example; records of the model's own columns by these."""
    value = request_example(JSON, manual)
    names = {column.name for column in interface.columns}

    def shown(item: Any, depth: int = 0) -> Schema:
        if isinstance(item, dict) and names and set(item) == names:
            return _record(interface.columns)
        if isinstance(item, list) and depth <= _MOST_DEPTH:
            return {"type": "array", "items": _either([shown(each, depth + 1) for each in item])}
        return inferred(item)

    if value is None and names:  # somebody has said so by hand
        return {"type": "array", "items": _record(interface.columns), "minItems": 1}
    return {} if value is None else shown(value)


def _row(interface: Interface) -> Schema:
    gaps = any(column.gaps for column in interface.columns)
    row: Schema = {"type": "array", "items": {"type": ["number", "null"]} if gaps else _NUMBER}
    if interface.width is not None:
        row |= {"minItems": interface.width, "maxItems": interface.width}
    if interface.columns:
        row["description"] = ", ".join(column.name for column in interface.columns)
    return row


def _record(columns: tuple[Column, ...]) -> Schema:
    return {
        "type": "object",
        "properties": {column.name: _column(column) for column in columns},
        "required": [column.name for column in columns],
        "additionalProperties": False,
    }


def _column(column: Column) -> Schema:
    if column.words:
        words: list[str | None] = [*column.words]
        return (
            {"type": ["string", "null"], "enum": [*words, None]} if column.gaps else {**_TEXT, "enum": words}
        )
    kind = "string" if column.text else "number"
    return {"type": [kind, "null"] if column.gaps else kind}


def _answers(interface: Interface | None, answered: Any) -> Schema:
    """The answer to rows: one item for each."""
    if interface is not None and interface.labels:
        return {"type": "array", "items": _label(interface)}
    if interface is not None and interface.numbers and (answered is None or _is_flat(answered)):
        return {"type": "array", "items": _NUMBER}
    return {} if answered is None else inferred(answered)


def _label(interface: Interface) -> Schema:
    kinds = {type(label) for label in interface.labels}
    names = {bool: "boolean", int: "integer", float: "number", str: "string"}
    schema: Schema = {"enum": list(interface.labels)}
    return {"type": names[kinds.pop()], **schema} if len(kinds) == 1 else schema


def _is_flat(answered: Any) -> bool:
    return isinstance(answered, list) and all(isinstance(item, (int, float)) for item in answered)


def _words(interface: Interface) -> frozenset[str]:
    return frozenset(label for label in interface.labels if isinstance(label, str))


def _value(example: ExampleRequest) -> Any:
    found = _parsed(example.body.encode())
    return example.body if found is None else found


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _rows(example: ExampleRequest) -> list[Any] | None:
    """An example's rows or records; None if they are not understood."""
    if example.content_type == JSON:
        found = _parsed(example.body.encode())
        return found if isinstance(found, list) and found and isinstance(found[0], (list, dict)) else None
    if example.content_type == JSON_LINES:
        lines = [_parsed(line.encode()) for line in example.body.splitlines()]
        return lines if lines and all(isinstance(line, (list, dict)) for line in lines) else None
    try:
        return [[float(cell) for cell in row] for row in csv.reader(io.StringIO(example.body)) if row] or None
    except (ValueError, csv.Error):
        return None


def _text_example(content_type: str, example: ExampleRequest) -> Any:
    """The texts of an example, as another type has them."""
    texts = _parsed(example.body.encode()) if example.content_type == JSON else None
    if example.content_type == TEXT:
        texts = [example.body.strip()]
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        return None
    return {JSON: texts, TEXT: texts[0]}.get(content_type)


def _written_csv(rows: list[Any]) -> str | None:
    if not all(isinstance(row, list) for row in rows):
        return None
    return "".join(",".join(map(str, row)) + "\n" for row in rows)
