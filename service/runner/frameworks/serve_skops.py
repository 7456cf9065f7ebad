"""Models that skops wrote, which hold no code: only objects of the classes below are made."""

from __future__ import annotations

import os
from typing import Any

from _sagebird_frameworks import Refusal, library, model_files, unreadable

_TRUSTED = frozenset(
    {
        *("collections.OrderedDict", "collections.defaultdict", "numpy.dtype", "numpy.mean"),
        *("scipy.interpolate._bsplines.BSpline", "scipy._lib.array_api_compat.numpy._aliases.asarray"),
        *(f"scipy.sparse._cs{kind}.cs{kind}_{shape}" for kind in "rc" for shape in ("matrix", "array")),
        *("sklearn.calibration._CalibratedClassifier", "sklearn.calibration._SigmoidCalibration"),
        *("sklearn.cluster._bisect_k_means._BisectingTree", "sklearn.cluster._kmeans._kmeans_single_lloyd"),
        *("sklearn.neighbors._kd_tree.KDTree", "sklearn.neighbors._ball_tree.BallTree"),
        *("sklearn.tree._tree.Tree", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"),
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        *("xgboost.core.Booster", "xgboost.sklearn.XGBClassifier", "xgboost.sklearn.XGBRegressor"),
        *("lightgbm.basic.Booster", "lightgbm.sklearn.LGBMClassifier", "lightgbm.sklearn.LGBMRegressor"),
    }
)
"""What is trusted beside what skops itself trusts, such as the estimators of scikit-learn.

None of it runs code that a file brings. A tree that was tampered with may crash its process, which is the
model's own.
"""

_TRUSTED_MODULES = frozenset(
    {
        "sklearn._loss.loss",
        "sklearn.feature_selection._univariate_selection",
        "sklearn.gaussian_process.kernels",
        "sklearn.metrics._dist_metrics",
        "sklearn.neural_network._stochastic_optimizers",
    }
)
"""Modules that hold nothing but sums and parameters."""


def load_skops(path: str) -> Any:
    """The estimator in a file. Raises Refusal for objects of any other class."""
    skops = library("skops.io", path, "skops")
    try:
        named = set(skops.get_untrusted_types(file=path))
        unknown = sorted(name for name in named - _TRUSTED if name.rpartition(".")[0] not in _TRUSTED_MODULES)
        if not unknown:
            return skops.load(path, trusted=sorted(named))
    except Exception as error:
        raise unreadable(path, "skops", error) from error
    raise Refusal(
        f"{os.path.basename(path)} holds {', '.join(unknown[:8])}, which sagebird does not trust: if you do, "
        "load it in a code/inference.py, by skops.io.load(file, trusted=[...]) in its model_fn",
        500,
    )


def model_fn(model_dir: str) -> Any:
    """Load the model's file."""
    return load_skops(model_files(model_dir)[0])
