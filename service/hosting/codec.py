"""Request bytes to rows and predictions to bytes, in the form that the two header values name.

The readers of the single media types are in media; no HTTP in here beyond Content-Type and Accept.
"""

import io
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from service.errors import BadPayload, ModelFailure, NotAcceptable, UnsupportedContentType
from service.hosting.media import CSV, JSON, JSON_LINES, NPY, READERS, Rows, quoted

WRITTEN: Final = (JSON, CSV, JSON_LINES, NPY)
OUTPUTS: Final = ("predicted_label", "probabilities")

_BOM: Final = b"\xef\xbb\xbf"
_ALIASES: Final = MappingProxyType({"application/x-jsonlines": JSON_LINES, "application/jsonl": JSON_LINES})
_FORM: Final = "application/x-www-form-urlencoded"
# latin-1 because some Java clients announce it for every text they send.
_CHARSETS: Final = MappingProxyType(
    {"": "utf-8", "utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "utf-8", "ascii": "utf-8"}
    | {"iso-8859-1": "latin-1", "latin-1": "latin-1", "latin1": "latin-1"}
)
_MAX_HEADER_CHARS: Final = 1024
_CACHED_HEADERS: Final = 256
_PARAMETER: Final = re.compile(r';\s*([^\s;="]+)\s*=\s*("[^"]*"|[^;]*)')
# A comma inside quotes does not end a media range; an unclosed quote runs to the end.
_RANGE: Final = re.compile(r'(?:[^,"]|"[^"]*"?)+')
_TO_QUOTE: Final = re.compile(r'[",\r\n]')
_NUMBER_KINDS: Final = "biuf"
_NPY_KINDS: Final = "biufU"
_QUALITY: Final = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")


@dataclass(frozen=True, slots=True)
class Accept:
    """The chosen media type, spelled as the caller spelled it, and the `output=` names if any were given."""

    media_type: str
    output: tuple[str, ...] | None = None


def decode(body: bytes, content_type: str | None) -> Rows:
    """Read a request body, e.g. `b"5.1,3.5"` as `text/csv` into shape (1, 2).

    Raises: UnsupportedContentType (415); BadPayload (400), which names row and column, both from 1.
    """
    kind = _content_type(content_type)
    if not body:
        raise BadPayload("The body is empty.")
    if kind.media_type == NPY:
        return READERS[NPY](body)
    if kind.charset != "utf-8":
        body = body.decode(kind.charset).encode()
    return READERS[kind.media_type](body.removeprefix(_BOM))


def choose_accept(accept: str | None, default: str = JSON) -> Accept:
    """Pick the form of the answer: highest q first, then the header's own order; wildcards prefer `default`.

    Raises: NotAcceptable.
    """
    if accept is None or accept == "*/*":
        return _choose("", default)
    if len(accept) > _MAX_HEADER_CHARS:
        raise NotAcceptable(f"The Accept header is longer than {_MAX_HEADER_CHARS} characters.")
    return _choose(accept, default)


def encode(prediction: Any, media_type: str) -> bytes:
    """Write what a model answered: arrays, lists, scalars, dicts, or anything with `to_numpy` or `toarray`.

    JSON holds the values as scikit-learn gives them; CSV and JSON Lines hold one line per row, the outputs of
    a multi-output `predict_proba` side by side. nan and infinity are not JSON and never become null: they
    fail there, and pass in CSV and npy. npy never holds pickled objects.

    Raises: ModelFailure where the form cannot hold the values; NotAcceptable for another media type.
    """
    writer = _WRITERS.get(_canonical(media_type))
    if writer is None:
        raise NotAcceptable(f"{quoted(media_type)} cannot be written; ask for {_either(WRITTEN)}.")
    try:
        return writer(_unwrap(prediction))
    except (RecursionError, TypeError, ValueError) as error:
        raise ModelFailure(f"The model's answer cannot be written as {media_type}: {error}.") from error


# ---- headers


@dataclass(frozen=True, slots=True)
class _ContentType:
    media_type: str
    charset: str


@dataclass(frozen=True, slots=True)
class _Range:
    media_type: str
    quality: float
    output: tuple[str, ...] | None


def _content_type(header: str | None) -> _ContentType:
    """What a body is; an absent or blank header means application/json."""
    if header is None:
        return _ContentType(JSON, "utf-8")
    if len(header) > _MAX_HEADER_CHARS:
        raise UnsupportedContentType(f"The Content-Type is longer than {_MAX_HEADER_CHARS} characters.")
    return _read_content_type(header)


def _canonical(media_type: str) -> str:
    return _ALIASES.get(media_type, media_type)


@lru_cache(maxsize=_CACHED_HEADERS)
def _read_content_type(header: str) -> _ContentType:
    media_type, parameters = _parse(header)
    if media_type == _FORM:
        raise UnsupportedContentType(
            f"Content-Type {_FORM} is what curl says when told nothing; say what the body is: "
            "add -H 'Content-Type: text/csv' or -H 'Content-Type: application/json'."
        )
    known = _canonical(media_type or JSON)
    if known not in WRITTEN:
        raise UnsupportedContentType(f"Content-Type {quoted(header)} is not read; send {_either(WRITTEN)}.")
    if known == CSV:
        _check_csv_parameters(parameters)
    charset = _CHARSETS.get(parameters.get("charset", "").lower())
    if charset is None:
        raise UnsupportedContentType(f"charset={quoted(parameters['charset'])} is not read; send UTF-8.")
    return _ContentType(known, charset)


def _check_csv_parameters(parameters: Mapping[str, str]) -> None:
    if parameters.get("header", "absent").lower() != "absent":
        raise UnsupportedContentType(
            "text/csv with a header row is not read; remove the row, or send records as application/json."
        )
    if parameters.get("label_size", "0") != "0":
        raise UnsupportedContentType("text/csv with labels is not read; label_size must be 0.")


@lru_cache(maxsize=_CACHED_HEADERS)
def _choose(accept: str, default: str) -> Accept:
    ranges = list(_ranges(accept)) or [_Range("*/*", 1.0, None)]
    refused = {item.media_type for item in ranges if item.quality == 0}
    offers = [offer for offer in (default, *WRITTEN, *_ALIASES) if offer not in refused]
    for wanted in sorted(ranges, key=lambda item: -item.quality):
        if wanted.quality == 0:
            continue
        for offer in offers:
            if _matches(offer, wanted.media_type):
                return Accept(offer, wanted.output)
    raise NotAcceptable(
        f"Accept {quoted(accept)} names nothing that can be written; ask for {_either(WRITTEN)}."
    )


def _ranges(accept: str) -> Iterator[_Range]:
    for text in _RANGE.findall(accept):
        media_type, parameters = _parse(text)
        if media_type:
            yield _Range(media_type, _quality(parameters.get("q")), _outputs(parameters.get("output")))


def _parse(text: str) -> tuple[str, dict[str, str]]:
    media_type = text.partition(";")[0].strip().lower()
    found = _PARAMETER.finditer(text, text.find(";")) if ";" in text else ()
    return media_type, {match[1].lower(): match[2].strip().strip('"').strip() for match in found}


def _quality(text: str | None) -> float:
    # A quality that cannot be read is as good as none: the range was asked for.
    return min(float(text), 1.0) if text is not None and _QUALITY.fullmatch(text) else 1.0


def _outputs(text: str | None) -> tuple[str, ...] | None:
    names = tuple(dict.fromkeys(name for name in re.split(r"[+,\s]+", text or "") if name))
    unknown = [name for name in names if name not in OUTPUTS]
    if unknown:
        raise NotAcceptable(f"output={quoted(unknown[0])} is not known; ask for {_either(OUTPUTS)}.")
    return names or None


def _matches(offer: str, wanted: str) -> bool:
    return wanted in ("*/*", offer) or (wanted.endswith("/*") and offer.startswith(wanted[:-1]))


def _either(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


# ---- answers


def _unwrap(value: Any) -> Any:
    """Data frames, series and sparse matrices as arrays; floats as float64, times and bytes as text."""
    if type(value) is not np.ndarray:
        for method in ("to_numpy", "toarray"):
            if hasattr(value, method):
                value = getattr(value, method)()
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.kind == "f":
        # Python's float is what scikit-learn's users see: float32 0.1 reads 0.10000000149011612.
        return value.astype(np.float64, copy=False)
    if value.dtype.kind == "S":
        return np.char.decode(value, "utf-8")
    return value.astype(str) if value.dtype.kind in "MmT" else value


def _native(value: Any) -> Any:
    """The same in Python's own lists, dicts and scalars."""
    value = _unwrap(value)
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return value.tolist()
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, dict):
        return {_native(key): _native(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_native(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


def _outputs_of(value: Any) -> list[npt.NDArray[Any]] | None:
    """The parts of a multi-output predict_proba, each (n, classes), or None where the answer is none."""
    if not isinstance(value, (list, tuple)) or not value:
        return None
    parts = [_unwrap(item) for item in value if hasattr(item, "ndim")]
    if len(parts) < len(value) or {part.ndim for part in parts} != {2} or len({len(p) for p in parts}) > 1:
        return None
    return parts


def _by_row(value: Any) -> list[Any]:
    parts = _outputs_of(value)
    if parts is not None:
        return [list(row) for row in zip(*(part.tolist() for part in parts), strict=True)]
    native = _native(value)
    return native if isinstance(native, list) else [native]


def _dump(value: Any) -> bytes:
    if isinstance(value, np.ndarray) and value.dtype.kind in _NUMBER_KINDS and value.dtype.isnative:
        return orjson.dumps(value, default=_native, option=orjson.OPT_SERIALIZE_NUMPY)
    try:
        return orjson.dumps(value, default=_native, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        # Names that are numpy scalars never reach `default`.
        return orjson.dumps(_native(value), option=orjson.OPT_NON_STR_KEYS)


def _checked(written: bytes, value: Any) -> bytes:
    """The JSON, unless one of its nulls stands for nan or infinity."""
    if b"null" in written:
        for number, row in enumerate(_by_row(value), 1):
            if not _is_finite(row):
                raise ModelFailure(
                    f"The model answered nan or infinity in row {number}, which JSON cannot hold; "
                    f"ask for Accept: {CSV} or {NPY}."
                )
    return written


def _is_finite(value: Any) -> bool:
    if isinstance(value, (list, dict)):
        return all(map(_is_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)


def _write_json(value: Any) -> bytes:
    return _checked(_dump(value), value)


def _write_json_lines(value: Any) -> bytes:
    rows = _by_row(value)
    return _checked(b"".join([_dump(row) + b"\n" for row in rows]), rows)


def _write_csv(value: Any) -> bytes:
    parts = _outputs_of(value)
    if parts is not None:
        value = np.hstack(parts)
    if isinstance(value, np.ndarray) and value.dtype.kind in "iuf" and value.ndim in (1, 2) and value.size:
        written = _dump(value)
        if b"null" not in written:
            rows = (
                written[1:-1].replace(b",", b"\n")
                if value.ndim == 1
                else written[2:-2].replace(b"],[", b"\n")
            )
            return rows + b"\n"
    return "".join([_csv_line(row) + "\n" for row in _by_row(value)]).encode()


def _csv_line(row: Any) -> str:
    cells = list(row.values()) if isinstance(row, dict) else row if isinstance(row, list) else [row]
    # A line of one blank cell would read as no line at all.
    return '""' if cells in ([None], [""]) else ",".join(map(_csv_cell, cells))


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and math.isfinite(value):
        return orjson.dumps(value).decode()
    text = _write_json(value).decode() if isinstance(value, (list, dict)) else str(value)
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if _TO_QUOTE.search(text) else text


def _write_npy(value: Any) -> bytes:
    simple = type(value) is np.ndarray and value.dtype.kind in _NPY_KINDS
    array = value if simple else np.array(_native(value))
    if array.dtype.kind not in _NPY_KINDS:
        raise ModelFailure(
            f"The model's answer cannot be written as {NPY}: its values are of no one simple type."
        )
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


_WRITERS: Final[Mapping[str, Callable[[Any], bytes]]] = MappingProxyType(
    {JSON: _write_json, CSV: _write_csv, JSON_LINES: _write_json_lines, NPY: _write_npy}
)
