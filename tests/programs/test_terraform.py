"""One configuration of Terraform with everything around an endpoint: made, changed, imported, destroyed.

It runs where there is Terraform, and SAGEBIRD_TEST_TERRAFORM names a folder with the AWS provider as
`terraform providers mirror` writes one.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT, StartServer
from tests.programs.catalogue import FOLDER

_MIRROR = os.environ.get("SAGEBIRD_TEST_TERRAFORM", "")
_MODELS = {"logistic": "iris-logistic", "forest": "iris-forest"}
_NO_CHANGE, _CHANGES = 0, 2  # of `plan -detailed-exitcode`
_MOST_S = 300
_ROLE = "tf-flowers"
_IMPORTED = {
    "aws_iam_role.models": _ROLE,
    "aws_iam_role_policy.logs": f"{_ROLE}:logs",
    "aws_iam_policy.read": "arn:aws:iam::000000000000:policy/tf-flowers-read",
    "aws_iam_role_policy_attachment.read": f"{_ROLE}/arn:aws:iam::000000000000:policy/tf-flowers-read",
    "aws_iam_role_policy_attachment.sagemaker": f"{_ROLE}/arn:aws:iam::aws:policy/AmazonSageMakerFullAccess",
    "aws_s3_bucket.models": "tf-flowers",
    'aws_s3_object.model["logistic"]': "tf-flowers/logistic/model.tar.gz",
    'aws_s3_object.model["forest"]': "tf-flowers/forest/model.tar.gz",
    "aws_cloudwatch_log_group.endpoint": "/aws/sagemaker/Endpoints/tf-flowers",
    'aws_sagemaker_model.flowers["logistic"]': "tf-logistic",
    'aws_sagemaker_model.flowers["forest"]': "tf-forest",
    "aws_sagemaker_endpoint.flowers": "tf-flowers",
    "aws_sagemaker_model_package_group.flowers": "tf-flowers",
    "aws_cloudwatch_metric_alarm.errors": "tf-flowers-errors",
}


@dataclass(frozen=True, slots=True)
class Terraform:
    """Terraform in a folder with the configuration, against a server."""

    folder: Path
    url: str

    def run(self, *words: str, expected: int = 0, **variables: int) -> str:
        """Run a command; what it printed. Fails the test where it ends otherwise than expected."""
        given = {f"TF_VAR_{name}": str(value) for name, value in variables.items()}
        done = subprocess.run(
            ["terraform", words[0], "-no-color", *words[1:]],
            cwd=self.folder,
            env={
                **os.environ,
                "TF_CLI_CONFIG_FILE": "rc",
                "TF_INPUT": "0",
                "TF_VAR_url": self.url,
                **given,
            },
            capture_output=True,
            text=True,
            timeout=_MOST_S,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == expected, said
        return said

    def apply(self, **variables: int) -> str:
        """Do what the configuration says; the last sentence, as `Apply complete! …`."""
        said = self.run("apply", "-auto-approve", **variables)
        return next(line for line in said.splitlines() if line.startswith("Apply complete!"))


@pytest.fixture
def terraform(start_server: StartServer, tmp_path: Path) -> Terraform:
    models = tmp_path / "models"
    models.mkdir()
    server = start_server(models, gateways=1)
    folder = tmp_path / "configuration"
    folder.mkdir()
    shutil.copy(FOLDER / "terraform" / "main.tf", folder)
    mirror = f'provider_installation {{\n  filesystem_mirror {{ path = "{_MIRROR}" }}\n}}\n'
    (folder / "rc").write_text(mirror, encoding="utf-8")
    for name, model in _MODELS.items():
        shutil.make_archive(str(folder / name), "gztar", ROOT / "models" / model, "model.joblib")
    return Terraform(folder, server.url)


@pytest.mark.skipif(
    not _MIRROR or shutil.which("terraform") is None, reason="needs Terraform and its provider"
)
def test_a_configuration_is_made_changed_imported_and_destroyed(terraform: Terraform) -> None:
    terraform.run("init")
    assert terraform.apply() == "Apply complete! Resources: 15 added, 0 changed, 0 destroyed."
    terraform.run("plan", "-detailed-exitcode", expected=_NO_CHANGE)

    changed = {"weight": 3, "threshold": 9, "retention": 30}
    assert terraform.apply(**changed) == "Apply complete! Resources: 1 added, 3 changed, 1 destroyed."
    terraform.run("plan", "-detailed-exitcode", expected=_NO_CHANGE, **changed)

    configuration = terraform.run("output", "-raw", "configuration").strip()
    _forget(terraform, configuration)
    assert terraform.apply(**changed).startswith("Apply complete! Resources: 15 imported, 0 added, ")
    terraform.run("plan", "-detailed-exitcode", expected=_NO_CHANGE, **changed)

    terraform.run("destroy", "-auto-approve", **changed)


def _forget(terraform: Terraform, configuration: str) -> None:
    """Have Terraform forget what it has made, and find it again by its names."""
    (terraform.folder / "terraform.tfstate").unlink()
    names = {**_IMPORTED, "aws_sagemaker_endpoint_configuration.flowers": configuration}
    blocks = (f'import {{\n  to = {address}\n  id = "{name}"\n}}\n' for address, name in names.items())
    (terraform.folder / "imports.tf").write_text("".join(blocks), encoding="utf-8")
