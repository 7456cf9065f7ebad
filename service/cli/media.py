"""The Content-Type of a request that lies in a file."""

from pathlib import Path

_TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/jsonlines",
    ".jsonlines": "application/jsonlines",
    ".npy": "application/x-npy",
}


def type_of(file: str | Path) -> str:
    """The media type by the file's ending; text/csv if it says nothing."""
    return known_type(file) or "text/csv"


def known_type(file: str | Path) -> str | None:
    """The media type by the file's ending, in capitals or not; None if it says nothing."""
    return _TYPES.get(Path(file).suffix.lower())


def guessed_type(body: bytes) -> str:
    """The media type of a request without a name: JSON is told by its first byte."""
    return "application/json" if body.lstrip()[:1] in (b"[", b"{") else "text/csv"
