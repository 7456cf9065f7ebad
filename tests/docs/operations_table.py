"""The table of docs/reference/operations.md: operations around inference, whether served, who tests them.

A call is found by its name: boto3's method, or the command of the aws CLI.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from botocore import xform_name
from botocore.session import get_session

from service.control import registry, sts
from service.control.cloudwatch import table as cloudwatch
from service.control.ecr import repositories
from service.control.iam import table as iam
from service.control.kept.families import FAMILIES
from service.control.logs import table as logs
from service.control.s3 import table
from service.faces.aws import runtime

ROOT = Path(__file__).resolve().parents[2]
_ABOUT_INFERENCE = re.compile(
    r"Search$|(?:Add|List|Delete)Tags$|(?:Model|ModelPackage|ModelPackageGroup|ModelPackageGroupPolicy|Endpoint|EndpointWeightsAndCapacities|TransformJob|EndpointConfig|"
    r"InferenceComponent|InferenceComponentRuntimeConfig|InferenceExperiment|InferenceRouter|EndpointPolicy|"
    r"InferenceRecommendationsJob|InferenceRecommendationsJobStep)s?$"
)


def rows() -> Iterator[tuple[str, str, str]]:
    """Operation, whether it is served, and the files of tests that call it; the served ones first."""
    texts = _tests()
    for service, served in (
        ("sagemaker-runtime", runtime.SERVED),
        ("sagemaker", registry.SERVED),
        ("s3", table.SERVED),
        ("cloudwatch", cloudwatch.SERVED),
        ("ecr", repositories.SERVED),
        ("logs", logs.SERVED),
        ("iam", iam.SERVED),
        ("sts", sts.SERVED),
    ):
        names = [name for name in _operations(service) if _is_listed(service, name, served)]
        for name in sorted(names, key=lambda name: (name not in served, name)):
            called_by = "<br>".join(_callers(name, texts)) if name in served else ""
            yield f"`{name}`", "yes" if name in served else "no", called_by


def rest() -> str:
    """On the operations that are not in the table."""
    return (
        f"Kept and not run: {', '.join(FAMILIES)}. Each of them is created, described, listed, changed and "
        "deleted as the model says, and nothing comes of it: no pipeline runs, and no feature is stored. "
        "`ListTags` of each says `sagebird:kept-not-run`, and `SAGEBIRD_KEPT=off` refuses them.\n\n"
        "All other operations of `sagemaker` (training, notebooks, jobs and so on) are read "
        "and checked as the model says, and then refused by name; so are all others of `s3`, `cloudwatch`, "
        "`ecr`, `logs`, `iam` and `sts`.\n"
    )


def uncalled() -> list[str]:
    """The served operations that no test calls."""
    return [operation for operation, served, called_by in rows() if served == "yes" and not called_by]


def _operations(service: str) -> list[str]:
    return list(get_session().get_service_model(service).operation_names)


def _is_listed(service: str, name: str, served: Collection[str]) -> bool:
    if service in ("s3", "cloudwatch", "ecr", "logs", "iam", "sts"):
        return name in served
    return service != "sagemaker" or _ABOUT_INFERENCE.search(name) is not None


def _tests() -> Mapping[str, str]:
    folder = ROOT / "tests" / "aws"
    files = sorted(file for file in folder.rglob("*.py"))
    return {file.relative_to(ROOT / "tests").as_posix(): file.read_text(encoding="utf-8") for file in files}


def _callers(operation: str, texts: Mapping[str, str]) -> list[str]:
    method = xform_name(operation)
    command = xform_name(operation, "-")
    call = re.compile(rf'(?:\.{method}\b|["\'](?:{method}|{command})["\'])')
    return [f"`{file}`" for file, text in texts.items() if call.search(text)]
