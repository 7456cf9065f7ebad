"""A large built-in model in a container of its own, loaded once for all gateways: a script of ours.

The runner runs it as it runs any inference.py, in the server's own environment; the answers are those that
the model would give in a gateway.
"""

import os
from pathlib import Path
from typing import Any

from service.errors import ModelFault
from service.hosting.host import Call
from service.hosting.runtimes.flavour import FlavourModel
from service.hosting.runtimes.table import Loading, load_built_in

MOST_BYTES = "SAGEBIRD_SERVED_MOST_BYTES"


class Refusal(Exception):
    """A fault in the form that the runner knows."""

    def __init__(self, fault: ModelFault) -> None:
        super().__init__(fault.message)
        self.message = fault.message
        self.status_code = fault.status


class ServedModel:
    """The model as the runner sees it: it describes the estimator, by whose attributes it is known."""

    def __init__(self, model: FlavourModel) -> None:
        self.model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model.predictor.estimator, name)


def model_fn(model_dir: str) -> ServedModel:
    """Load the folder's model, within the memory that it may take."""
    loading = Loading(most_bytes=int(os.environ[MOST_BYTES]))
    return ServedModel(load_built_in(Path(model_dir), os.environ, loading))


def transform_fn(model: ServedModel, body: str | bytes, content_type: str, accept: str) -> tuple[bytes, str]:
    """Answer as the model in a gateway does."""
    data = body.encode() if isinstance(body, str) else body
    try:
        answer = model.model.answer(Call(data, content_type, accept))
    except ModelFault as fault:
        raise Refusal(fault) from fault
    return answer.body, answer.content_type
