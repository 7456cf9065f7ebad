"""What the programs of this folder share: a step is done and found right, or it is WRONG and says why."""

import os
import sys
from collections.abc import Callable
from typing import Any
from urllib.request import Request, urlopen

LARGE = bytes(range(256)) * (12 << 12)
"""12 MiB, more than clients send in one go."""
ODD = "in deep/a b+c&d=ü'(1).txt"
BUCKET = os.environ["BATTERY_BUCKET"]
URL = os.environ["AWS_ENDPOINT_URL"]


def step(name: str, do: Callable[[], object]) -> None:
    """Do one thing, and say how it went; the next one is done all the same."""
    try:
        do()
    except Exception as error:  # a step may fail in any way that its client has
        sys.stdout.write(f"WRONG {name}: {type(error).__name__}: {' '.join(str(error).split())[:300]}\n")
    else:
        sys.stdout.write(f"right {name}\n")
    sys.stdout.flush()


def same(found: object, wanted: object) -> None:
    """Raise ValueError where something else was found."""
    if found != wanted:
        raise ValueError(f"{str(found)[:120]} and not {str(wanted)[:120]}")


def fetch(url: str, **asked: Any) -> bytes:
    """What a plain request is answered. Raises OSError."""
    with urlopen(Request(url, **asked), timeout=60) as answer:  # noqa: S310 - the address is the server's
        found: bytes = answer.read()
    return found
