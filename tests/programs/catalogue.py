"""Which programs there are, and what each needs: files in shown/, written as users of SageMaker write theirs.

A program prints `==> ` in front of what it has done; a step of its source that it did not print has failed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "shown"
STEP: Final = "==> "


@dataclass(frozen=True, slots=True)
class Program:
    """One of them. `environment` is a list in requirements/, or a package.json; "" is the suite's own.

    Those that are `led` run under `sagebird run`, as clients of theirs name an address of AWS themselves.
    """

    file: str
    shows: str
    environment: str = ""
    led: bool = False
    needs: tuple[str, ...] = ()

    @property
    def source(self) -> Path:
        """The program itself."""
        return FOLDER / self.file

    @property
    def steps(self) -> int:
        """How many it has."""
        return len(re.findall(rf"['\"]{STEP}", self.source.read_text(encoding="utf-8")))


PROGRAMS: Final[Mapping[str, Program]] = {
    "ab-test": Program("ab_testing.py", "A/B test with CloudWatch's numbers and their plots", "plots"),
    "multi-model": Program("multi_model.py", "multi-model endpoint"),
    "batch": Program("batch_association.py", "batch transform with association"),
    "registry": Program("model_registry.py", "model registry"),
    "sdk2": Program("sdk2.py", "SageMaker Python SDK, version 2", "sdk2", led=True, needs=("score.py",)),
    "sdk3": Program("sdk3.py", "SageMaker Python SDK, version 3", "sdk3", led=True, needs=("score.py",)),
    "airflow": Program("airflow_operators.py", "Airflow's operators and sensors", "airflow"),
    "mlflow": Program("mlflow_deployments.sh", "MLflow's deployments", "mlflow", needs=("save_mlflow.py",)),
    "frames": Program("frames.py", "awswrangler, pandas and s3fs", "frames"),
    "javascript": Program("javascript.mjs", "AWS SDK for JavaScript, version 3", "javascript"),
}
