"""Records to requests, and answers to outputs: BatchStrategy, MaxPayloadInMB and AssembleWith."""

from collections.abc import Iterable, Iterator

from service.domain.transform.options import LINE
from service.domain.transform.split import Chunks, RecordError, too_large


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


def assemble(answer: bytes, assemble_with: str) -> bytes:
    """One answer as it stands in the output: as it is, or as a line.

    AWS is said to add the newline whatever the answer ends with (contract D.4), which leaves a blank line
    after each answer that ends in one already. Here a line that is ended is not ended twice.
    """
    return answer if assemble_with != LINE or answer.endswith(b"\n") else answer + b"\n"
