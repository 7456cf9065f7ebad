"""What went wrong in code that is not ours, as a fault of the model that its author can mend.

The words are the runner's: a model is told the same wherever it was loaded.
"""

import os

from service.errors import ModelFailure, ModelFault
from service.runner.faults import worded

_OWN_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep


def code_fault(error: BaseException) -> ModelFault:
    """What a request is answered when the model's own objects raised.

    A fault stays what it is; an exception with a `status_code` from 400 to 599 keeps that status and its
    message; anything else is a ModelFailure.
    """
    if isinstance(error, ModelFault):
        return error
    status, text = worded(error, ours=_OWN_FOLDER)
    return ModelFailure(text) if status == 500 else ModelFault(text, status)
