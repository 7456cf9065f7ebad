"""Predictions on their way from a gateway to the process that keeps them, as bytes."""

from collections.abc import Mapping, Sequence

import orjson

from service.store.outcome_tables import Arm, Predicted


def pack_predictions(predictions: Sequence[Predicted], dropped: Mapping[str, int]) -> bytes:
    """Predictions, and how many were let go of by endpoint."""
    arms: dict[Arm, int] = {}
    rows = [(arms.setdefault(each.arm, len(arms)), *each[1:]) for each in predictions]
    return orjson.dumps({"arms": [tuple(arm) for arm in arms], "rows": rows, "dropped": dropped})


def unpack_predictions(message: bytes) -> tuple[list[Predicted], dict[str, int]]:
    """The reverse of `pack_predictions`."""
    document = orjson.loads(message)
    arms = [
        Arm(endpoint, generation, tuple((name, weight) for name, weight in weights), variant, drawn)
        for endpoint, generation, weights, variant, drawn in document["arms"]
    ]
    return [Predicted(arms[arm], *rest) for arm, *rest in document["rows"]], document["dropped"]
