"""What a job reads: inputs with the names of their outputs, and each cut into batches of whole records."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from service.domain.transform.batch import batch_lines, batch_records
from service.domain.transform.names import SUFFIX, check_distinct, read_manifest, relative_name, stored_name
from service.domain.transform.options import (
    GZIP,
    LINE,
    MANIFEST_FILE,
    MEGABYTE,
    NONE,
    SINGLE_RECORD,
    TransformOptions,
    media_type,
)
from service.domain.transform.split import BLANK, SPLITTERS, too_large, without_blank_end
from service.errors import ObjectFault, ObjectUnreadable, RecordError, ValidationFault
from service.jobs.header import NO_HEADER, CsvHeader, find_header
from service.jobs.process import Batch, Headed, Profile, Spans, Stream
from service.media.types import ALIASES, JSON, JSON_LINES
from service.objects.objects import ObjectPath, ObjectReader, find, read_chunks
from service.objects.resolver import Resolver

LEAST_BLOCK_BYTES: Final = MEGABYTE
"""Of a batch of what may be batched at will: large enough to make each message's cost small."""

_MOST_BLOCK_BYTES: Final = 4 * MEGABYTE
_LEAST_BLOCKS: Final = 64  # of a large input, so that all who work on it end at about the same time
_TEXTS: Final = frozenset({"", JSON, JSON_LINES, *ALIASES})  # none is JSON
_LOOK_BYTES: Final = 2**16
_SINGLE_BYTES: Final = 2**18
_SINGLE_MOST: Final = 32  # so that a stop is not kept waiting by a slow model


@dataclass(frozen=True, slots=True)
class Input:
    """One input: its name as it is stored and told, where it is, and where its output is to be.

    With `keep` the output takes no other one's place.
    """

    name: str
    source: ObjectPath
    size_bytes: int
    output: ObjectPath
    keep: bool = False


def find_inputs(
    resolver: Resolver, source: str, target: ObjectPath, options: TransformOptions
) -> list[Input]:
    """All inputs of a job, in the order of their names; what lies in the output's folder is none.

    Raises: ObjectFault, ValidationFault.
    """
    if options.data_type == MANIFEST_FILE:
        found = list(_manifest_inputs(resolver, source))
    else:
        place = resolver.locate(source)
        if place == target:
            raise ValidationFault(
                "Input and output are the same place, so that the next run would read its own output: "
                "choose another output."
            )
        listing = resolver.list(source, below=target if target.is_below(place) else None)
        found = [
            (relative_name(entry.key, listing.prefix), listing.path(entry), entry.size_bytes)
            for entry in listing.entries
        ]
    if not found:
        raise ObjectFault(f"There are no inputs at {source}.")
    check_distinct([name for name, _, _ in found])
    return [Input(stored_name(name), path, size, target / (name + SUFFIX)) for name, path, size in found]


def _manifest_inputs(resolver: Resolver, source: str) -> Iterator[tuple[str, ObjectPath, int]]:
    for prefix, name in read_manifest(resolver.read(source)):
        if name.startswith("/") or ".." in name.split("/"):
            raise ValidationFault(f"The manifest's {name!r} must be a name below its prefix.")
        path = resolver.locate(prefix + name)
        try:
            yield name, path, find(path).size_bytes
        except ObjectUnreadable as fault:  # told as the manifest has it
            raise ObjectUnreadable(prefix + name, fault.reason) from fault


def cut(given: Input, options: TransformOptions, profile: Profile, *, remote: bool) -> Iterator[Batch]:
    """The batches of one input, in order.

    Raises: ObjectFault; RecordError, whose number counts from the first record behind the batches so far,
    and is 0 where the input is not split.
    """
    limit = options.payload_mb(profile.parameters) * MEGABYTE
    unpack = options.compression_type == GZIP
    if given.size_bytes == 0 and not unpack:
        return iter(())
    if options.split_type == NONE or (not limit and remote):
        return iter([_whole(given, limit, unpack, remote)])
    header = find_header(given.source, options, profile) if options.split_type == LINE else NO_HEADER
    if options.split_type == LINE and (
        profile.as_blocks or options.strategy(profile.parameters) != SINGLE_RECORD
    ):
        block = _block_bytes(given.size_bytes)
        target = min(limit or block, block) if profile.as_blocks else _beside(header, limit)
        if unpack:
            chunks = _trimmed(_below(read_chunks(given.source, unpack=True), header.size_bytes), options)
            return _headed(batch_lines(chunks, target, limit), header)
        return _spans(given, target or given.size_bytes, limit, header, trim=_is_text(options))
    return _headed(_records(given, options, profile, limit, header, remote=remote), header)


def _block_bytes(size_bytes: int) -> int:
    """How large the blocks of such an input are: the same for each run, for the last bit may depend on it."""
    return max(LEAST_BLOCK_BYTES, min(size_bytes // _LEAST_BLOCKS, _MOST_BLOCK_BYTES))


def _records(
    given: Input, options: TransformOptions, profile: Profile, limit: int, header: CsvHeader, *, remote: bool
) -> Iterator[bytes]:
    chunks: Iterator[bytes] = _below(
        read_chunks(given.source, unpack=options.compression_type == GZIP), header.size_bytes
    )
    if options.split_type == LINE:
        chunks = _trimmed(chunks, options)
    records = SPLITTERS[options.split_type](chunks, limit)
    if options.strategy(profile.parameters) != SINGLE_RECORD:
        lists = batch_records(records, _beside(header, limit))
    else:  # sent one by one, but handed to whoever sends them by the handful
        lists = batch_records(records, _SINGLE_BYTES, 1 if remote else _SINGLE_MOST)
    handed_out = 0
    try:
        for batch in lists:
            yield b"".join(batch)
            handed_out += len(batch)
    except RecordError as error:
        raise RecordError(error.number - handed_out, error.reason) from error


def _whole(given: Input, limit: int, unpack: bool, remote: bool) -> Batch:
    if not limit:
        return Stream(given.source, unpack)
    if not unpack and given.size_bytes <= limit:
        return Spans(given.source, 0, given.size_bytes)
    body = bytearray()
    for chunk in read_chunks(given.source, unpack=unpack):
        body += chunk
        if len(body) > limit:
            raise RecordError(
                0,
                too_large(given.size_bytes if not unpack else len(body), limit)
                + ": split it (SplitType Line, RecordIO or TFRecord) or allow more (at most 100)",
            )
    return bytes(body)


def _below(chunks: Iterator[bytes], skipped: int) -> Iterator[bytes]:
    """The chunks without as many bytes at their beginning."""
    for chunk in chunks:
        if len(chunk) > skipped:
            yield chunk[skipped:]
        skipped = max(0, skipped - len(chunk))


def _beside(header: CsvHeader, limit: int) -> int:
    """How many bytes of records go with the header line into one request; 0: any."""
    return limit and max(1, limit - len(header.line))


def _headed(bodies: Iterator[bytes], header: CsvHeader) -> Iterator[Batch]:
    return (Headed(header.line, body) for body in bodies) if header.line else iter(bodies)


def _is_text(options: TransformOptions) -> bool:
    """Whether a blank line at the end says nothing; of other types nothing is known."""
    kind = media_type(options.content_type)
    return kind in _TEXTS or kind.startswith("text/")


def _trimmed(chunks: Iterator[bytes], options: TransformOptions) -> Iterator[bytes]:
    return without_blank_end(chunks) if _is_text(options) else chunks


def _spans(given: Input, target: int, limit: int, header: CsvHeader, *, trim: bool) -> Iterator[Batch]:
    """As `batch_lines`, without reading more than the places where batches end."""
    with given.source.objects.open(given.source.key) as reader:
        at, size = header.size_bytes, reader.size_bytes
        if trim:
            size = _end_of_records(reader, at, size)
        while at < size:
            end = size
            if size - at > target:
                end = _newline_before(reader, at, at + target) or _newline_behind(
                    reader, at + target, min(size, at + limit + 1) if limit else size
                )
            end = end or size
            if limit and end - at > limit:
                raise RecordError(1, too_large(limit + 1, limit))
            yield Spans(given.source, at, end - at, header.line)
            at = end


def _end_of_records(reader: ObjectReader, start: int, end: int) -> int:
    """Behind the last line that is not blank, and its newline; `start` where there is none."""
    place = end
    while place > start:
        begin = max(start, place - _LOOK_BYTES)
        kept = len(reader.read(begin, place - begin).rstrip(BLANK))
        if kept:
            return _newline_behind(reader, begin + kept, end) or end
        place = begin
    return start


def _newline_before(reader: ObjectReader, start: int, end: int) -> int:
    """Behind the last newline in [start, end), 0 where there is none."""
    while end > start:
        begin = max(start, end - _LOOK_BYTES)
        found = reader.read(begin, end - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def _newline_behind(reader: ObjectReader, start: int, end: int) -> int:
    """Behind the first newline in [start, end), 0 where there is none."""
    while start < end:
        found = reader.read(start, min(_LOOK_BYTES, end - start)).find(b"\n")
        if found >= 0:
            return start + found + 1
        start += _LOOK_BYTES
    return 0
