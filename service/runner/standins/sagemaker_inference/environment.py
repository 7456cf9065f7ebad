"""What the environment says. Source: sagemaker-inference 1.10.1."""

from __future__ import annotations

import os

base_dir = "/opt/ml"
model_dir = os.environ.get("SM_MODEL_DIR", "/opt/ml/model")
code_dir = os.path.join(model_dir, "code")


class Environment:
    """The variables of a container that serves."""

    def __init__(self) -> None:
        told = os.environ.get
        self.module_name = told("SAGEMAKER_PROGRAM", "inference.py").removesuffix(".py")
        self.default_accept = told("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "application/json")
        self.model_server_timeout = int(told("SAGEMAKER_MODEL_SERVER_TIMEOUT", "60"))
        self.model_server_workers = told("SAGEMAKER_MODEL_SERVER_WORKERS")
