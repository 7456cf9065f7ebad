"""A file of outcomes in several requests: how it is cut, and where in the file a part of it lies."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from service.cli.refusal import fail
from service.experiments.reports import MOST_OUTCOMES, MOST_REPORTS
from service.media.types import CSV

_MOST_BYTES = 500_000  # of one request
_MOST_RECORDS = MOST_REPORTS // MOST_OUTCOMES
_BETWEEN = re.compile(r"[ \t\r\n,]*")
_PLACE = re.compile(r"\b(Record|Row|line) ([0-9]+)\b")


@dataclass(frozen=True, slots=True)
class ReportPart:
    """A part of a file, and how much of the file lies before it."""

    body: bytes
    records_before: int = 0
    lines_before: int = 0

    def told_of_file(self, refusal: str) -> str:
        """What a server says of the part, with the record or line that it names counted in the file."""

        def count(found: re.Match[str]) -> str:
            before = self.lines_before if found[1] == "line" else self.records_before
            return f"{found[1]} {int(found[2]) + before}"

        return _PLACE.sub(count, refusal, count=1)


def cut_reports(content_type: str, body: bytes) -> Iterator[ReportPart]:
    """A large file in parts: records stay as they are written, and a head is repeated.

    The command ends where it cannot be cut.
    """
    if len(body) <= _MOST_BYTES and body.count(b"\n") < _MOST_RECORDS and body.count(b"{") <= _MOST_RECORDS:
        yield ReportPart(body)
        return
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        fail(f"The outcomes are no text in UTF-8 (byte {error.start + 1}).")
    if content_type == CSV:
        head, *rows = _csv_rows(text) or [""]
        yield from _joined(rows, head=head.encode())
    elif text.lstrip().startswith("["):
        yield from _joined(_elements(text), head=b"[", between=b",", end=b"]")
    else:
        yield from _joined(io.StringIO(text, newline="\n"))


def _joined(
    records: Iterable[str], *, head: bytes = b"", between: bytes = b"", end: bytes = b""
) -> Iterator[ReportPart]:
    """Parts of as many records as a request takes; blank lines are lines and no records."""
    part: list[bytes] = []
    size = records_before = lines_before = 0
    for record in map(str.encode, records):
        if part and (len(head) + size + len(record) > _MOST_BYTES or len(part) == _MOST_RECORDS):
            yield ReportPart(head + between.join(part) + end, records_before, lines_before)
            records_before += sum(1 for each in part if each.strip())
            lines_before += len(part)
            part, size = [], 0
        part.append(record)
        size += len(record) + len(between)
    yield ReportPart(head + between.join(part) + end, records_before, lines_before)


def _csv_rows(text: str) -> list[str]:
    """The rows of CSV as they are written: a cell in quotes may have several lines."""
    lines = [*io.StringIO(text, newline="")]
    reader, rows, begin = csv.reader(lines), list[str](), 0
    try:
        for row in reader:
            if row:
                rows.append("".join(lines[begin : reader.line_num]))
            begin = reader.line_num
    except csv.Error:  # the server says what is wrong
        return lines
    return rows


def _elements(text: str) -> Iterator[str]:
    """The elements of a JSON list as they are written: read and written anew, one would say nothing twice."""
    decoder = json.JSONDecoder()
    try:
        decoder.decode(text)
    except (ValueError, RecursionError) as error:
        fail(f"The outcomes are no JSON: {error}.")
    at = _past(text, text.index("[") + 1)
    while text[at] != "]":
        _, end = decoder.raw_decode(text, at)
        yield text[at:end]
        at = _past(text, end)


def _past(text: str, at: int) -> int:
    """Where the next element begins, or the list ends."""
    found = _BETWEEN.match(text, at)
    return at if found is None else found.end()
