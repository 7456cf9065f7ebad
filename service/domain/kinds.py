"""The table of kinds: how AWS names each in ARNs, in sentences and in lists."""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class KindRow:
    """What differs between kinds, in AWS spelling.

    ARN part, the words in AWS's sentences, the member that holds the name, the one that holds the ARN, and
    the member that a list of them is in. A `status` member exists for kinds that have one; `modified` tells
    whether summaries say when a resource was changed last.
    Source: contract C.1 and C.2.
    """

    arn_part: str
    words: str
    name: str
    arn: str
    list: str
    status: str | None = None
    modified: bool = False


class Kind(Enum):
    """A kind of resource; the value is its name in the store."""

    MODEL = "model"
    ENDPOINT_CONFIG = "endpoint-config"
    ENDPOINT = "endpoint"
    TRANSFORM_JOB = "transform-job"
    MODEL_PACKAGE = "model-package"
    MODEL_PACKAGE_GROUP = "model-package-group"

    @property
    def row(self) -> KindRow:
        """The row of this kind in the table."""
        return _TABLE[self]


_TABLE = {
    Kind.MODEL: KindRow("model", "model", "ModelName", "ModelArn", "Models"),
    Kind.ENDPOINT_CONFIG: KindRow(
        "endpoint-config",
        "endpoint configuration",
        "EndpointConfigName",
        "EndpointConfigArn",
        "EndpointConfigs",
    ),
    Kind.ENDPOINT: KindRow(
        "endpoint",
        "endpoint",
        "EndpointName",
        "EndpointArn",
        "Endpoints",
        status="EndpointStatus",
        modified=True,
    ),
    Kind.TRANSFORM_JOB: KindRow(
        "transform-job",
        "transform job",
        "TransformJobName",
        "TransformJobArn",
        "TransformJobSummaries",
        status="TransformJobStatus",
        modified=True,
    ),
    Kind.MODEL_PACKAGE: KindRow(
        "model-package",
        "model package",
        "ModelPackageName",
        "ModelPackageArn",
        "ModelPackageSummaryList",
    ),
    Kind.MODEL_PACKAGE_GROUP: KindRow(
        "model-package-group",
        "model package group",
        "ModelPackageGroupName",
        "ModelPackageGroupArn",
        "ModelPackageGroupSummaryList",
        status="ModelPackageGroupStatus",
    ),
}
