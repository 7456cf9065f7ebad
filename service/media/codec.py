"""Request bytes to rows and predictions to bytes, in the form that the two header values name.

The readers of the single media types are in media, their writers in writers; no HTTP in here beyond
Content-Type and Accept.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from service.errors import BadPayload, ModelFailure, NotAcceptable, UnsupportedContentType
from service.media.readers import READERS, Rows
from service.media.tables import PLAIN, Takes, quoted
from service.media.types import ALIASES, CSV, FORM, JSON, JSON_LINES, NPY, TEXT
from service.media.writers import WRITERS, unwrap

WRITTEN: Final = (JSON, CSV, JSON_LINES, NPY)
OUTPUTS: Final = ("predicted_label", "probabilities")

_BOM: Final = b"\xef\xbb\xbf"
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
_QUALITY: Final = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")


@dataclass(frozen=True, slots=True)
class Accept:
    """The chosen media type, spelled as the caller spelled it, and the `output=` names if any were given."""

    media_type: str
    output: tuple[str, ...] | None = None


def decode(body: bytes, content_type: str | None, takes: Takes = PLAIN) -> Rows:
    """Read a request body, e.g. `b"5.1,3.5"` as `text/csv` into shape (1, 2), for a model that takes such.

    Raises: UnsupportedContentType (415); BadPayload (400), which names row and column, both from 1.
    """
    kind = _content_type(content_type)
    if kind.media_type == TEXT and not takes.texts:
        raise _not_read(content_type)
    if not body:
        raise BadPayload("The body is empty.")
    if kind.media_type == NPY:
        return READERS[NPY](body, takes, None)
    if kind.charset != "utf-8":
        body = body.decode(kind.charset).encode()
    return READERS[kind.media_type](body.removeprefix(_BOM), takes, kind.header)


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
    a multi-output `predict_proba` side by side. nan and infinity never become null: in JSON they are NaN and
    Infinity, as AWS's containers and Python write them. npy never holds pickled objects.

    Raises: ModelFailure where the form cannot hold the values; NotAcceptable for another media type.
    """
    writer = WRITERS.get(_canonical(media_type))
    if writer is None:
        raise NotAcceptable(f"{quoted(media_type)} cannot be written; ask for {_either(WRITTEN)}.")
    try:
        return writer(unwrap(prediction))
    except (RecursionError, TypeError, ValueError) as error:
        raise ModelFailure(f"The model's answer cannot be written as {media_type}: {error}.") from error


# ---- headers


@dataclass(frozen=True, slots=True)
class _ContentType:
    media_type: str
    charset: str
    header: bool | None = None  # whether text/csv has one; None where it does not say


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
    return ALIASES.get(media_type, media_type)


@lru_cache(maxsize=_CACHED_HEADERS)
def _read_content_type(header: str) -> _ContentType:
    media_type, parameters = _parse(header)
    if media_type == FORM:
        raise UnsupportedContentType(
            f"Content-Type {FORM} is what curl says when told nothing; say what the body is: "
            "add -H 'Content-Type: text/csv' or -H 'Content-Type: application/json'."
        )
    known = _canonical(media_type or JSON)
    if known not in READERS:
        raise _not_read(header)
    has_header = _csv_header(parameters) if known == CSV else None
    charset = _CHARSETS.get(parameters.get("charset", "").lower())
    if charset is None:
        raise UnsupportedContentType(f"charset={quoted(parameters['charset'])} is not read; send UTF-8.")
    return _ContentType(known, charset, has_header)


def _not_read(header: str | None) -> UnsupportedContentType:
    return UnsupportedContentType(f"Content-Type {quoted(str(header))} is not read; send {_either(WRITTEN)}.")


def _csv_header(parameters: Mapping[str, str]) -> bool | None:
    """Whether there is a header row. Source: RFC 4180, section 3."""
    said = parameters.get("header", "").lower()
    if said not in ("", "present", "absent"):
        raise UnsupportedContentType(f"text/csv; header={quoted(said)} is not read; say present or absent.")
    if parameters.get("label_size", "0") != "0":
        raise UnsupportedContentType("text/csv with labels is not read; label_size must be 0.")
    return {"present": True, "absent": False}.get(said)


@lru_cache(maxsize=_CACHED_HEADERS)
def _choose(accept: str, default: str) -> Accept:
    ranges = list(_ranges(accept)) or [_Range("*/*", 1.0, None)]
    refused = {item.media_type for item in ranges if item.quality == 0}
    offers = [offer for offer in (default, *WRITTEN, *ALIASES) if offer not in refused]
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
