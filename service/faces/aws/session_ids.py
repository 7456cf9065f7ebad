"""Ids of sessions, where an endpoint has several variants: they name the one that opened the session.

Whichever gateway is asked, and after any restart, a call goes where its session is. Containers meet their
own ids alone, and make them. Source: contract B.5; that AWS routes to the same instance.
"""

from collections.abc import Collection
from typing import Final

NEW_SESSION: Final = "NEW_SESSION"
"""What is sent in place of an id to open a session."""

_MOST_CHARS: Final = 256
_MARK: Final = "-v"


def mark_session(session_id: str, variant: str) -> str:
    """An id as a client is to have it, with what stands behind it (`; Expires=…`). Too long ones stay."""
    own, sign, rest = session_id.partition(";")
    marked = f"{own}-{variant}{_MARK}{len(variant)}{sign}{rest}"
    return marked if len(marked) <= _MOST_CHARS else session_id


def read_session(session_id: str, variants: Collection[str]) -> tuple[str, str | None]:
    """The id that the container knows and the variant that opened the session, None where it names none."""
    named, _, length = session_id.rpartition(_MARK)
    if not (length.isascii() and length.isdecimal() and len(length) <= 2):
        return session_id, None
    own, variant = named[: -int(length) - 1], named[-int(length) :]
    if not own or variant not in variants or named != f"{own}-{variant}":
        return session_id, None
    return own, variant
