"""The header line of a CSV input: found once for each file, taken from its records, told to the model."""

from dataclasses import dataclass
from typing import Final

from service.domain.transform.jsonpath import compile_path
from service.domain.transform.options import GZIP, TransformOptions, media_type
from service.domain.transform.records import FORMS, input_filter
from service.errors import PathError, RecordError
from service.jobs.process import Profile
from service.media.tables import HeaderUse, header_order, misnamed, read_header
from service.media.types import CSV
from service.objects.objects import ObjectPath, read_chunks

_MOST_BYTES: Final = 1 << 20
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class CsvHeader:
    """`size_bytes` of the file are its header; `line` goes to the model before the records of each request.

    It is empty where built-in code needs none: its columns are in its own order, or it knows no names.
    """

    size_bytes: int
    line: bytes = b""


NO_HEADER: Final = CsvHeader(0)


def find_header(source: ObjectPath, options: TransformOptions, profile: Profile) -> CsvHeader:
    """The header of a file: its first line if that, filtered as records are, has exactly the model's names.

    Where there is said to be one (`text/csv; header=present`), another first line is refused; for a model
    that knows no names it is left out, as in a single request; whoever reads bytes by itself, a script or a
    container, is given it with each request, since nobody else can know it. Raises: RecordError, ObjectFault.
    """
    insisted = options.header is True
    if media_type(options.content_type) != CSV or options.header is False:
        return NO_HEADER
    if profile.columns is None and not insisted:
        return NO_HEADER
    line = _first_line(source, unpack=options.compression_type == GZIP)
    if profile.headers is HeaderUse.GIVEN:
        return CsvHeader(len(line), _given(line, options))
    if profile.columns is None:
        return CsvHeader(len(line))
    filtered = _filtered(line.removeprefix(_BOM).rstrip(b"\r\n"), options)
    cells = (read_header(filtered) if filtered else None) or []
    order = header_order(cells, profile.columns, insisted=insisted)
    if order is None and insisted:
        raise RecordError(0, misnamed("the header", cells, profile.columns))
    if order is None:
        return NO_HEADER
    in_order = order == list(range(len(order)))
    return CsvHeader(len(line), b"" if in_order else filtered + b"\n")


def _given(line: bytes, options: TransformOptions) -> bytes:
    """The line as it goes before records, which are filtered, too. Raises RecordError."""
    bare = line.removeprefix(_BOM).rstrip(b"\r\n")
    filtered = _filtered(bare, options)
    if not filtered:
        raise RecordError(0, "the header is blank, too long, or lacks what the InputFilter takes")
    return line.removeprefix(_BOM) if filtered == bare and line.endswith(b"\n") else filtered + b"\n"


def _first_line(source: ObjectPath, *, unpack: bool) -> bytes:
    line = b""
    for chunk in read_chunks(source, unpack=unpack):
        line += chunk
        end = line.find(b"\n") + 1
        if end or len(line) > _MOST_BYTES:
            return line[:end]
    return line


def _filtered(line: bytes, options: TransformOptions) -> bytes:
    path = compile_path(options.input_filter)
    if path.is_whole:
        return line
    try:
        return input_filter(FORMS[CSV], path)(line)
    except PathError:  # of which its records will tell, too
        return b""
