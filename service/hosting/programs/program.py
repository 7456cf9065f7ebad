"""What programs are made of: the types, and the ends that many of them share."""

from collections.abc import Callable
from typing import Any

import numpy as np

from service.hosting.programs.agreement import Step
from service.hosting.programs.compiled import NotForPrograms
from service.hosting.programs.domain import Domain, Wide, is_plain

Methods = dict[str, Step]
"""Programs by the name of the method that they stand for."""


def multiply(rows: Any, weights: Any) -> Any:
    """The product of each request's rows with weights, as of that request alone, in the same memory order."""
    if rows.ndim == 2:
        return rows.dot(weights)
    return (rows if rows.flags.c_contiguous else stackable(rows)) @ weights


def stackable(rows: Any) -> Any:
    """A stack in the memory order that its requests have alone. Raises NotForPrograms where it is lost.

    Choosing columns turns the order of a request around, and sums over columns depend on it. For single
    rows there is only one order.
    """
    if rows.ndim == 3 and not rows.flags.c_contiguous:
        if rows.shape[1] > 1:
            raise NotForPrograms
        return np.ascontiguousarray(rows)
    return rows


def only_single(rows: Any) -> Any:
    """The rows, unless they are a stack of requests of several rows. Raises NotForPrograms."""
    if rows.ndim == 3 and rows.shape[1] > 1:
        raise NotForPrograms
    return rows


def flat(step: Step) -> Step:
    """A step that answers row by row, for stacks too."""

    def answer(rows: Any) -> Any:
        if rows.ndim == 2:
            return step(rows)
        found = step(rows.reshape(-1, rows.shape[2]))
        return found.reshape(*rows.shape[:2], *found.shape[1:])

    return answer


def by_rows(builder: Callable[[Any], Methods]) -> Callable[[Any], Methods]:
    """A builder whose programs answer row by row."""
    return lambda estimator: {name: flat(step) for name, step in builder(estimator).items()}


def taking(domain: Domain, methods: Methods) -> Methods:
    """The same programs, said to take more than plain rows."""
    return {name: Wide(step, domain) for name, step in methods.items()}


def check_plain(rows: Any) -> Any:
    """What one step hands to the next, if the next one is sure to take it.

    Scikit-learn refuses nan and infinity there, trees also what float32 cannot hold. Raises NotForPrograms.
    """
    if not is_plain(rows):
        raise NotForPrograms
    return rows


def classify(scores: Step, classes: Any) -> Step:
    """Labels from scores (..., classes): the highest, of equals the first."""

    def predict(rows: Any) -> Any:
        return classes[scores(rows).argmax(-1)]

    return predict


def softmax(scores: Any) -> Any:
    """As scikit-learn does it, in place. Source: sklearn.utils.extmath.softmax."""
    scores -= np.max(scores, axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= np.sum(scores, axis=-1, keepdims=True)
    return scores


def expit(values: Any) -> Any:
    """1 / (1 + exp(-values)), as scikit-learn does it."""
    from scipy.special import expit as logistic

    return logistic(values)


def two_sided(chance: Any) -> Any:
    """Both columns of a binary predict_proba."""
    return np.stack([1 - chance, chance], axis=-1)
