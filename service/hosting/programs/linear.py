"""Programs of linear models."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from service.errors import NotCompilable
from service.hosting.programs.agreement import Step
from service.hosting.programs.program import Methods, classify, expit, multiply, softmax, two_sided

# Offsets are added row by row, each a loop of its own. Where scores are more than a few numbers, but not
# many, the offsets of as many rows lie ready: one loop for all, in a third of the time.
_FEW = 48
_MOST_LAID = 4096

Link = Callable[[Any, Step], Methods]
"""What a linear model makes of its scores, which some step works out."""


def _scores(estimator: Any) -> Step:
    """What `decision_function` or a regressor's `predict` gives, as it is before a reshape."""
    weights = estimator.coef_.T if estimator.coef_.ndim == 2 else estimator.coef_
    if hasattr(weights, "toarray"):
        raise NotCompilable("the coefficients are sparse")
    # Shaped like the scores of one row: arrays of one shape are added in half the time.
    offset = np.reshape(estimator.intercept_, (1, -1) if weights.ndim == 2 else -1)
    several = weights.ndim == 2 and 1 < offset.size == weights.shape[1]
    laid = offset.reshape(-1)

    def scores(rows: Any) -> Any:
        nonlocal laid
        found = rows.dot(weights) if rows.ndim == 2 else multiply(rows, weights)
        if several and _FEW < found.size <= _MOST_LAID and found.flags.c_contiguous:
            ready = laid
            if ready.size < found.size:
                ready = laid = np.tile(offset[0], found.size // offset.size)
            flat = found.reshape(-1)
            flat += ready[: found.size]
        else:
            found += offset
        return found

    return scores


def _regressor(_estimator: Any, scores: Step) -> Methods:
    return {"predict": scores}


def _flat_regressor(_estimator: Any, scores: Step) -> Methods:
    return {"predict": lambda rows: _one_each(scores(rows), rows)}


def _one_each(answer: Any, rows: Any) -> Any:
    return answer.reshape(rows.shape[:-1])


def _generalized(estimator: Any, scores: Step) -> Methods:
    inverse = estimator._base_loss.link.inverse
    return {"predict": lambda rows: inverse(scores(rows))}


def _classifier(estimator: Any, scores: Step) -> Methods:
    classes = estimator.classes_
    if len(classes) != 2:
        return {"decision_function": scores, "predict": classify(scores, classes)}
    take = classes.take
    return {
        "decision_function": lambda rows: scores(rows)[..., 0],
        "predict": lambda rows: take((scores(rows)[..., 0] > 0).astype("intp"), axis=0),
    }


def _logistic(estimator: Any, scores: Step) -> Methods:
    methods = _classifier(estimator, scores)
    if len(estimator.classes_) == 2:
        chances: Step = lambda rows: two_sided(expit(scores(rows)[..., 0]))  # noqa: E731
    else:
        chances = lambda rows: softmax(scores(rows))  # noqa: E731
    return {**methods, "predict_proba": chances}


def _ridge_classifier(estimator: Any, scores: Step) -> Methods:
    if estimator._label_binarizer.y_type_.startswith("multilabel"):
        raise NotCompilable("the labels are many per row")
    return _classifier(estimator, scores)


def _partial_least_squares(estimator: Any) -> Methods:
    mean, weights, offset = estimator._x_mean, estimator.coef_.T, estimator.intercept_
    flat = estimator._predict_1d

    def predict(rows: Any) -> Any:
        answer = (rows - mean) @ weights + offset
        return _one_each(answer, rows) if flat else answer

    return {"predict": predict}


_REGRESSORS = (
    *("LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "ElasticNet", "ElasticNetCV", "Lars"),
    *("LarsCV", "LassoLars", "LassoLarsCV", "LassoLarsIC", "OrthogonalMatchingPursuit"),
    *("OrthogonalMatchingPursuitCV", "BayesianRidge", "ARDRegression", "HuberRegressor", "TheilSenRegressor"),
    *("LinearSVR", "QuantileRegressor", "MultiTaskLasso", "MultiTaskLassoCV", "MultiTaskElasticNet"),
    "MultiTaskElasticNetCV",
)

HEADS: Mapping[str, Link] = MappingProxyType(
    {
        **dict.fromkeys(_REGRESSORS, _regressor),
        "SGDRegressor": _flat_regressor,
        "PassiveAggressiveRegressor": _flat_regressor,
        "PoissonRegressor": _generalized,
        "GammaRegressor": _generalized,
        "TweedieRegressor": _generalized,
        "LogisticRegression": _logistic,
        "LogisticRegressionCV": _logistic,
        "LinearDiscriminantAnalysis": _logistic,
        "LinearSVC": _classifier,
        "SGDClassifier": _classifier,
        "Perceptron": _classifier,
        "PassiveAggressiveClassifier": _classifier,
        "RidgeClassifier": _ridge_classifier,
        "RidgeClassifierCV": _ridge_classifier,
    }
)
"""A method that only some of these have is dropped for the others, see programs.build."""


def _dense(head: Link) -> Callable[[Any], Methods]:
    return lambda estimator: head(estimator, _scores(estimator))


BUILDERS: Mapping[str, Callable[[Any], Methods]] = MappingProxyType(
    {
        **{name: _dense(head) for name, head in HEADS.items()},
        "PLSRegression": _partial_least_squares,
        "PLSCanonical": _partial_least_squares,
        "CCA": _partial_least_squares,
    }
)
