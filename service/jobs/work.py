"""What becomes of one batch of records: filter, ask the model, join, assemble; and whose fault a failure is.

Runs where the model is: in a process of its own, or in a thread beside a container. Knows no files.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from service.domain.transform.batch import assemble, read_lines, read_rows
from service.domain.transform.jsonpath import compile_path
from service.domain.transform.options import (
    LINE,
    NONE,
    SINGLE_RECORD,
    ContainerParameters,
    TransformOptions,
    media_type,
)
from service.domain.transform.records import FORMS, input_filter, output_maker
from service.domain.transform.split import SPLITTERS, payload
from service.errors import (
    BadPayload,
    ModelDied,
    ModelFailure,
    ModelFault,
    ModelTimeout,
    ModelUnreachable,
    PathError,
)
from service.media.csv_quick import count_newlines
from service.media.types import CSV, JSON, JSON_LINES

Ask = Callable[[bytes], bytes]
"""A request's body in, the answer's body out. Raises ModelFault."""

_NO_ANSWER: Final = (
    ModelUnreachable,
    ModelTimeout,
    ModelDied,
)  # not for the sake of one record, or who knows
_ROW: Final = re.compile(r"^[Rr](?:ow|ecord) (\d+)(?:, |: | )")
_BLANK_ENDS: Final = (b"\n\n", b"\n\r\n")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that was set aside: its number in the batch from 1, why, and its bytes."""

    number: int
    reason: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Done:
    """What a batch gave."""

    output: bytes
    records: int
    rows_out: int
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a batch gave nothing: the record in it, from 1, or None where it is not one record's fault."""

    number: int | None
    reason: str


class _RecordFault(Exception):
    """A record that cannot be looked into; `number` counts in the batch, from 1."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number = number
        self.reason = reason


class BatchWork:
    """The way of a batch, as the options want it.

    `ask` may try again by itself; `ask_once` does not, and is used to find out whose fault a failure is.
    `strict_lines`: the model takes one line of text as one record, so that a blank line is refused here.
    """

    def __init__(
        self,
        options: TransformOptions,
        container: ContainerParameters,
        ask: Ask,
        ask_once: Ask,
        *,
        quarantine: bool,
        strict_lines: bool,
        as_blocks: bool,
    ) -> None:
        self._options = options
        self._ask, self._ask_once = ask, ask_once
        self._quarantine = quarantine
        content, accept = media_type(options.content_type), media_type(options.accept)
        self._whole_of_lines = _looks_into_lines(options)
        self._quoted = content == CSV
        self._single = (
            not as_blocks and not self._whole_of_lines and options.strategy(container) == SINGLE_RECORD
        )
        self._strict = strict_lines and options.split_type == LINE and content in (CSV, JSON_LINES)
        self._text = options.split_type == LINE or self._whole_of_lines
        self._a_line_each = as_blocks
        self._rows_are_lines = accept in (CSV, JSON_LINES)
        self._one_document = accept == JSON
        filtered, made = compile_path(options.input_filter), compile_path(options.output_filter)
        self._filter = None if filtered.is_whole else input_filter(FORMS[content], filtered)
        self._make = (
            output_maker(FORMS[accept], options.joins, made) if options.joins or not made.is_whole else None
        )

    def run(self, body: bytes) -> Done | Failed:
        """Do one batch of whole records; never raises what a record or a model can cause."""
        try:
            return self._run_singly(body) if self._single else self._run_as_one(body)
        except _NO_ANSWER as fault:
            return Failed(None, fault.message)

    def run_stream(self, ask: Callable[[], bytes]) -> Done | Failed:
        """Do a whole input that `ask` streams; it counts as one record."""
        try:
            output = assemble(ask(), self._options.assemble_with)
        except ModelFault as fault:
            return Failed(None, _bare(fault))
        return Done(output, 1, count_lines(output) if self._rows_are_lines else 1)

    # ---- the way through

    def _run_as_one(self, body: bytes) -> Done | Failed:
        try:
            return self._run_together(body, None, self._ask)
        except _NO_ANSWER:
            raise
        except (ModelFault, _RecordFault) as fault:
            records = self._records(body)
            if self._quarantine:
                return _join(self._sift(records, 1))
            if isinstance(fault, _RecordFault):
                return Failed(fault.number, fault.reason)
            return self._first_bad(records, fault)

    def _run_together(self, body: bytes, records: list[bytes] | None, ask: Ask) -> Done:
        self._refuse_blank_end(body)
        if self._filter is None and self._make is None:
            answer = ask(self._request(body, records))
            return self._done(assemble(answer, self._options.assemble_with), body, records)
        records = self._records(body) if records is None else records
        filtered = records if self._filter is None else [*_each(self._filter, records)]
        answer = ask(filtered[0] if self._single or not self._text else b"\n".join(filtered) + b"\n")
        if self._make is None:
            return self._done(assemble(answer, self._options.assemble_with), body, records)
        answers = self._answers(answer, len(records))
        made = [*_each(self._make, records if self._options.joins else [b""] * len(answers), answers)]
        ends = b"\n" if self._options.assemble_with == LINE or answer.endswith(b"\n") else b""
        return Done(b"\n".join(made) + ends, len(records), len(made))

    def _run_singly(self, body: bytes) -> Done | Failed:
        parts: list[Done] = []
        for number, record in enumerate(self._records(body), 1):
            try:
                parts.append(self._run_together(record, [record], self._ask))
            except _NO_ANSWER as fault:
                return Failed(number, fault.message)
            except (ModelFault, _RecordFault) as fault:
                reason = _bare(fault, record)
                if not self._quarantine:
                    return Failed(number, reason)
                parts.append(Done(b"", 1, 0, (Rejected(number, reason, record),)))
        return _join(parts)

    def _request(self, body: bytes, records: list[bytes] | None) -> bytes:
        if self._single and records is not None:
            bare = self._options.split_type == LINE  # see _records
            return records[0] if bare else payload(records[0], self._options.split_type)
        return body

    def _done(self, output: bytes, body: bytes, records: list[bytes] | None) -> Done:
        if records is not None:
            count = len(records)
        elif self._a_line_each and b'"' not in output:
            count = count_lines(output)  # much less to read than the body
        else:
            count = self._count(body)
        return Done(output, count, count_lines(output) if self._rows_are_lines else count)

    def _answers(self, answer: bytes, expected: int) -> list[bytes]:
        if self._one_document and (expected == 1 or not self._options.joins):
            found = [answer.strip()]
        else:
            found = [line.removesuffix(b"\r") for line in read_lines(answer)]
        if expected == 1 and not found:
            found = [b""]  # the answer to a blank record may be blank
        if len(found) == expected or not self._options.joins:
            return found
        hint = ": a file with a header line needs SplitType Line" if self._whole_of_lines else ""
        raise ModelFailure(
            f"the model answered {len(found)} records to {expected}, so that they cannot be matched{hint}"
        )

    # ---- records

    def _records(self, body: bytes) -> list[bytes]:
        """The batch's records; text is without its newlines where filters or joins look into it."""
        split_type = self._options.split_type
        if self._whole_of_lines:
            return read_rows(body, quoted=self._quoted) or [body]
        if split_type == NONE:
            return [body]
        if split_type == LINE:
            if self._filter is None and self._make is None and not self._single:
                return list(SPLITTERS[LINE]([body], 0))
            return [line.removesuffix(b"\r") for line in read_lines(body)]
        return list(SPLITTERS[split_type]([body], 0))

    def _count(self, body: bytes) -> int:
        if self._text:
            return count_lines(body)
        return len(self._records(body))

    def _refuse_blank_end(self, body: bytes) -> None:
        """Readers of whole bodies overlook blank lines at the end, which would lose records."""
        if self._strict and (body.endswith(_BLANK_ENDS) or body in (b"\n", b"\r\n")):
            raise BadPayload(f"Row {count_lines(body)} is blank.")

    # ---- whose fault it is

    def _first_bad(self, records: list[bytes], fault: ModelFault) -> Failed:
        """Halve until the first record is found with which the batch fails."""
        good, bad, found = 0, len(records), fault
        while bad - good > 1:
            middle = (good + bad) // 2
            failure = self._try(records[:middle])
            if failure is None:
                good = middle
            else:
                bad, found = middle, failure
        if len(records) == 1:
            return Failed(1, _bare(fault, records[0]))
        alone = self._try(records[bad - 1 : bad])
        return Failed(bad, _bare(found) if alone is None else _bare(alone, records[bad - 1]))

    def _sift(self, records: list[bytes], first: int) -> Iterator[Done]:
        """Set aside the records that fail, in halves; `first` is the number of the first one."""
        if not records:
            return
        try:
            yield self._run_together(self._whole(records), self._kept(records), self._ask_once)
        except _NO_ANSWER:
            raise
        except (ModelFault, _RecordFault) as fault:
            if len(records) == 1:
                yield Done(b"", 1, 0, (Rejected(first, _bare(fault, records[0]), records[0]),))
                return
            middle = len(records) // 2
            yield from self._sift(records[:middle], first)
            yield from self._sift(records[middle:], first + middle)

    def _try(self, records: list[bytes]) -> ModelFault | None:
        try:
            self._run_together(self._whole(records), self._kept(records), self._ask_once)
        except _NO_ANSWER:
            raise
        except ModelFault as fault:
            return fault
        return None

    def _whole(self, records: Sequence[bytes]) -> bytes:
        processed = self._filter is not None or self._make is not None
        if processed and self._text:
            return b"\n".join(records) + b"\n"
        return b"".join(records)

    def _kept(self, records: list[bytes]) -> list[bytes] | None:
        return records if self._filter is not None or self._make is not None else None


def _looks_into_lines(options: TransformOptions) -> bool:
    """Whether an input that is one payload holds a record a line, each of which is filtered or joined."""
    looks = options.joins or not compile_path(options.input_filter).is_whole
    return options.split_type == NONE and looks and media_type(options.content_type) in (CSV, JSON_LINES)


def count_lines(body: bytes) -> int:
    """How many lines a body holds; the last one need not end in a newline."""
    return count_newlines(body) + (not body.endswith(b"\n") and bool(body))


def _each(change: Callable[..., bytes], *columns: Sequence[bytes]) -> Iterator[bytes]:
    """What `change` makes of each record, taken from all columns. Raises _RecordFault."""
    for number, record in enumerate(zip(*columns, strict=True), 1):
        try:
            yield change(*record)
        except PathError as error:
            raise _RecordFault(number, str(error)) from error


def _join(parts: "Iterator[Done] | list[Done]") -> Done:
    output, records, rows_out = [], 0, 0
    rejected: list[Rejected] = []
    for part in parts:
        output.append(part.output)
        records += part.records
        rows_out += part.rows_out
        rejected += part.rejected
    return Done(b"".join(output), records, rows_out, tuple(rejected))


def _bare(fault: "ModelFault | _RecordFault", record: bytes = b"") -> str:
    """The reason; a row's number, which is another one in the file, only if it is one within `record`."""
    if isinstance(fault, _RecordFault):
        return fault.reason
    row = _ROW.match(fault.message)
    if row is not None and (count_lines(record) > 1 or (record and row[1] != "1")):
        return fault.message.removesuffix(".")
    return _ROW.sub("", fault.message, count=1).removesuffix(".")
