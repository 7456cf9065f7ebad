"""Which container images the built-in runtime stands in for, and which versions they name."""

import hashlib
import re
from types import MappingProxyType

BUILT_IN = "sagebird/sklearn"
"""The image of models that need none."""

_RUNS = re.compile(
    r"(?:^|/)(?:sagemaker-(?:scikit-learn|xgboost|pytorch|pytorch-inference)|sagebird/sklearn|sagebird-sklearn|mlflow-pyfunc)"
    r"(?:[:@].*)?$"
    r"|\.amazonaws\.com/(?:xgboost|pytorch-inference)(?:[:@].*)?$"
)
_XGBOOST = re.compile(r"(?:^|/)(?:sagemaker-)?xgboost(?:[:@].*)?$")
_FRAMEWORKS = MappingProxyType(
    {"sagemaker-scikit-learn": "scikit-learn", "sagemaker-xgboost": "xgboost", "pytorch-inference": "torch"}
)
"""AWS's images whose tags name a version of a package -> that package."""
_TAG = re.compile(r"(?:^|/)(?P<name>[a-z-]+):(?P<version>\d+\.\d+(?:\.\d+)?)(?:-|$)")


def runs_here(image: str) -> bool:
    """Whether the runtimes of this server can stand in for an image.

    Sagebird's own, and AWS's of scikit-learn, XGBoost and PyTorch, such as
    `<account>.dkr.ecr.<region>.amazonaws.com/sagemaker-scikit-learn:<version>-cpu-py3`; and the one that
    MLflow builds, whose models are served as it serves them.
    """
    return _RUNS.search(image) is not None


def needs_engine(image: str) -> bool:
    """Whether an image is somebody's that no runtime of this server stands in for; "" is the built-in one."""
    return bool(image) and not runs_here(image)


def framework_of(image: str) -> tuple[str, str] | None:
    """The package, and its version as in `==1.2.*`, that the tag of an image of AWS's names; None for others.

    `…/sagemaker-scikit-learn:1.2-1-cpu-py3` has scikit-learn 1.2.x; after the version comes AWS's own count.
    """
    found = _TAG.search(image)
    if found is None or found["name"] not in _FRAMEWORKS:
        return None
    version = found["version"]
    return _FRAMEWORKS[found["name"]], f"=={version}.*" if version.count(".") == 1 else f"=={version}"


def is_xgboost(image: str) -> bool:
    """Whether it is AWS's image of XGBoost, where all files of a model without a script are boosters."""
    return _XGBOOST.search(image) is not None


def pinned_image(image: str, identity: str) -> str:
    """An image with the id by which the engine of this machine knows it now, "" where it does not."""
    return f"{image}#{identity}" if identity else image


def named_image(image: str) -> str:
    """The image as it was asked for."""
    return image.partition("#")[0]


def engine_image(image: str) -> str:
    """What the engine is asked for: the id where it is pinned, else its name."""
    name, _, identity = image.partition("#")
    return identity if identity else name


def resolved_image(image: str) -> str:
    """The image with a digest in place of its tag, as DescribeEndpoint shows it.

    Nothing was pulled, so the digest is that of the image's name: the same name, the same digest.
    """
    digest = hashlib.sha256(image.encode()).hexdigest()
    repository = image.partition("@")[0]
    head, slash, last = repository.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}@sha256:{digest}"
