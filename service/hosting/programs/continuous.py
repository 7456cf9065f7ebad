"""Programs of the other models whose answers a few array expressions give: naive Bayes, SVMs, networks."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from service.errors import NotCompilable
from service.hosting.programs.agreement import Step
from service.hosting.programs.program import (
    Methods,
    classify,
    flat,
    multiply,
    only_single,
    stackable,
    two_sided,
)


def bayes(joint: Step, estimator: Any) -> Methods:
    """What naive Bayes makes of the joint log-likelihoods (..., classes), which some step works out."""
    from scipy.special import logsumexp

    def chances(rows: Any) -> Any:
        logs = joint(rows)
        return np.exp(logs - logsumexp(logs, axis=-1, keepdims=True))

    return {"predict": classify(joint, estimator.classes_), "predict_proba": chances}


def _gaussian_bayes(estimator: Any) -> Methods:
    means, variances = estimator.theta_, estimator.var_
    logs = np.log(estimator.class_prior_)
    norms = [-0.5 * np.sum(np.log(2.0 * np.pi * variance)) for variance in variances]
    parts = list(zip(logs, norms, means, variances, strict=True))

    def joint(rows: Any) -> Any:
        only_single(rows)  # the answer is turned around, which changes the order of sums over several rows
        logs = np.stack(
            [
                log + (norm - 0.5 * np.sum(((rows - mean) ** 2) / variance, axis=-1))
                for log, norm, mean, variance in parts
            ]
        )
        return logs.T if rows.ndim == 2 else stackable(np.moveaxis(logs, 0, -1))

    return bayes(joint, estimator)


def _counting_bayes(estimator: Any) -> Methods:
    weights, prior = estimator.feature_log_prob_.T, estimator.class_log_prior_
    return bayes(lambda rows: multiply(rows, weights) + prior, estimator)


def _bernoulli_bayes(estimator: Any) -> Methods:
    logs, threshold = estimator.feature_log_prob_, estimator.binarize
    absent = np.log(1 - np.exp(logs))
    weights, prior = (logs - absent).T, estimator.class_log_prior_ + absent.sum(axis=1)

    def joint(rows: Any) -> Any:
        rows = rows if threshold is None else (rows > threshold).astype(rows.dtype)
        return multiply(rows, weights) + prior

    return bayes(joint, estimator)


def _vector_machine(estimator: Any) -> Step:
    if estimator._sparse or callable(estimator.kernel) or estimator.kernel == "precomputed":
        raise NotCompilable("its kernel is sparse, precomputed or a function")
    if estimator.n_support_.sum() != estimator.support_vectors_.shape[0]:
        raise NotCompilable("its support vectors were altered")
    evaluate: Step = estimator._dense_predict
    return flat(lambda rows: evaluate(np.ascontiguousarray(rows)))


def _vector_classifier(estimator: Any) -> Methods:
    if estimator.break_ties:
        raise NotCompilable("it breaks ties")
    evaluate, take = _vector_machine(estimator), estimator.classes_.take
    return {"predict": lambda rows: take(np.asarray(evaluate(rows), dtype=np.intp))}


def _vector_regressor(estimator: Any) -> Methods:
    return {"predict": _vector_machine(estimator)}


def _network(estimator: Any) -> Step:
    from sklearn.neural_network._base import ACTIVATIONS

    alone = estimator._forward_pass_fast
    layers = list(zip(estimator.coefs_, estimator.intercepts_, strict=True))
    activate, finish = ACTIVATIONS[estimator.activation], ACTIVATIONS[estimator.out_activation_]

    def forward(rows: Any) -> Any:
        if rows.ndim == 2:
            return alone(rows, check_input=False)
        for number, (weights, offset) in enumerate(layers, 1):
            rows = multiply(rows, weights)
            rows += offset
            if number < len(layers):
                activate(rows)
        finish(rows.reshape(-1, rows.shape[2]))  # in place, row by row
        return rows

    return forward


def _network_classifier(estimator: Any) -> Methods:
    forward, decide = _network(estimator), estimator._label_binarizer.inverse_transform
    if estimator.n_outputs_ == 1:
        labels = flat(lambda scores: decide(scores.ravel()))
        return {
            "predict": lambda rows: labels(forward(rows)),
            "predict_proba": lambda rows: two_sided(forward(rows)[..., 0]),
        }
    labels = flat(decide)
    return {"predict": lambda rows: labels(forward(rows)), "predict_proba": forward}


def _network_regressor(estimator: Any) -> Methods:
    forward = _network(estimator)
    if estimator.n_outputs_ == 1:
        return {"predict": lambda rows: forward(rows)[..., 0]}
    return {"predict": forward}


def _constant_regressor(estimator: Any) -> Methods:
    row = np.asarray(estimator.constant_).reshape(1, -1)
    if row.shape[1] == 1:
        return {"predict": lambda rows: np.full(rows.shape[:-1], row[0, 0], dtype=row.dtype)}
    return {"predict": flat(lambda rows: np.repeat(row, len(rows), axis=0))}


def _constant_classifier(estimator: Any) -> Methods:
    if estimator.n_outputs_ != 1 or estimator._strategy not in ("most_frequent", "prior"):
        raise NotCompilable("it draws its answers, or has several outputs")
    label = estimator.classes_[[estimator.class_prior_.argmax()]]
    return {"predict": flat(lambda rows: label.repeat(len(rows)))}


BUILDERS: Mapping[str, Callable[[Any], Methods]] = MappingProxyType(
    {
        "GaussianNB": _gaussian_bayes,
        "MultinomialNB": _counting_bayes,
        "BernoulliNB": _bernoulli_bayes,
        "SVC": _vector_classifier,
        "NuSVC": _vector_classifier,
        "SVR": _vector_regressor,
        "NuSVR": _vector_regressor,
        "MLPClassifier": _network_classifier,
        "MLPRegressor": _network_regressor,
        "DummyRegressor": _constant_regressor,
        "DummyClassifier": _constant_classifier,
    }
)
