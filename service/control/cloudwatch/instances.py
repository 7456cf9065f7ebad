"""The metrics of endpoints' instances, as CloudWatch names them: made of what variants were seen to use.

Source: contract E.2, and AWS's page of SageMaker's metrics in CloudWatch.
"""

from typing import Final

from service.domain.cloudwatch.statistics import Summary
from service.observe.utilization import UtilizationPoint

INSTANCES: Final = "/aws/sagemaker/Endpoints"
"""Their namespace."""

INSTANCE_NAMES: Final = ("CPUUtilization", "MemoryUtilization", "DiskUtilization")
INSTANCE_UNIT: Final = "Percent"


def used(name: str, point: UtilizationPoint) -> Summary:
    """What one of the metrics says of a time."""
    match name:
        case "CPUUtilization":
            return point.cpu
        case "MemoryUtilization":
            return point.memory
        case _:
            return point.disk
