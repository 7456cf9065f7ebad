"""What the environment says. Source: sagemaker-containers 2.8.6."""

from __future__ import annotations

import logging
import os

base_dir = "/opt/ml"
model_dir = os.environ.get("SM_MODEL_DIR", "/opt/ml/model")
code_dir = os.path.join(base_dir, "code")


class ServingEnv:
    """The variables of a container that serves."""

    def __init__(self) -> None:
        told = os.environ.get
        self.default_accept = told("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "application/json")
        self.model_server_timeout = int(told("SAGEMAKER_MODEL_SERVER_TIMEOUT", "60"))
        self.model_server_workers = int(told("SAGEMAKER_MODEL_SERVER_WORKERS", str(os.cpu_count())))
        self.module_name = told("SAGEMAKER_PROGRAM", "inference.py").removesuffix(".py")
        self.module_dir = told("SAGEMAKER_SUBMIT_DIRECTORY", code_dir)
        self.log_level = int(told("SAGEMAKER_CONTAINER_LOG_LEVEL", str(logging.INFO)))
        self.model_dir = model_dir
