"""What clients of AWS services that are not served are told, and what to do instead."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from service.domain import sentences
from service.errors import CallerError, NothingThere, NotPermitted, UnknownOperation


def refusal(row: str, service: str, operation: str) -> CallerError:
    """Why an operation is not answered; `row` is its service's, "" if the table has none."""
    refused = _REFUSALS.get(row)
    return UnknownOperation(service_not_served(operation, service)) if refused is None else refused(operation)


def service_not_served(operation: str, service: str) -> str:
    """Ours; `service` as its clients name it in their requests."""
    return (
        f"sagebird does not serve {operation} of {service}: it stands in for sagemaker, "
        "sagemaker-runtime, and much of s3, logs, cloudwatch, ecr, iam, sts. "
        "Point only those clients at it, e.g. by "
        "AWS_ENDPOINT_URL_SAGEMAKER and AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME instead of AWS_ENDPOINT_URL."
    )


def s3_not_served(request: str) -> str:
    """Ours; `request` is an operation's name, or method and path."""
    return (
        f"sagebird does not serve {request} of S3. A bucket is a folder here: s3://bucket/key is the file "
        "s3/bucket/key below the server's data folder (data/s3/bucket/key by default): write and read that. "
        "To have another S3 asked, set AWS_ENDPOINT_URL_SAGEMAKER and AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME "
        "instead of AWS_ENDPOINT_URL."
    )


def no_logs(operation: str) -> str:
    """The first sentence is AWS's, observed; the rest is ours."""
    return (
        f"The specified log group does not exist. sagebird does not serve {operation} of logs, or keeps none "
        "(SAGEBIRD_LOGS_MAX_BYTES): what models print is in the server's own log as well."
    )


_REFUSALS: Mapping[str, Callable[[str], CallerError]] = MappingProxyType(
    {
        "sagemaker": lambda operation: UnknownOperation(sentences.operation_unknown(operation)),
        # Programs that wait for logs go on where there is no group of them.
        "logs": lambda operation: NothingThere(no_logs(operation)),
        # Programs that look at roles and policies first go on after this one, and after no other.
        "sts": lambda operation: NotPermitted(service_not_served(operation, "sts")),
        "iam": lambda operation: NotPermitted(service_not_served(operation, "iam")),
        **dict.fromkeys(
            ("s3", "s3express", "s3-outposts", "s3-object-lambda"),
            lambda operation: UnknownOperation(s3_not_served(operation)),
        ),
    }
)
