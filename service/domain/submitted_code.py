"""Where a model's code lies when it is not in the model's own archive. Nothing is opened here."""

from collections.abc import Mapping

from service.s3uri import parse_s3_uri

SUBMITTED = "SAGEMAKER_SUBMIT_DIRECTORY"


def code_address(environment: Mapping[str, str]) -> str | None:
    """The archive of code that a model's environment names, as `s3://bucket/sourcedir.tar.gz`.

    None where the code lies in the model itself (`/opt/ml/model/code`, `file://...`).
    Source: contract A.3, A.4.
    """
    address = environment.get(SUBMITTED, "")
    return address if parse_s3_uri(address) is not None else None
