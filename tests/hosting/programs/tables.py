"""Pipelines over words, gaps and numbers, as people write them, whose programs are held against them."""

import warnings
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

NUMBERS = ["age", "income", "visits", "since"]
WORDS = ["city", "plan", "channel"]
COLUMNS = [*NUMBERS, *WORDS, "member"]


@cache
def training(rows: int = 400) -> Any:
    """Numbers with gaps, whole numbers, a date as a number, words with gaps and rare ones, truth values."""
    random = np.random.default_rng(0)
    age = abs(random.normal(40, 12, rows)).round(1)
    age[random.random(rows) < 0.1] = np.nan
    income = random.lognormal(10, 1, rows)
    income[random.random(rows) < 0.2] = np.nan
    city = random.choice(
        ["Berlin", "Rome", "Paris", "Łódź", "São Paulo"], rows, p=[0.5, 0.3, 0.1, 0.06, 0.04]
    )
    return pd.DataFrame(
        {
            "age": age,
            "income": income,
            "visits": random.integers(0, 9, rows),
            "since": random.integers(1_500_000_000, 1_760_000_000, rows),
            "city": city,
            "plan": random.choice(np.array(["free", "pro", None], dtype=object), rows, p=[0.6, 0.3, 0.1]),
            "channel": random.choice(np.array(["web", "shop", "10", None], dtype=object), rows),
            "member": random.random(rows) < 0.5,
        }
    )


def labels() -> Any:
    """What is to be told of each row of the training table."""
    table, random = training(), np.random.default_rng(1)
    score = table["age"].fillna(40) / 20 + (table["city"] == "Rome") + random.normal(size=len(table))
    return np.where(score > 2.6, "yes", "no")


def three() -> Any:
    """As `labels`, but three of them, which are numbers."""
    return np.random.default_rng(2).integers(0, 3, len(training()))


def numbers() -> Any:
    """Something to regress on."""
    return np.random.default_rng(3).normal(size=len(training())) + training()["visits"].to_numpy()


def _filled(strategy: str = "most_frequent", **how: Any) -> Any:
    return SimpleImputer(strategy=strategy, **how)


def _columns(words: Any, given: Any = None, **how: Any) -> Any:
    given = make_pipeline(_filled("median"), StandardScaler()) if given is None else given
    return make_column_transformer((given, NUMBERS), (words, WORDS), **how)


def _one_hot(**how: Any) -> Any:
    return make_pipeline(_filled(), OneHotEncoder(**{"handle_unknown": "ignore", **how}))


def _ordinal(**how: Any) -> Any:
    return OrdinalEncoder(**{"handle_unknown": "use_encoded_value", "unknown_value": -1, **how})


def _logistic() -> Any:
    return LogisticRegression(max_iter=200)


def _boosting(**how: Any) -> Any:
    return HistGradientBoostingClassifier(max_iter=10, random_state=0, **how)


def _of_positions() -> Any:
    return make_column_transformer(
        (make_pipeline(_filled("mean"), RobustScaler()), [0, 1]),
        (OneHotEncoder(handle_unknown="ignore"), slice(4, 7)),
        (_ordinal(), [7]),
        remainder="passthrough",
        sparse_threshold=0,
    )


Case = tuple[Callable[[], Any], Callable[[], Any]]
"""How to make an estimator, and what it learns."""

CASES: Mapping[str, Case] = MappingProxyType(
    {
        "one-hot + logistic": (lambda: make_pipeline(_columns(_one_hot()), _logistic()), labels),
        "one-hot + logistic of three": (lambda: make_pipeline(_columns(_one_hot()), _logistic()), three),
        "one-hot, sparse": (
            lambda: make_pipeline(_columns(_one_hot(), sparse_threshold=1.0), _logistic()),
            labels,
        ),
        "one-hot, sparse, of three": (
            lambda: make_pipeline(_columns(_one_hot(), sparse_threshold=1.0), _logistic()),
            three,
        ),
        "one-hot, sparse, ridge": (
            lambda: make_pipeline(_columns(_one_hot(), sparse_threshold=1.0), Ridge()),
            numbers,
        ),
        "one-hot, sparse, vectors": (
            lambda: make_pipeline(_columns(_one_hot(), sparse_threshold=1.0), SVC()),
            labels,
        ),
        "strict one-hot": (
            lambda: make_pipeline(_columns(OneHotEncoder(handle_unknown="error")), _logistic()),
            labels,
        ),
        "one-hot that drops": (
            lambda: make_pipeline(_columns(_one_hot(drop="first", sparse_output=False)), LinearSVC()),
            labels,
        ),
        "one-hot that drops of two": (
            lambda: make_pipeline(_columns(OneHotEncoder(drop="if_binary")), RidgeClassifier()),
            three,
        ),
        "rare words": (
            lambda: make_pipeline(
                _columns(OneHotEncoder(min_frequency=30, handle_unknown="infrequent_if_exist")), _logistic()
            ),
            labels,
        ),
        "few words": (
            lambda: make_pipeline(
                _columns(OneHotEncoder(max_categories=2, handle_unknown="warn")), _logistic()
            ),
            labels,
        ),
        "constant words": (
            lambda: make_pipeline(
                _columns(make_pipeline(_filled("constant", fill_value="none"), _one_hot())), _logistic()
            ),
            labels,
        ),
        "one-hot + boosting": (
            lambda: make_pipeline(_columns(_one_hot(sparse_output=False), "passthrough"), _boosting()),
            labels,
        ),
        "ordinal + boosting": (
            lambda: make_pipeline(_columns(_ordinal(), "passthrough"), _boosting()),
            three,
        ),
        "ordinal of gaps + boosting": (
            lambda: make_pipeline(
                _columns(_ordinal(unknown_value=np.nan, encoded_missing_value=-2), "passthrough"), _boosting()
            ),
            labels,
        ),
        "strict ordinal": (lambda: make_pipeline(_columns(OrdinalEncoder()), _boosting()), labels),
        "target": (
            lambda: make_pipeline(_columns(TargetEncoder(random_state=0)), _logistic()),
            labels,
        ),
        "target of three": (
            lambda: make_pipeline(_columns(TargetEncoder(random_state=0)), _logistic()),
            three,
        ),
        "marked gaps": (
            lambda: make_pipeline(
                _columns(_one_hot(), make_pipeline(_filled("mean", add_indicator=True), StandardScaler())),
                _logistic(),
            ),
            labels,
        ),
        "constant numbers": (
            lambda: make_pipeline(
                _columns(_one_hot(), make_pipeline(_filled("constant", fill_value=-1.0), MinMaxScaler())),
                RandomForestClassifier(10, random_state=0),
            ),
            labels,
        ),
        "frequent numbers": (
            lambda: make_pipeline(
                _columns(_one_hot(), make_pipeline(_filled(), MaxAbsScaler())), SGDClassifier(random_state=0)
            ),
            three,
        ),
        "bins": (
            lambda: make_pipeline(
                _columns(_one_hot(), make_pipeline(_filled("median"), KBinsDiscretizer(4))), _logistic()
            ),
            labels,
        ),
        "ordinal bins": (
            lambda: make_pipeline(
                _columns(
                    _one_hot(sparse_output=False),
                    make_pipeline(_filled("median"), KBinsDiscretizer(4, encode="ordinal")),
                ),
                DecisionTreeClassifier(max_depth=5, random_state=0),
            ),
            labels,
        ),
        "products": (
            lambda: make_pipeline(
                _columns(
                    _one_hot(),
                    make_pipeline(_filled("median"), StandardScaler(), PolynomialFeatures(3)),
                    sparse_threshold=0,
                ),
                _logistic(),
            ),
            labels,
        ),
        "products of pairs": (
            lambda: make_pipeline(
                _columns(
                    _one_hot(sparse_output=False),
                    make_pipeline(
                        _filled("mean"),
                        PolynomialFeatures((2, 3), interaction_only=True, include_bias=False),
                        StandardScaler(),
                    ),
                ),
                Ridge(),
            ),
            numbers,
        ),
        "logarithms": (
            lambda: make_pipeline(
                _columns(
                    _one_hot(),
                    make_pipeline(_filled("median"), FunctionTransformer(np.log1p), StandardScaler()),
                ),
                _logistic(),
            ),
            labels,
        ),
        "roots of gaps": (
            lambda: make_pipeline(
                _columns(
                    _one_hot(sparse_output=False),
                    make_pipeline(FunctionTransformer(np.sqrt), StandardScaler()),
                ),
                _boosting(),
            ),
            labels,
        ),
        "union": (
            lambda: make_pipeline(
                _columns(
                    _one_hot(sparse_output=False),
                    make_pipeline(_filled("median"), FeatureUnion([("a", StandardScaler()), ("b", PCA(2))])),
                ),
                _logistic(),
            ),
            labels,
        ),
        "union of everything": (
            lambda: make_pipeline(
                FeatureUnion(
                    [("a", _columns(_one_hot())), ("b", _columns(_ordinal(encoded_missing_value=-2)))]
                ),
                _logistic(),
            ),
            labels,
        ),
        "chosen columns": (
            lambda: make_pipeline(
                _columns(_one_hot(sparse_output=False)), SelectKBest(f_classif, k=5), _logistic()
            ),
            labels,
        ),
        "scaled behind": (
            lambda: make_pipeline(_columns(_one_hot()), StandardScaler(with_mean=False), _logistic()),
            labels,
        ),
        "sparse, scaled behind": (
            lambda: make_pipeline(
                _columns(_one_hot(), sparse_threshold=1.0), MaxAbsScaler(), LinearRegression()
            ),
            numbers,
        ),
        "singular values behind": (
            lambda: make_pipeline(
                _columns(_one_hot(), sparse_threshold=1.0), TruncatedSVD(3, random_state=0), _logistic()
            ),
            labels,
        ),
        "neighbours behind": (
            lambda: make_pipeline(_columns(_one_hot(sparse_output=False)), KNeighborsClassifier(3)),
            labels,
        ),
        "passed through": (
            lambda: make_pipeline(
                make_column_transformer((_one_hot(sparse_output=False), WORDS), remainder="passthrough"),
                _boosting(),
            ),
            labels,
        ),
        "dropped": (
            lambda: make_pipeline(make_column_transformer((_one_hot(), ["city"])), _logistic()),
            labels,
        ),
        "truth values": (
            lambda: make_pipeline(
                make_column_transformer(
                    (OneHotEncoder(drop="if_binary"), ["member"]), (_filled("mean"), ["age", "income"])
                ),
                _logistic(),
            ),
            labels,
        ),
        "numbers as words": (
            lambda: make_pipeline(
                make_column_transformer(
                    (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["visits", "city"]),
                    (_filled("mean"), ["age"]),
                ),
                _logistic(),
            ),
            labels,
        ),
        "words and numbers filled together": (
            lambda: make_pipeline(
                make_column_transformer(
                    (make_pipeline(_filled(), OneHotEncoder(handle_unknown="ignore")), ["visits", *WORDS])
                ),
                _logistic(),
            ),
            labels,
        ),
        "selected by type": (
            lambda: make_pipeline(
                ColumnTransformer(
                    [
                        (
                            "n",
                            make_pipeline(_filled("mean"), StandardScaler()),
                            make_column_selector("age|income|visits"),
                        ),
                        ("w", _one_hot(), ["city", "plan"]),
                    ]
                ),
                _logistic(),
            ),
            labels,
        ),
        "nested": (
            lambda: make_pipeline(
                make_column_transformer(
                    (make_pipeline(_columns(_one_hot(), sparse_threshold=0), StandardScaler()), COLUMNS[:7])
                ),
                _logistic(),
            ),
            labels,
        ),
        "frames on the way": (
            lambda: make_pipeline(
                _columns(_one_hot(sparse_output=False)).set_output(transform="pandas"), _logistic()
            ),
            labels,
        ),
        "searched": (
            lambda: GridSearchCV(
                make_pipeline(_columns(_one_hot()), _logistic()), {"logisticregression__C": [0.1, 1.0]}, cv=2
            ),
            labels,
        ),
        "numbers alone": (
            lambda: make_pipeline(
                make_column_transformer((make_pipeline(_filled("mean"), StandardScaler()), NUMBERS)),
                _logistic(),
            ),
            labels,
        ),
        "neighbours fill gaps": (
            lambda: make_pipeline(_columns(_one_hot(), make_pipeline(KNNImputer())), _logistic()),
            labels,
        ),
        "quantiles": (
            lambda: make_pipeline(
                _columns(_one_hot(), make_pipeline(_filled("median"), QuantileTransformer(n_quantiles=20))),
                _logistic(),
            ),
            labels,
        ),
        "a function of one's own": (
            lambda: make_pipeline(_columns(_one_hot(), FunctionTransformer(_doubled)), _boosting()),
            labels,
        ),
    }
)

POSITIONS: Mapping[str, Case] = MappingProxyType(
    {
        "positions + boosting": (lambda: make_pipeline(_of_positions(), _boosting()), labels),
        "positions + ordinal of all": (
            lambda: make_pipeline(_ordinal(), DecisionTreeClassifier(max_depth=4, random_state=0)),
            three,
        ),
        "gaps of numbers": (lambda: make_pipeline(_filled("mean"), StandardScaler(), _logistic()), labels),
    }
)
"""Fitted on arrays, without names."""

BRIEF = (
    *("one-hot + logistic", "one-hot, sparse, of three", "strict one-hot", "ordinal + boosting", "target"),
    *("products", "neighbours behind", "truth values", "positions + boosting", "quantiles"),
)
"""Those that are tried each time."""

NOT_COMPILED = frozenset(
    {"singular values behind", "neighbours fill gaps", "quantiles", "a function of one's own"}
    | {"positions + ordinal of all"}
)


def _doubled(table: Any) -> Any:
    return table * 2


@cache
def fit(name: str) -> Any:
    """A pipeline, fitted, once; not to be changed."""
    make, answers = {**CASES, **POSITIONS}[name]
    table: Any = training()
    if name in POSITIONS:
        table = table.to_numpy()[:, :7] if name != "gaps of numbers" else table[NUMBERS].to_numpy(dtype=float)
        table = np.column_stack([table, training()["plan"]]) if name != "gaps of numbers" else table
    elif name == "numbers alone":
        table = table[NUMBERS]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make().fit(table, answers())
