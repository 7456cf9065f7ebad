"""Which estimators answer each row by itself: known by their classes, part by part, and not by trying.

Calls of such a model may be put together in any way. The table names classes of scikit-learn whose methods
walk through rows one by one, or treat each number by itself. What multiplies matrices is not in it, since
sums then depend on how many rows there are; nor what looks at all rows at once, what draws random numbers,
or what runs functions of the model's own. A class that is not in the table is a stranger, and so is a
subclass.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

_METHODS = ("predict", "predict_proba", "decision_function", "transform")


class _Unknown(Exception):
    """The parts of an estimator are not known to answer row by row."""


def is_row_wise(estimator: Any) -> bool:
    """Whether each row's answer is its own, whichever rows are beside it."""
    kind = type(estimator)
    parts = _TABLE.get(kind.__name__)
    if parts is None or kind.__module__.partition(".")[0] != "sklearn":
        return False
    if any(name in vars(estimator) for name in _METHODS):  # put there by somebody
        return False
    try:
        return all(is_row_wise(part) for part in parts(estimator))
    except (
        _Unknown,
        AttributeError,
        TypeError,
        ValueError,
    ):  # another version of scikit-learn, or not fitted
        return False


def _none(_estimator: Any) -> Iterable[Any]:
    return ()


def _if(condition: Callable[[Any], bool]) -> Callable[[Any], Iterable[Any]]:
    def parts(estimator: Any) -> Iterable[Any]:
        if not condition(estimator):
            raise _Unknown
        return ()

    return parts


def _steps(estimator: Any) -> Iterable[Any]:
    return [step for _, step in estimator.steps if step is not None and step != "passthrough"]


def _columns(estimator: Any) -> Iterable[Any]:
    return [part for _, part, _ in estimator.transformers_ if not isinstance(part, str)]


def _union(estimator: Any) -> Iterable[Any]:
    return [part for _, part in estimator.transformer_list if not isinstance(part, str)]


def _members(estimator: Any) -> Iterable[Any]:
    return list(estimator.estimators_)


def _stack(estimator: Any) -> Iterable[Any]:
    return [*estimator.estimators_, estimator.final_estimator_]


def _boosted(estimator: Any) -> Iterable[Any]:
    return () if isinstance(estimator.init_, str) else [estimator.init_]


def _chosen(estimator: Any) -> Iterable[Any]:
    """A model around those columns that it chose, or only the choice."""
    return [estimator.estimator_] if hasattr(estimator, "predict") else ()


def _has_plain_kernel(estimator: Any) -> bool:
    return not callable(estimator.kernel) and estimator.kernel != "precomputed" and not estimator._sparse


def _walks_a_tree(estimator: Any) -> bool:
    """Whether neighbours are looked for in a tree; otherwise by products of matrices."""
    known = not callable(estimator.weights) and not callable(estimator.effective_metric_)
    return known and estimator._fit_method in ("kd_tree", "ball_tree")


_TABLE: Mapping[str, Callable[[Any], Iterable[Any]]] = MappingProxyType(
    {
        # Trees, and what adds up or counts what they say.
        **dict.fromkeys(
            (
                *(
                    "DecisionTreeClassifier",
                    "DecisionTreeRegressor",
                    "ExtraTreeClassifier",
                    "ExtraTreeRegressor",
                ),
                *("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier"),
                *("ExtraTreesRegressor", "HistGradientBoostingClassifier", "HistGradientBoostingRegressor"),
            ),
            _none,
        ),
        "GradientBoostingClassifier": _boosted,
        "GradientBoostingRegressor": _boosted,
        # One vector machine evaluates row by row in C, one search through a tree as well.
        **dict.fromkeys(("SVC", "NuSVC", "SVR", "NuSVR", "OneClassSVM"), _if(_has_plain_kernel)),
        "KNeighborsClassifier": _if(_walks_a_tree),
        "KNeighborsRegressor": _if(_walks_a_tree),
        # Always the same.
        "DummyClassifier": _if(
            lambda estimator: estimator._strategy in ("most_frequent", "prior", "constant")
        ),
        "DummyRegressor": _none,
        # Each number by itself, or by its column.
        **dict.fromkeys(
            (
                *("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler", "Binarizer"),
                *("SimpleImputer", "OrdinalEncoder", "OneHotEncoder"),
                *("VarianceThreshold", "SelectKBest", "SelectPercentile", "SelectFpr", "SelectFdr"),
                *("SelectFwe", "GenericUnivariateSelect", "SelectFromModel", "SequentialFeatureSelector"),
            ),
            _none,
        ),
        "FunctionTransformer": _if(lambda estimator: estimator.func is None),
        "RFE": _chosen,
        "RFECV": _chosen,
        # Made of others.
        "Pipeline": _steps,
        "ColumnTransformer": _columns,
        "FeatureUnion": _union,
        **dict.fromkeys(
            ("GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV"),
            lambda estimator: [estimator.best_estimator_],
        ),
        **dict.fromkeys(
            (
                *("VotingClassifier", "VotingRegressor", "BaggingClassifier", "BaggingRegressor"),
                *("AdaBoostClassifier", "AdaBoostRegressor", "MultiOutputRegressor", "MultiOutputClassifier"),
            ),
            _members,
        ),
        "StackingClassifier": _stack,
        "StackingRegressor": _stack,
        "RANSACRegressor": lambda estimator: [estimator.estimator_],
    }
)
