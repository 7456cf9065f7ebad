"""A real SageMaker endpoint: its address, its variants' weights, requests signed for it. By botocore.

botocore is imported where it is used: that takes longer than most commands, and only `sagebird load --aws`
needs it.
"""

from typing import Any

from service.errors import LoadRefused
from service.load.plan import Plan, RequestBody, wire

_SIGNING_NAME = "sagemaker"


class Signer:
    """Signs requests (signature version 4) with the credentials that the aws CLI would use."""

    def __init__(self, region: str) -> None:
        """Find the credentials; those that expire are renewed when it is time.

        Raises:
            LoadRefused: there are none.
        """
        from botocore.auth import SigV4Auth
        from botocore.exceptions import BotoCoreError

        try:
            credentials = _session().get_credentials()
        except BotoCoreError as error:
            raise LoadRefused(f"AWS credentials cannot be read: {error}") from error
        if credentials is None:
            raise LoadRefused("There are no AWS credentials: set them up as for the aws CLI (aws configure).")
        self._credentials = credentials
        self._make_auth = SigV4Auth
        self._region = region

    def sign(self, plan: Plan, body: RequestBody) -> bytes:
        """The bytes of a signed request."""
        from botocore.awsrequest import AWSRequest

        scheme = "https" if plan.place.secure else "http"
        given = {"Content-Type": body.content_type, **plan.headers}
        url = f"{scheme}://{plan.place.authority}{plan.path}"
        request = AWSRequest("POST", url, headers=given, data=body.content)
        frozen = self._credentials.get_frozen_credentials()
        self._make_auth(frozen, _SIGNING_NAME, self._region).add_auth(request)
        return wire(plan, body, {name: text for name, text in request.headers.items() if name not in given})


def find_region() -> str | None:
    """The region of the environment or of the profile, None if none is set."""
    region: str | None = _session().get_config_variable("region")
    return region


def runtime_url(region: str) -> str:
    """Where InvokeEndpoint is called: AWS's address, or the one that AWS_ENDPOINT_URL and its kin name.

    Raises:
        LoadRefused: there is no such address.
    """
    return str(_client("sagemaker-runtime", region).meta.endpoint_url)


def describe_weights(region: str, endpoint: str) -> dict[str, float]:
    """The current weights of an endpoint's variants, by DescribeEndpoint.

    Raises:
        LoadRefused: with what AWS says.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        described = _client("sagemaker", region).describe_endpoint(EndpointName=endpoint)
    except (BotoCoreError, ClientError) as error:
        raise LoadRefused(str(error)) from error
    return {
        variant["VariantName"]: variant["CurrentWeight"]
        for variant in described.get("ProductionVariants", ())
        if "CurrentWeight" in variant
    }


def _client(service: str, region: str) -> Any:
    from botocore.exceptions import BotoCoreError

    try:
        return _session().create_client(service, region_name=region)
    except (BotoCoreError, ValueError) as error:
        raise LoadRefused(str(error)) from error


def _session() -> Any:
    import botocore.session

    return botocore.session.Session()
