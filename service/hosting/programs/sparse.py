"""Programs of linear models behind steps that make sparse matrices, as encoders do by default.

Here their rows are dense all the same, and multiplied by the very function that multiplies sparse ones.
"""

from typing import Any

import numpy as np

from service.errors import NotCompilable
from service.hosting.programs.agreement import Step
from service.hosting.programs.linear import HEADS
from service.hosting.programs.program import Methods


def build(estimator: Any) -> Methods:
    """Programs of a linear model whose rows scikit-learn has as a sparse matrix. Raises NotCompilable."""
    head = HEADS.get(type(estimator).__name__)
    if head is None or type(estimator).__module__.partition(".")[0] != "sklearn":
        raise NotCompilable(f"there is no program for {type(estimator).__name__} of sparse rows")
    try:
        methods = head(estimator, _scores(estimator))
    except (AttributeError, TypeError, ValueError, ImportError) as error:
        raise NotCompilable(f"{type(estimator).__name__} is not as expected: {error}") from error
    return {name: step for name, step in methods.items() if hasattr(estimator, name)}


def _scores(estimator: Any) -> Step:
    """It adds up column by column; zeros, which are here and not there, change no sum that begins with 0."""
    from scipy.sparse._sparsetools import csr_matvec, csr_matvecs

    if hasattr(estimator.coef_, "toarray") or not np.isfinite(estimator.coef_).all():
        raise NotCompilable("the coefficients are sparse, or not finite")
    flat = estimator.coef_.ndim == 1
    weights = np.atleast_2d(np.asarray(estimator.coef_, dtype=np.float64))
    outputs, width = weights.shape
    given = np.ascontiguousarray(weights.T).ravel()
    offset = estimator.intercept_

    def places(count: int) -> Any:
        ends = np.arange(0, (count + 1) * width, width, dtype=np.int32)
        return ends, np.resize(np.arange(width, dtype=np.int32), count * width)

    for_one = places(1)

    def scores(rows: Any) -> Any:
        count = rows.size // width
        ends, columns = for_one if count == 1 else places(count)
        found = np.zeros((count, outputs))
        cells = np.ascontiguousarray(rows).ravel()
        if outputs == 1:
            csr_matvec(count, width, ends, columns, cells, given, found.reshape(-1))
        else:
            csr_matvecs(count, width, outputs, ends, columns, cells, given, found.reshape(-1))
        return found.reshape(rows.shape[:-1] if flat else (*rows.shape[:-1], outputs)) + offset

    return scores
