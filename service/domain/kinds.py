"""The table of kinds: how AWS names each in ARNs and in sentences."""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class KindRow:
    """What differs between kinds: ARN part, the words in AWS's sentences, the member that holds the name."""

    arn_part: str
    words: str
    name_member: str


class Kind(Enum):
    """A kind of resource; the value is its name in the store."""

    MODEL = "model"
    ENDPOINT_CONFIG = "endpoint-config"
    ENDPOINT = "endpoint"

    @property
    def row(self) -> KindRow:
        """The row of this kind in the table."""
        return _TABLE[self]


_TABLE = {
    Kind.MODEL: KindRow("model", "model", "ModelName"),
    Kind.ENDPOINT_CONFIG: KindRow("endpoint-config", "endpoint configuration", "EndpointConfigName"),
    Kind.ENDPOINT: KindRow("endpoint", "endpoint", "EndpointName"),
}
