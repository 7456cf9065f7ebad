"""What a loaded model takes and gives, as far as it tells, in the words of the seam."""

from collections.abc import Mapping
from typing import Any

from service.hosting.host import Column, Interface
from service.runner.describing import describe


def read_interface(estimator: Any, *, texts: bool = False) -> Interface:
    """What a model takes and gives that answers by this estimator."""
    return interface_of(describe(estimator), scripted=False, texts=texts)


def interface_of(told: Mapping[str, Any], *, scripted: bool, texts: bool = False) -> Interface:
    """The same of what a runner told of its model."""
    columns = tuple(Column(**{**each, "words": tuple(each["words"])}) for each in told.get("columns", ()))
    labels = tuple(told.get("labels", ()))
    return Interface(scripted, told.get("width"), columns, labels, bool(told.get("numbers")), None, texts)
