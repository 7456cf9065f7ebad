"""Where lines that somebody prints are kept: log groups and streams by the names that AWS gives them.

Source: contract E.3.
"""

import re
from collections.abc import Callable
from datetime import datetime
from hashlib import blake2b
from typing import Final, NamedTuple

from service.arn import log_group

KeepLine = Callable[[str, str, str], None]
"""Is told a line: where it is to be kept, its text, and the id of the request that it belongs to or ""."""

TRANSFORM_JOBS: Final = "/aws/sagemaker/TransformJobs"
"""The group of all batch transform jobs."""

_ENDPOINTS: Final = log_group("")
_REGISTERED: Final = "/models/"
_INSTANCE_DIGITS: Final = 17
# Source: botocore's model of logs, shapes LogGroupName and LogStreamName; and no space in a stream here.
_PLACE: Final = re.compile(r"([\w./#-]{1,512}) ([^\s:*]{1,512})", re.ASCII)


class LogPlace(NamedTuple):
    """A stream of a group."""

    group: str
    stream: str

    def __str__(self) -> str:
        """As one word and another, which is how processes tell each other."""
        return f"{self.group} {self.stream}"


def read_place(text: str) -> LogPlace | None:
    """What `str` made of a place; None of any other text."""
    found = _PLACE.fullmatch(text)
    return None if found is None else LogPlace(*found.groups())


def place_of_variant(endpoint: str, variant: str, model: object) -> LogPlace:
    """Where a variant's lines go, a stream for each `model` that it has had: what that is made of.

    A registered model, which has no endpoint, has a group of its own kind.
    """
    group = f"/sagebird{endpoint}" if endpoint.startswith(_REGISTERED) else log_group(endpoint)
    return LogPlace(group, f"{variant}/{_instance(f'{endpoint} {variant} {model!r}')}")


def variant_at(place: str) -> tuple[str, str] | None:
    """The endpoint and the variant whose lines go there, or those of one of its containers; else None."""
    found = read_place(place)
    if found is None or not found.group.startswith(_ENDPOINTS):
        return None
    return found.group.removeprefix(_ENDPOINTS), found.stream.partition("/")[0]


def place_of_job(job: str, created_at: datetime) -> LogPlace:
    """Where the lines of a batch transform job go."""
    return LogPlace(TRANSFORM_JOBS, f"{job}/{_instance(job)}-{int(created_at.timestamp())}")


def place_below(place: str, name: str) -> str:
    """Where the lines of one container of several go, or what is told of the data; "" is nowhere."""
    return f"{place}/{name}" if place else ""


def _instance(seed: str) -> str:
    """What looks like an instance's id, and is the same for the same thing in every process."""
    return f"i-{blake2b(seed.encode('utf-8', 'replace')).hexdigest()[:_INSTANCE_DIGITS]}"
