"""An HTTP answer as every protocol here gives one. No protocol and no error in here."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer; header names as AWS spells them."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
