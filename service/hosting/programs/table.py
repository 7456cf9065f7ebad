"""Estimators as programs: the same arithmetic as scikit-learn's methods, without the checks around it.

A program takes rows (n, features) float64, finite in float32 too, of the right width; whoever runs it sees
to that. It evaluates what the fitted estimator holds with the expressions that scikit-learn uses, so that
answers are the same to the last bit wherever possible. What they are is checked in compiled, model by
model, before one is used; nothing here has to be trusted.

In here: which class has which program, and the classes that are made of others. Not in here: linear models,
trees and the rest, which have files of their own.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from service.errors import NotCompilable
from service.hosting.programs import continuous as programs_continuous
from service.hosting.programs import histograms as programs_histograms
from service.hosting.programs import linear as programs_linear
from service.hosting.programs import rows as programs_rows
from service.hosting.programs import texts as programs_texts
from service.hosting.programs import trees as programs_trees
from service.hosting.programs.agreement import Step
from service.hosting.programs.probes import parts_of
from service.hosting.programs.program import Methods, check_plain, classify, only_single, stackable

PREDICT, PROBABILITIES, DECISION, TRANSFORM = "predict", "predict_proba", "decision_function", "transform"


def build(estimator: Any) -> Methods:
    """Programs of an estimator's methods, by name; a method that has none is not in there.

    Raises:
        NotCompilable: it has none at all; says why.
    """
    kind = type(estimator)
    builder = _BUILDERS.get(kind.__name__)
    if builder is None or kind.__module__.partition(".")[0] != "sklearn":
        raise NotCompilable(f"there is no program for {kind.__name__}")
    try:
        methods = builder(estimator)
    except (AttributeError, TypeError, ValueError, IndexError, KeyError, ImportError) as error:
        # Much of what a program reads is scikit-learn's own business, and may differ in another version.
        raise NotCompilable(f"{kind.__name__} is not as expected: {type(error).__name__}: {error}") from error
    return {name: step for name, step in methods.items() if hasattr(estimator, name)}


def size_bytes(estimator: Any) -> int:
    """Memory that the programs of an estimator hold besides its own: at most that of the trees inside."""
    total = 0
    for part in parts_of(estimator):
        tree = getattr(part, "tree_", None)
        if tree is not None:
            total += programs_trees.held_bytes(tree)
        total += getattr(getattr(part, "nodes", None), "nbytes", 0)
        steps = _steps(part) if type(part).__name__ == "Pipeline" else []
        total += programs_texts.size_bytes(steps) if steps and programs_texts.is_vectorizer(steps[0]) else 0
    return total


def _pipeline(estimator: Any) -> Methods:
    steps = _steps(estimator)
    if programs_texts.is_vectorizer(steps[0]):
        return programs_texts.build(steps)
    first = [build(step)[TRANSFORM] for step in steps[:-1]]
    last = build(steps[-1])
    return {name: _chain([*first, step]) for name, step in last.items()}


def _steps(pipeline: Any) -> list[Any]:
    return [step for _, step in pipeline.steps if step is not None and step != "passthrough"]


def _chain(steps: list[Step]) -> Step:
    first, *others = steps
    if not others:
        return first

    def run(rows: Any) -> Any:
        rows = first(rows)
        for step in others:
            rows = step(check_plain(rows))
        return rows

    return run


def _best(estimator: Any) -> Methods:
    return build(estimator.best_estimator_)


def _inner(estimator: Any) -> Methods:
    return {PREDICT: build(estimator.estimator_)[PREDICT]}


def _column_transformer(estimator: Any) -> Methods:
    if estimator.sparse_output_:
        raise NotCompilable("the ColumnTransformer makes sparse columns")
    names = list(getattr(estimator, "feature_names_in_", ()))
    parts: list[tuple[Any, Step | None]] = []
    for _, part, columns in estimator.transformers_:
        chosen = _positions(columns, names, estimator.n_features_in_)
        if (isinstance(part, str) and part == "drop") or not len(chosen):
            continue
        parts.append((chosen, None if isinstance(part, str) else build(part)[TRANSFORM]))

    def transform(rows: Any) -> Any:
        only_single(rows)
        chosen = [(rows[..., columns], step) for columns, step in parts]
        return np.concatenate([part if step is None else step(part) for part, step in chosen], axis=-1)

    return {TRANSFORM: transform}


def _positions(columns: Any, names: list[str], width: int) -> Any:
    if isinstance(columns, str | int | np.integer):
        columns = [columns]
    if isinstance(columns, slice):
        return np.arange(width)[columns]
    columns = list(columns)
    if columns and isinstance(columns[0], str):
        return np.array([names.index(name) for name in columns], dtype=np.intp)
    return np.arange(width)[np.asarray(columns, dtype=bool if _is_mask(columns) else np.intp)]


def _is_mask(columns: list[Any]) -> bool:
    return bool(columns) and isinstance(columns[0], bool | np.bool_)


def _feature_union(estimator: Any) -> Methods:
    if estimator.transformer_weights:
        raise NotCompilable("the FeatureUnion has weights")
    steps = [build(step)[TRANSFORM] for _, step in estimator.transformer_list if step != "drop"]
    return {TRANSFORM: lambda rows: np.concatenate([step(only_single(rows)) for step in steps], axis=-1)}


def _voting_classifier(estimator: Any) -> Methods:
    weights = estimator._weights_not_none
    if estimator.voting == "soft":
        chances = [build(each)[PROBABILITIES] for each in estimator.estimators_]

        def average(rows: Any) -> Any:
            return np.average(np.asarray([step(rows) for step in chances]), axis=0, weights=weights)

        return {PROBABILITIES: average, PREDICT: classify(average, estimator.classes_)}
    votes = [build(each)[PREDICT] for each in estimator.estimators_]

    def predict(rows: Any) -> Any:
        ballots = np.asarray([step(rows).ravel() for step in votes]).T
        winners = [np.argmax(np.bincount(ballot, weights=weights)) for ballot in ballots]
        return estimator.classes_.take(winners).reshape(rows.shape[:-1])

    return {PREDICT: predict}


def _voting_regressor(estimator: Any) -> Methods:
    weights = estimator._weights_not_none
    steps = [build(each)[PREDICT] for each in estimator.estimators_]
    return {PREDICT: lambda rows: np.average(_side_by_side(steps, rows), axis=-1, weights=weights)}


def _bagging_regressor(estimator: Any) -> Methods:
    steps = _bagged(estimator, PREDICT)
    return {
        PREDICT: lambda rows: sum(step(only_single(rows)[..., chosen]) for step, chosen in steps) / len(steps)
    }


def _bagging_classifier(estimator: Any) -> Methods:
    classes = len(estimator.classes_)
    if any(len(each.classes_) != classes for each in estimator.estimators_):
        raise NotCompilable("a part of the BaggingClassifier does not know all classes")
    steps = _bagged(estimator, PROBABILITIES)

    def average(rows: Any) -> Any:
        total = np.zeros((*only_single(rows).shape[:-1], classes))
        for step, chosen in steps:
            total += step(rows[..., chosen])
        return total / len(steps)

    return {PROBABILITIES: average, PREDICT: classify(average, estimator.classes_)}


def _bagged(estimator: Any, method: str) -> list[tuple[Step, Any]]:
    pairs = zip(estimator.estimators_, estimator.estimators_features_, strict=True)
    return [(build(each)[method], chosen) for each, chosen in pairs]


def _side_by_side(steps: list[Step], rows: Any) -> Any:
    """One answer of each step per row, as columns, in the memory order that scikit-learn has there."""
    answers = np.asarray([step(only_single(rows)) for step in steps])
    return answers.T if rows.ndim == 2 else stackable(np.moveaxis(answers, 0, -1))


def _multi_output_regressor(estimator: Any) -> Methods:
    steps = [build(each)[PREDICT] for each in estimator.estimators_]
    return {PREDICT: lambda rows: _side_by_side(steps, rows)}


def _stacking(method: str | None) -> Callable[[Any], Methods]:
    def compile_stacking(estimator: Any) -> Methods:
        if estimator.passthrough:
            raise NotCompilable("the stack passes its rows through")
        steps = [
            (build(each)[name], name)
            for each, name in zip(estimator.estimators_, estimator.stack_method_, strict=True)
        ]
        binary = method is not None and len(estimator.classes_) == 2

        def columns(step: Step, name: str, rows: Any) -> Any:
            answer = step(rows)
            if answer.ndim < rows.ndim:
                return answer[..., np.newaxis]
            return answer[..., 1:] if name == PROBABILITIES and binary else answer

        def stack(rows: Any) -> Any:
            return np.concatenate([columns(step, name, only_single(rows)) for step, name in steps], axis=-1)

        final = build(estimator.final_estimator_)
        programs: dict[str, Step] = {
            name: _chain([stack, step]) for name, step in final.items() if name != TRANSFORM
        }
        if method is not None and PREDICT in programs:
            encoded = programs[PREDICT]
            programs[PREDICT] = lambda rows: estimator.classes_[encoded(rows)]
        return programs

    return compile_stacking


_BUILDERS: Mapping[str, Callable[[Any], Methods]] = MappingProxyType(
    {
        **programs_linear.BUILDERS,
        **programs_trees.BUILDERS,
        **programs_histograms.BUILDERS,
        **programs_rows.BUILDERS,
        **programs_continuous.BUILDERS,
        "Pipeline": _pipeline,
        "GridSearchCV": _best,
        "RandomizedSearchCV": _best,
        "HalvingGridSearchCV": _best,
        "HalvingRandomSearchCV": _best,
        "RANSACRegressor": _inner,
        "ColumnTransformer": _column_transformer,
        "FeatureUnion": _feature_union,
        "VotingClassifier": _voting_classifier,
        "VotingRegressor": _voting_regressor,
        "BaggingClassifier": _bagging_classifier,
        "BaggingRegressor": _bagging_regressor,
        "MultiOutputRegressor": _multi_output_regressor,
        "StackingClassifier": _stacking("classifier"),
        "StackingRegressor": _stacking(None),
    }
)
