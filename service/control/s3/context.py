"""What the operations of S3 work with, and what they give back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from service.domain.caller import Caller
from service.objects.buckets.buckets import Buckets, OpenObject
from service.objects.buckets.uploads import Uploads

S3Fields = Mapping[str, Any]
"""The members of a request, as botocore's model names them."""


@dataclass(frozen=True, slots=True)
class S3Context:
    """What an operation needs beside its members."""

    buckets: Buckets
    uploads: Uploads
    caller: Caller

    @property
    def owner(self) -> dict[str, str]:
        """Who owns every bucket and every object; an id of as many digits as AWS's."""
        return {"ID": self.caller.account.rjust(64, "0"), "DisplayName": self.caller.account}


@dataclass(frozen=True, slots=True)
class S3Output:
    """The members of an answer; of a body that is an object the bytes from `start` up to `end`.

    `status` is None where the operation has its usual one.
    """

    members: Mapping[str, Any] = field(default_factory=dict)
    status: int | None = None
    body: OpenObject | None = None
    start: int = 0
    end: int = 0


class Receiving(Protocol):
    """A body that is being received. Its methods wait for the disk, and follow each other."""

    def write(self, data: bytes) -> None:
        """Take the next bytes. Raises BucketFault."""
        ...

    def finish(self, trailers: Mapping[str, str]) -> S3Output:
        """The body is over: check and keep it. Raises BucketFault, and then nothing of it is left."""
        ...

    def abandon(self) -> None:
        """Leave nothing of it; nothing happens where it is finished."""
        ...


S3Operation = Callable[[S3Context, S3Fields], S3Output]
Taking = Callable[[S3Context, S3Fields, Mapping[str, str]], Receiving]
"""Takes the headers of the request too, of which those that say how its body comes are in no model."""
