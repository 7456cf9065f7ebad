"""Every classifier and regressor of scikit-learn that can be fitted quickly, and what compiling makes of it.

Run as a program it prints the table: `python tests/hosting/sweep.py`.
"""

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from sklearn.datasets import make_classification, make_regression
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators

from service.hosting.compiled import Verdict, compile_model
from service.hosting.flavours.sklearn import SklearnModel

FEATURES = 6
_AROUND = frozenset(
    {"ClassifierChain", "FixedThresholdClassifier", "MultiOutputClassifier", "OneVsOneClassifier"}
    | {"OneVsRestClassifier", "OutputCodeClassifier", "SelfTrainingClassifier", "TunedThresholdClassifierCV"}
)
_COUNTS = frozenset({"CategoricalNB", "ComplementNB", "MultinomialNB"})
_POSITIVE = frozenset({"GammaRegressor", "PoissonRegressor", "TweedieRegressor"})
_SMALLER = {"n_estimators": 12, "max_iter": 60, "random_state": 0, "n_components": 1, "reg_param": 0.1}


def names(kind: str) -> list[str]:
    """The names of all classifiers or regressors of scikit-learn."""
    return [name for name, _ in all_estimators(type_filter=kind)]


def fit(kind: str, name: str, seed: int = 0) -> Any:
    """A small one, fitted. Raises Exception if it cannot be."""
    estimator = _make(name, dict(all_estimators(type_filter=kind))[name])
    known = estimator.get_params(deep=False)
    estimator.set_params(**{key: value for key, value in _SMALLER.items() if key in known})
    if kind == "classifier":
        rows, answers = make_classification(150, FEATURES, n_informative=4, n_classes=3, random_state=seed)
        answers = answers if name not in _TWO_CLASSES else (answers > 0).astype(int)
    else:
        rows, answers = make_regression(150, FEATURES, noise=3.0, random_state=seed)
        answers = abs(answers) + 1 if name in _POSITIVE else answers
    rows = abs(rows).round() if name in _COUNTS else rows
    if name.startswith("MultiTask") or name in ("MultiOutputRegressor", "RegressorChain"):
        answers = np.column_stack([answers, -answers])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(rows, answers)


_TWO_CLASSES = frozenset({"FixedThresholdClassifier", "TunedThresholdClassifierCV"})


def _make(name: str, kind: Any) -> Any:
    if name in ("StackingClassifier", "VotingClassifier"):
        return kind([("a", LogisticRegression()), ("b", DecisionTreeClassifier(random_state=0))])
    if name in ("StackingRegressor", "VotingRegressor"):
        return kind([("a", Ridge()), ("b", Ridge(10.0))])
    if name in _AROUND:
        return kind(LogisticRegression())
    return kind(Ridge()) if name in ("MultiOutputRegressor", "RegressorChain") else kind()


def rows_to_serve(seed: int) -> Iterator[Any]:
    """Rows of all kinds, one request each: usual ones, whole numbers, extremes, gaps."""
    random = np.random.default_rng(seed)
    yield from (random.normal(size=(size, FEATURES)) for size in (1, 1, 1, 2, 17, 300))
    yield random.integers(-5, 5, (40, FEATURES)).astype(np.float64)
    for value in (0.0, -0.0, 1e-300, 1e9, -1e9, 1e30, 3.5e38, -1e200, 1e308, np.nan, np.inf, -np.inf):
        row = random.normal(size=(1, FEATURES))
        row[0, random.integers(FEATURES)] = value
        yield row
        yield np.full((2, FEATURES), value)


def compile_fresh(estimator: Any) -> tuple[SklearnModel, Verdict]:
    """The model as it is served once it is compiled."""
    model = SklearnModel(estimator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model, compile_model(model)


def main() -> None:
    """Print the table."""
    sys.stdout.write(
        "| estimator | outcome | one row: before -> after (us) | 256 rows |\n| --- | --- | --- | --- |\n"
    )
    for kind in ("classifier", "regressor"):
        for name in names(kind):
            try:
                estimator = fit(kind, name)
            except Exception as error:
                sys.stdout.write(f"| {name} | not fitted: {str(error)[:60]} | | |\n")
                continue
            _, verdict = compile_fresh(estimator)
            one, many = (
                "; ".join(f"{m[at][1] * 1e6:.0f} -> {m[at][2] * 1e6:.0f}" for m in verdict.speeds.values())
                for at in (0, -1)
            )
            sys.stdout.write(f"| {name} | {verdict.sentence} | {one} | {many} |\n")


if __name__ == "__main__":
    main()
