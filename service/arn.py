"""Amazon resource names: how the things of one account and region are named. Nothing is looked up here."""

from dataclasses import dataclass

# Source: botocore's data/partitions.json, regionRegex of each partition; every other region is in `aws`.
_PARTITIONS = {
    "cn-": "aws-cn",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "eu-isoe-": "aws-iso-e",
    "us-isof-": "aws-iso-f",
    "eusc-": "aws-eusc",
}


def find_partition(region: str) -> str:
    """The partition that a region belongs to: `aws` for all but a few, e.g. `aws-cn` for `cn-north-1`."""
    for prefix, partition in _PARTITIONS.items():
        if region.startswith(prefix):
            return partition
    return "aws"


@dataclass(frozen=True, slots=True)
class Arns:
    """Makes the ARNs of one account (12 digits) in one region.

    Names keep their case. Samples of 2018 show ARNs with the name in lower case; whether AWS still does so is
    not confirmed, so nothing may depend on either (contract C.1, list Y).
    Source: contract C.1 (tails) and B.4 (log streams).
    """

    account: str
    region: str

    def arn(self, kind_tail: str, name: str) -> str:
        """The ARN of a SageMaker resource; `kind_tail` is the word before its name, as `endpoint-config`."""
        return f"arn:{self.partition}:sagemaker:{self.region}:{self.account}:{kind_tail}/{name}"

    def of(self, service: str, tail: str) -> str:
        """The ARN of a thing of another service; `tail` is what stands behind the account."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{tail}"

    def assumed_role(self, role: str, session: str) -> str:
        """A caller that has assumed a role. Source: AWS's answer of GetCallerIdentity to such a caller."""
        return f"arn:{self.partition}:sts::{self.account}:assumed-role/{role}/{session}"

    def log_stream(self, endpoint: str) -> str:
        """What a ModelError calls LogStreamArn, although it names the log group (contract B.4)."""
        return f"arn:{self.partition}:logs:{self.region}:{self.account}:log-group:{log_group(endpoint)}"

    def console_logs_url(self, endpoint: str, region: str | None = None) -> str:
        """The page that a ModelError's message sends people to; `region` if it is not the one of the ARNs."""
        place = self.region if region is None else region
        host = f"https://{place}.console.aws.amazon.com/cloudwatch/home"
        return f"{host}?region={place}#logEventViewer:group={log_group(endpoint)}"

    @property
    def partition(self) -> str:
        """The partition of the region."""
        return find_partition(self.region)


def log_group(endpoint: str) -> str:
    """The log group of an endpoint's containers (contract E.3)."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"
