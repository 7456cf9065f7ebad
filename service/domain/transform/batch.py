"""Records to requests, and answers to outputs: BatchStrategy, MaxPayloadInMB and AssembleWith."""

from collections.abc import Iterable, Iterator

from service.domain.transform.options import LINE
from service.domain.transform.split import Chunks, too_large
from service.errors import RecordError


def batch_records(records: Iterable[bytes], limit_bytes: int, most: int = 0) -> Iterator[list[bytes]]:
    """Lists of as many whole records as fit the limit, at least one and at most `most`; 0: no limit."""
    held: list[bytes] = []
    size = 0
    for record in records:
        if held and (len(held) == most or (limit_bytes and size + len(record) > limit_bytes)):
            yield held
            held, size = [], 0
        held.append(record)
        size += len(record)
    if held:
        yield held


def batch_lines(chunks: Chunks, target_bytes: int, limit_bytes: int) -> Iterator[bytes]:
    """Bodies of as many whole lines as fit the target, found without looking at every line.

    A line over the target is a body of its own. 0 is no target and no limit.

    Raises: RecordError for a line over the limit; its number counts from the first line of that body.
    """
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while target_bytes and len(held) > target_bytes:
            end = held.rfind(b"\n", 0, target_bytes) + 1 or held.find(b"\n", target_bytes) + 1
            if limit_bytes and (end or len(held)) > limit_bytes:
                raise RecordError(1, too_large(end or len(held), limit_bytes))
            if not end:
                break
            yield bytes(held[:end])
            del held[:end]
    if held:
        yield bytes(held)


def read_lines(body: bytes) -> list[bytes]:
    """The lines of a body, without their newlines."""
    lines = body.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines


def read_rows(body: bytes, *, quoted: bool) -> list[bytes]:
    """The rows of a whole body, without their newlines and any blank lines at the end.

    `quoted`: they are CSV, in which a newline between quotes ends no row.
    """
    lines = [line.removesuffix(b"\r") for line in read_lines(body.rstrip(b"\r\n"))]
    if not quoted or not any(line.count(b'"') % 2 for line in lines):
        return lines
    rows: list[bytes] = []
    held: list[bytes] = []
    quotes = 0
    for line in lines:
        held.append(line)
        quotes += line.count(b'"')
        if quotes % 2 == 0:
            rows.append(b"\n".join(held))
            held, quotes = [], 0
    return [*rows, b"\n".join(held)] if held else rows


def assemble(answer: bytes, assemble_with: str) -> bytes:
    """One answer as it stands in the output: as it is, or as a line.

    AWS is said to add the newline whatever the answer ends with (contract D.4), which leaves a blank line
    after each answer that ends in one already. Here a line that is ended is not ended twice.
    """
    return answer if assemble_with != LINE or answer.endswith(b"\n") else answer + b"\n"
