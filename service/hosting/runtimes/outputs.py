"""Labels and chances of a model, shaped for the media type that they are asked in."""

from typing import Any

import numpy as np

from service.media.codec import OUTPUTS
from service.media.types import CSV, JSON

LABEL, PROBABILITIES = OUTPUTS


def both(labels: Any, probabilities: Any, media_type: str) -> Any:
    """Label and probabilities of each record: an object, or in CSV the columns side by side."""
    if media_type == CSV:
        return np.column_stack([np.asarray(labels, dtype=object), *_by_target(probabilities)]).tolist()
    chances = [np.asarray(part).tolist() for part in _by_target(probabilities)]
    by_record = [list(parts) for parts in zip(*chances, strict=True)] if len(chances) > 1 else chances[0]
    objects = [
        {LABEL: label, PROBABILITIES: chance}
        for label, chance in zip(np.asarray(labels).tolist(), by_record, strict=True)
    ]
    return {"predictions": objects} if media_type == JSON else objects


def by_sample(probabilities: Any, media_type: str) -> Any:
    """The chances of several targets in the order of the samples, as all answers are: (n, targets, classes).

    In CSV they stand side by side, as they do where targets differ in their number of classes.
    """
    if not isinstance(probabilities, list):
        return probabilities
    if media_type == CSV:
        return np.hstack(probabilities)
    if len({part.shape for part in probabilities}) == 1:
        return np.stack(probabilities, axis=1)
    return [list(parts) for parts in zip(*(part.tolist() for part in probabilities), strict=True)]


def _by_target(probabilities: Any) -> list[Any]:
    return probabilities if isinstance(probabilities, list) else [probabilities]
