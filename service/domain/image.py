"""Which container images the built-in runtime stands in for. Nothing is pulled or looked up."""

import hashlib
import re

BUILT_IN = "sagebird/sklearn"
"""The image of models that need none."""

_RUNS = re.compile(r"(?:^|/)(?:sagemaker-scikit-learn|sagebird/sklearn|sagebird-sklearn)(?:[:@].*)?$")


def runs_here(image: str) -> bool:
    """Whether the built-in runtime can stand in for an image: sagebird's own, or AWS's scikit-learn image.

    AWS's is `<account>.dkr.ecr.<region>.amazonaws.com/sagemaker-scikit-learn:<version>-cpu-py3`.
    """
    return _RUNS.search(image) is not None


def resolved_image(image: str) -> str:
    """The image with a digest in place of its tag, as DescribeEndpoint shows it.

    Nothing was pulled, so the digest is that of the image's name: the same name, the same digest.
    """
    digest = hashlib.sha256(image.encode()).hexdigest()
    repository = image.partition("@")[0]
    head, slash, last = repository.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}@sha256:{digest}"
