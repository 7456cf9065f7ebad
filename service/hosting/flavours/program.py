"""What programs are made of: the types, and the ends that many of them share."""

from collections.abc import Callable
from typing import Any

import numpy as np

Step = Callable[[Any], Any]
"""Takes rows (n, features) float64; the answer of one method of an estimator."""

Methods = dict[str, Step]
"""Programs by the name of the method that they stand for."""


class NotCompilable(Exception):
    """There is no program for an estimator, or not for one of its making; the text says why."""


def classify(scores: Step, classes: Any) -> Step:
    """Labels from scores (n, classes): the highest, of equals the first."""

    def predict(rows: Any) -> Any:
        return classes[scores(rows).argmax(1)]

    return predict


def softmax(scores: Any) -> Any:
    """As scikit-learn does it, in place. Source: sklearn.utils.extmath.softmax."""
    scores -= np.max(scores, axis=1).reshape(-1, 1)
    np.exp(scores, out=scores)
    scores /= np.sum(scores, axis=1).reshape(-1, 1)
    return scores


def expit(values: Any) -> Any:
    """1 / (1 + exp(-values)), as scikit-learn does it."""
    from scipy.special import expit as logistic

    return logistic(values)


def two_sided(chance: Any) -> Any:
    """Both columns of a binary predict_proba."""
    return np.stack([1 - chance, chance], axis=1)
