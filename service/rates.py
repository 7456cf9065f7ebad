"""How often something may be asked: rates as people write them. Nothing is counted here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_RATE = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)\s*/?\s*(s|m|h|)(?:\s*:\s*([0-9]{1,7}))?")
_SECONDS: Mapping[str, float] = MappingProxyType({"s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0})


@dataclass(frozen=True, slots=True)
class RequestRate:
    """So many a second, and so many at once after a while without any."""

    per_s: float
    burst: int

    def __str__(self) -> str:
        return f"{self.per_s:g}/s:{self.burst}"


def read_rate(text: str) -> RequestRate:
    """The rate of `50/s`, `600/m` or `50/s:20`, of which 20 may come at once; else as many as in a second.

    Raises:
        ValueError: it is none.
    """
    found = _RATE.fullmatch(text.strip())
    per_s = float(found[1]) / _SECONDS[found[2]] if found else 0.0
    if found is None or not per_s or (found[3] and not int(found[3])):
        raise ValueError(f"{text!r} is no rate such as 50/s, 600/m or 50/s:20, of which 20 may come at once")
    return RequestRate(per_s, int(found[3]) if found[3] else max(1, round(per_s)))


def read_named_rate(text: str) -> tuple[str, RequestRate]:
    """A name, or a pattern of names, and its rate, of `iris=50/s:20`.

    Raises:
        ValueError: it is none.
    """
    name, equals, rate = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z0-9*-]{1,64}", name.strip()):
        raise ValueError(f"{text!r} names no endpoint with its rate, such as iris=50/s or demo-*=50/s:20")
    return name.strip(), read_rate(rate)


def split_rates(text: object) -> object:
    """The named rates of a comma-separated list, each checked.

    Raises:
        ValueError: one is none.
    """
    if not isinstance(text, str):
        return text
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    for part in parts:
        read_named_rate(part)
    return parts
