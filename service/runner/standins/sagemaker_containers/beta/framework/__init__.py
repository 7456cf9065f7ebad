"""The names that scripts import. Source: sagemaker-containers 2.8.6."""

import logging

from ... import _content_types as content_types
from ... import _encoders as encoders
from ... import _env as env
from ... import _errors as errors
from ... import _transformer as transformer
from ... import _worker as worker
from ... import training as entry_point

# They belong to training.
files = functions = mapping = modules = mpi = params = process = runner = server = trainer = entry_point
training_env = entry_point.training_env

__all__ = [
    "content_types", "encoders", "entry_point", "env", "errors", "files", "functions", "logging", "mapping",
    "modules", "mpi", "params", "process", "runner", "server", "trainer", "training_env", "transformer",
    "worker",
]  # fmt: skip
