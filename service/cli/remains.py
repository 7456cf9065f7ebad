"""What `deploy` made for an endpoint, found again by its tag when that is gone too, and taken away."""

import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from service.cli.refusal import fail
from service.cli.server import OperationRefused, operate
from service.objects.resolver import Resolver
from service.s3uri import parse_s3_uri
from service.settings import DEPLOYMENTS, buckets_in

_TAG: Final = "sagebird:deployed-for"
_STAMPED: Final = re.compile(r".*-[0-9a-f]{8}-[0-9a-f]{1,8}")
_LEVELS: Final = 3  # of a copy's folder: endpoint, variant, version
_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Remains:
    """Names of configurations and models, and the folders of copies below the data folder."""

    configs: set[str] = field(default_factory=set)
    models: set[str] = field(default_factory=set)
    copies: set[Path] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.configs or self.models)


def tags_of(endpoint: str) -> list[dict[str, str]]:
    """What marks the models and configurations that are made for an endpoint."""
    return [{"Key": _TAG, "Value": endpoint}]


def find_remains(url: str, endpoint: str, config: str | None, data: Path) -> Remains:
    """What was deployed under that name, its configuration and its models. Raises OperationRefused."""
    found = Remains(
        set(_tagged(url, "EndpointConfig", endpoint[:36], endpoint)),
        set(_tagged(url, "Model", endpoint[:20], endpoint)),
    )
    if config is not None:
        with suppress_missing():
            described = operate(url, "DescribeEndpointConfig", {"EndpointConfigName": config})
            found.configs.add(config)
            found.models.update(each["ModelName"] for each in described["ProductionVariants"])
    for model in found.models:
        with suppress_missing():
            described = operate(url, "DescribeModel", {"ModelName": model})
            found.copies.update(_copies(described, endpoint, data))
    return found


def delete_records(url: str, remains: Remains) -> None:
    """Delete the configurations and the models; what is gone already is well. Raises OperationRefused."""
    for kind, names in (("EndpointConfig", remains.configs), ("Model", remains.models)):
        for name in sorted(names):
            with suppress_missing():
                operate(url, f"Delete{kind}", {f"{kind}Name": name})


def delete_copies(remains: Remains) -> None:
    """Delete the copies, once nothing is served from them, and the folders that are empty then."""
    for copy in sorted(remains.copies):
        if not copy.parents[_LEVELS].is_dir():
            sys.stderr.write(f"{copy} is not there: name the server's data folder with --data.\n")
            return
        try:
            shutil.rmtree(copy)
        except FileNotFoundError:
            continue
        except OSError as error:
            fail(f"The copy {copy} cannot be deleted: {error.strerror}.")
        with suppress(OSError):
            copy.parent.rmdir()
            copy.parent.parent.rmdir()


class suppress_missing:
    """What the control plane does not have need not be deleted."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _where: object) -> bool:
        return isinstance(error, OperationRefused) and error.is_not_found


def _tagged(url: str, kind: str, stem: str, endpoint: str) -> Iterator[str]:
    wanted: dict[str, Any] = {"NameContains": f"{stem}-", "MaxResults": _PAGE}
    while True:
        page = operate(url, f"List{kind}s", wanted)
        for one in page[f"{kind}s"]:
            name = one[f"{kind}Name"]
            if not (name.startswith(f"{stem}-") and _STAMPED.fullmatch(name)):
                continue
            with suppress_missing():
                tags = operate(url, "ListTags", {"ResourceArn": one[f"{kind}Arn"]})["Tags"]
                if tags_of(endpoint)[0] in tags:
                    yield name
        if "NextToken" not in page:
            return
        wanted["NextToken"] = page["NextToken"]


def _copies(model: Any, endpoint: str, data: Path) -> Iterator[Path]:
    """The folder of a model's copy, if `deploy` made it for that endpoint."""
    address = parse_s3_uri(model.get("PrimaryContainer", {}).get("ModelDataUrl", ""))
    if address is None or address.bucket != DEPLOYMENTS:
        return
    levels = address.key.split("/")[:_LEVELS]
    if len(levels) == _LEVELS and levels[0] == endpoint and not {"", ".", ".."} & set(levels):
        yield Resolver(buckets_in(data)).folder(DEPLOYMENTS).joinpath(*levels)
