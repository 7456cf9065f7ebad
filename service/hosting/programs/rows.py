"""Programs of what prepares rows for a model: scalers, selections, projections."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from service.errors import NotCompilable
from service.hosting.programs.agreement import Step
from service.hosting.programs.program import Methods, multiply, only_single


def _transform(step: Step) -> Methods:
    return {"transform": step}


def _standard_scaler(estimator: Any) -> Methods:
    mean = estimator.mean_ if estimator.with_mean else None
    scale = estimator.scale_ if estimator.with_std else None

    def transform(rows: Any) -> Any:
        rows = rows if mean is None else rows - mean
        return rows if scale is None else rows / scale

    return _transform(transform)


def _min_max_scaler(estimator: Any) -> Methods:
    scale, least = estimator.scale_, estimator.min_
    if estimator.clip:
        low, high = estimator.feature_range
        return _transform(lambda rows: np.clip(rows * scale + least, low, high))
    return _transform(lambda rows: rows * scale + least)


def _max_abs_scaler(estimator: Any) -> Methods:
    if getattr(estimator, "clip", False):
        raise NotCompilable("the MaxAbsScaler clips")
    scale = estimator.scale_
    return _transform(lambda rows: rows / scale)


def _robust_scaler(estimator: Any) -> Methods:
    centre = estimator.center_ if estimator.with_centering else None
    scale = estimator.scale_ if estimator.with_scaling else None

    def transform(rows: Any) -> Any:
        rows = rows if centre is None else rows - centre
        return rows if scale is None else rows / scale

    return _transform(transform)


def _imputer(estimator: Any) -> Methods:
    """Rows of a program have no gaps; columns without a single value were dropped when it was fitted."""
    if estimator.add_indicator or not _is_nan(estimator.missing_values):
        raise NotCompilable("the SimpleImputer marks gaps, or looks for other than nan")
    if np.isnan(np.asarray(estimator.statistics_, dtype=np.float64)).any():
        raise NotCompilable("the SimpleImputer drops columns")
    return _transform(lambda rows: rows)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and np.isnan(value)


def _selection(estimator: Any) -> Methods:
    chosen = estimator.get_support(indices=True)
    return _transform(lambda rows: only_single(rows)[..., chosen])


def _projection(estimator: Any) -> Methods:
    weights = estimator.components_.T
    offset = estimator.mean_.reshape(1, -1) @ weights
    scale: Any = None
    if estimator.whiten:
        scale = np.sqrt(estimator.explained_variance_)
        scale[scale < np.finfo(scale.dtype).eps] = np.finfo(scale.dtype).eps

    def transform(rows: Any) -> Any:
        projected = multiply(rows, weights)
        projected -= offset
        return projected if scale is None else projected / scale

    return _transform(transform)


def _truncated(estimator: Any) -> Methods:
    weights = estimator.components_.T
    return _transform(lambda rows: multiply(rows, weights))


def _function(estimator: Any) -> Methods:
    if estimator.func is not None:
        raise NotCompilable("the FunctionTransformer calls a function of the model's own")
    return _transform(lambda rows: rows)


SELECTORS = (
    *("VarianceThreshold", "SelectKBest", "SelectPercentile", "SelectFpr", "SelectFdr", "SelectFwe"),
    *("GenericUnivariateSelect", "SelectFromModel", "SequentialFeatureSelector"),
)

BUILDERS: Mapping[str, Callable[[Any], Methods]] = MappingProxyType(
    {
        "StandardScaler": _standard_scaler,
        "MinMaxScaler": _min_max_scaler,
        "MaxAbsScaler": _max_abs_scaler,
        "RobustScaler": _robust_scaler,
        "SimpleImputer": _imputer,
        "FunctionTransformer": _function,
        **dict.fromkeys(SELECTORS, _selection),
        "PCA": _projection,
        "IncrementalPCA": _projection,
        "TruncatedSVD": _truncated,
    }
)
