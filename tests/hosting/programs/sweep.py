"""Every estimator of scikit-learn that can be fitted and served, and what compiling and joining make of it.

Run as a program it serves each, by a real host, and holds the bytes of joined calls against scikit-learn's
answer to each request alone. It prints a table, and fails where one differs:

    python tests/hosting/programs/sweep.py --rows 200 --groupings 20
"""

import argparse
import asyncio
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent.parent))

from scipy.stats import mstats
from sklearn.base import OutlierMixin
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification, make_regression
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, QuantileTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators

from service.hosting.programs.compiled import Verdict, compile_model
from service.hosting.runtimes.sklearn import SklearnModel
from tests.hosting.programs.alone import Outcome, Served, hold_against_alone

FEATURES = 6
KINDS = ("classifier", "regressor", "transformer", "cluster", "outlier", "composed")
_AROUND = frozenset(
    {"ClassifierChain", "FixedThresholdClassifier", "MultiOutputClassifier", "OneVsOneClassifier"}
    | {"OneVsRestClassifier", "OutputCodeClassifier", "SelfTrainingClassifier", "TunedThresholdClassifierCV"}
)
_AROUND_TRANSFORMERS = frozenset({"RFE", "RFECV", "SelectFromModel", "SequentialFeatureSelector"})
_COUNTS = frozenset(
    {"CategoricalNB", "ComplementNB", "MultinomialNB", "LatentDirichletAllocation", "NMF"}
) | {
    "MiniBatchNMF",
    "AdditiveChi2Sampler",
    "SkewedChi2Sampler",
}
_POSITIVE = frozenset({"GammaRegressor", "PoissonRegressor", "TweedieRegressor"})
_SMALLER = {"n_estimators": 12, "max_iter": 60, "random_state": 0, "n_components": 1, "reg_param": 0.1}


def _classes(count: int, rows: int = 150) -> tuple[Any, Any]:
    given, labels = make_classification(
        rows,
        FEATURES,
        n_informative=5,
        n_redundant=1,
        n_classes=count,
        n_clusters_per_class=1,
        random_state=0,
    )
    return given, labels


def _numbers() -> tuple[Any, Any]:
    rows, answers = make_regression(150, FEATURES, noise=3.0, random_state=0)
    return rows, answers


class Doubting(LogisticRegression):  # type: ignore[misc]  # scikit-learn has no types
    """A class of somebody's own, which looks at all rows at once."""

    def predict(self, X: Any) -> Any:
        """As usual, but for the row with the largest sum."""
        labels = super().predict(X)
        labels[np.asarray(X).sum(axis=1).argmax()] = self.classes_[0]
        return labels


def _soft_vote() -> Any:
    return VotingClassifier(
        [("a", LogisticRegression()), ("b", DecisionTreeClassifier(random_state=0))], voting="soft"
    )


def _votes(count: int) -> Any:
    return VotingRegressor([(f"m{number}", Ridge(10.0**number)) for number in range(count)])


def _of_columns() -> Any:
    return ColumnTransformer([("a", StandardScaler(), [0, 1, 2]), ("b", KBinsDiscretizer(3), slice(3, 5))])


_COMPOSED: dict[str, Callable[[], Any]] = {
    "scaler + logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression()).fit(*_classes(3)),
    "logistic of two": lambda: LogisticRegression().fit(*_classes(2)),
    "logistic of ten": lambda: LogisticRegression(max_iter=500).fit(*_classes(10, 400)),
    "PCA + logistic": lambda: make_pipeline(PCA(3), LogisticRegression()).fit(*_classes(3)),
    "choice + logistic": lambda: make_pipeline(SelectKBest(k=3), LogisticRegression()).fit(*_classes(3)),
    "union + logistic": lambda: make_pipeline(
        FeatureUnion([("a", PCA(2)), ("b", StandardScaler())]), LogisticRegression()
    ).fit(*_classes(3)),
    "columns + forest": lambda: make_pipeline(_of_columns(), RandomForestClassifier(9, random_state=0)).fit(
        *_classes(3)
    ),
    "gaps + scaler + forest": lambda: make_pipeline(
        SimpleImputer(), StandardScaler(), RandomForestClassifier(9, random_state=0)
    ).fit(*_classes(3)),
    "scaler of tiny + tree": lambda: make_pipeline(
        StandardScaler(), DecisionTreeClassifier(random_state=0)
    ).fit(_classes(3)[0] * 1e-3, _classes(3)[1]),
    "PCA + forest": lambda: make_pipeline(PCA(3), RandomForestRegressor(9, random_state=0)).fit(*_numbers()),
    "winsorize + tree": lambda: make_pipeline(
        FunctionTransformer(mstats.winsorize, kw_args={"limits": 0.05, "axis": 0}),
        DecisionTreeClassifier(random_state=0),
    ).fit(*_classes(3)),
    "quantiles + ridge": lambda: make_pipeline(QuantileTransformer(n_quantiles=20), Ridge()).fit(*_numbers()),
    "a class of one's own": lambda: Doubting().fit(*_classes(3)),
    "threads of its own": lambda: RandomForestRegressor(25, n_jobs=-1, random_state=0).fit(*_numbers()),
    "boosting of ten": lambda: HistGradientBoostingClassifier(max_iter=4, random_state=0).fit(
        *_classes(10, 400)
    ),
    "slow boosting of ten": lambda: GradientBoostingClassifier(n_estimators=3, random_state=0).fit(
        *_classes(10, 400)
    ),
    "several numbers": lambda: LinearRegression().fit(_numbers()[0], _numbers()[0][:, :3] * 2),
    "soft vote": lambda: _soft_vote().fit(*_classes(3)),
    "vote of ten": lambda: _votes(10).fit(*_numbers()),
    "vote of three": lambda: _votes(3).fit(*_numbers()),
    "bagged logistic": lambda: BaggingClassifier(LogisticRegression(), 5, random_state=0).fit(*_classes(3)),
    "bagged trees": lambda: BaggingClassifier(n_estimators=5, max_features=0.5, random_state=0).fit(
        *_classes(3)
    ),
    "stack": lambda: StackingClassifier([("a", LogisticRegression()), ("b", SVC())]).fit(*_classes(3)),
    "search": lambda: GridSearchCV(SVC(), {"C": [1.0, 10.0]}, cv=2).fit(*_classes(3)),
    "network of two": lambda: MLPClassifier(9, max_iter=9, random_state=0).fit(*_classes(2)),
    "network of tanh": lambda: MLPRegressor(
        hidden_layer_sizes=(9, 5), activation="tanh", max_iter=9, random_state=0
    ).fit(*_numbers()),
    "neighbours, brute force": lambda: KNeighborsClassifier(algorithm="brute").fit(*_classes(3)),
    "labels that are words": lambda: LogisticRegression().fit(
        _classes(3)[0], np.array(["no", "yes", "a,b"])[_classes(3)[1]]
    ),
}


def names(kind: str) -> list[str]:
    """The names of all estimators of a kind: scikit-learn's own, and some that are made of others."""
    if kind == "composed":
        return list(_COMPOSED)
    return list(_of_kind(kind))


@cache  # scikit-learn goes through all of its modules for each list
def _of_kind(kind: str) -> dict[str, Any]:
    if kind == "outlier":
        return {name: each for name, each in all_estimators() if issubclass(each, OutlierMixin)}
    others = {name for name, _ in all_estimators(type_filter=["classifier", "regressor"])}
    found = dict(all_estimators(type_filter=kind))
    if kind in ("transformer", "cluster"):
        return {
            name: each
            for name, each in found.items()
            if name not in others
            and not name.endswith("Vectorizer")  # takes texts, and numbers as such: nothing here is joined
            and callable(getattr(each, "predict", getattr(each, "transform", None)))
        }
    return found


@cache
def fit(kind: str, name: str) -> Any:
    """A small one, fitted, once; not to be changed. Raises Exception if it cannot be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "composed":
            return _COMPOSED[name]()
        return _fit(kind, name)


def _fit(kind: str, name: str) -> Any:
    estimator = _make(name, _of_kind(kind)[name])
    known = estimator.get_params(deep=False)
    smaller = {key: value for key, value in _SMALLER.items() if key in known}
    if kind in ("transformer", "cluster") and "n_components" in known and not name.startswith("Linear"):
        smaller |= {"n_components": 2}
    estimator.set_params(**smaller)
    if kind == "regressor":
        rows, answers = make_regression(150, FEATURES, noise=3.0, random_state=0)
        answers = abs(answers) + 1 if name in _POSITIVE else answers
    else:
        rows, answers = make_classification(150, FEATURES, n_informative=4, n_classes=3, random_state=0)
        answers = answers if name not in _TWO_CLASSES else (answers > 0).astype(int)
    if name in _COUNTS:
        rows = abs(rows).round()
    if name.startswith("MultiTask") or name in _SEVERAL_ANSWERS:
        answers = np.column_stack([answers, -answers] if kind == "regressor" else [answers > 0, answers > 1])
    if name in ("CCA", "PLSCanonical"):
        answers = np.column_stack([answers])
    if name == "IsotonicRegression":
        rows = rows[:, :1]
    if name in ("LabelBinarizer", "LabelEncoder"):
        return estimator.fit(answers)
    return estimator.fit(rows, answers)


_SEVERAL_ANSWERS = frozenset(
    {"MultiOutputRegressor", "RegressorChain", "MultiOutputClassifier", "ClassifierChain", "PLSSVD"}
)
_TWO_CLASSES = frozenset({"FixedThresholdClassifier", "TunedThresholdClassifierCV"})


def _make(name: str, kind: Any) -> Any:
    if name in ("StackingClassifier", "VotingClassifier"):
        return kind([("a", LogisticRegression()), ("b", DecisionTreeClassifier(random_state=0))])
    if name in ("StackingRegressor", "VotingRegressor"):
        return kind([("a", Ridge()), ("b", Ridge(10.0))])
    if name in _AROUND or name in _AROUND_TRANSFORMERS:
        return kind(LogisticRegression())
    if name == "ColumnTransformer":
        return kind([("a", StandardScaler(), [0, 1])], remainder="passthrough")
    if name == "FeatureUnion":
        return kind([("a", StandardScaler()), ("b", PCA(2))])
    if name == "SparseCoder":
        return kind(np.eye(FEATURES))
    if name == "LocalOutlierFactor":
        return kind(novelty=True)
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


def _line(kind: str, name: str, served: Served | None, outcome: Outcome | str) -> str:
    if isinstance(outcome, str) or served is None:
        return f"| {name} | {kind} | not served: {str(outcome)[:60]} | | | |\n"
    verdict = served.verdict
    joined = "; ".join(f"{method}: {way.value}" for method, way in verdict.joins.items()) or "no"
    why = "; ".join(verdict.reasons)[:90] if len(verdict.joins) < outcome.methods else ""
    compiled = ", ".join(verdict.compiled) or "no"
    return f"| {name} | {kind} | {compiled} | {joined} | {why} | {outcome.compared} | {outcome.differing} |\n"


async def _sweep(rows: int, groupings: int, wanted: frozenset[str]) -> int:
    differing = 0
    sys.stdout.write(
        "| estimator | kind | compiled | joined | why not | answers compared | differing |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
    )
    cases = [(kind, name) for kind in KINDS for name in names(kind) if not wanted or name in wanted]
    for kind, name in cases:
        served: Served | None = None
        outcome: Outcome | str = ""
        with tempfile.TemporaryDirectory() as folder:
            try:
                estimator = fit(kind, name)
                served = await Served.of(Path(folder), estimator)
            except Exception as error:
                outcome = f"{type(error).__name__}: {error}".partition("\n")[0]
            if served is not None:
                outcome = await hold_against_alone(served, estimator, rows, groupings)
                differing += outcome.differing
                await served.close()
        sys.stdout.write(_line(kind, name, served, outcome))
        sys.stdout.flush()
        if isinstance(outcome, Outcome) and outcome.example:
            sys.stdout.write(f"    {outcome.example}\n")
    sys.stdout.write(f"\n{differing} answers differ from those alone\n")
    return differing


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description="Hold joined answers against those alone, for every estimator."
    )
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--groupings", type=int, default=20)
    parser.add_argument("names", nargs="*", help="only these estimators")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    sys.exit(min(1, asyncio.run(_sweep(given.rows, given.groupings, frozenset(given.names)))))


if __name__ == "__main__":
    main()
