"""The Content-Type of a request that lies in a file."""

from pathlib import Path

from service.media.types import CSV, JSON, OF_ENDING


def type_of(file: str | Path) -> str:
    """The media type by the file's ending; text/csv if it says nothing."""
    return known_type(file) or CSV


def known_type(file: str | Path) -> str | None:
    """The media type by the file's ending, in capitals or not; None if it says nothing."""
    return OF_ENDING.get(Path(file).suffix.lower())


def guessed_type(body: bytes) -> str:
    """The media type of a request without a name: JSON is told by its first byte."""
    return JSON if body.lstrip()[:1] in (b"[", b"{") else CSV
