"""Records to requests, and answers to outputs: BatchStrategy, MaxPayloadInMB and AssembleWith."""

from collections.abc import Iterable, Iterator

from service.domain.transform.options import LINE
from service.domain.transform.split import Chunks, RecordError, too_large


def batch_records(records: Iterable[bytes], limit_bytes: int, single: bool) -> Iterator[list[bytes]]:
    """Lists of whole records: one each, or as many as fit the limit (0: no limit), never fewer than one."""
    held: list[bytes] = []
    size = 0
    for record in records:
        if held and (single or (limit_bytes and size + len(record) > limit_bytes)):
            yield held
            held, size = [], 0
        held.append(record)
        size += len(record)
    if held:
        yield held


def batch_lines(chunks: Chunks, limit_bytes: int) -> Iterator[bytes]:
    """The bodies that `batch_records` would make of lines, found without looking at every line.

    Raises RecordError for a line over the limit, with its number counted from the body's first line.
    """
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while limit_bytes and len(held) > limit_bytes:
            end = held.rfind(b"\n", 0, limit_bytes) + 1
            if not end:
                raise RecordError(1, too_large(len(held), limit_bytes))
            yield bytes(held[:end])
            del held[:end]
    if held:
        yield bytes(held)


def count_lines(body: bytes) -> int:
    """How many lines a body holds; the last one need not end in a newline."""
    return body.count(b"\n") + (not body.endswith(b"\n") and bool(body))


def read_lines(body: bytes) -> list[bytes]:
    """The lines of a body, without their newlines."""
    lines = body.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines


def assemble(answer: bytes, assemble_with: str) -> bytes:
    """One answer as it stands in the output: as it is, or as a line.

    AWS is said to add the newline whatever the answer ends with (contract D.4), which leaves a blank line
    after each answer that ends in one already. Here a line that is ended is not ended twice.
    """
    return answer if assemble_with != LINE or answer.endswith(b"\n") else answer + b"\n"
