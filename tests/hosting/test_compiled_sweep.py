"""All classifiers and regressors of scikit-learn: served, they answer as scikit-learn does."""

from typing import Any

import numpy as np
import pytest

from service.errors import ModelFault
from service.hosting.codec import Accept
from service.hosting.flavours.sklearn import SklearnModel
from tests.hosting.sweep import compile_fresh, fit, names, rows_to_serve

pytestmark = pytest.mark.filterwarnings("ignore")

_CASES = [(kind, name) for kind in ("classifier", "regressor") for name in names(kind)]
_LEAST_COMPILED = 60
"""Of about a hundred; fewer means that a new scikit-learn moved what programs read."""


@pytest.mark.parametrize(("kind", "name"), _CASES, ids=[name for _, name in _CASES])
def test_what_is_served_is_what_scikit_learn_answers(kind: str, name: str) -> None:
    try:
        estimator = fit(kind, name)
    except Exception as error:
        pytest.skip(f"cannot be fitted here: {error}")
    model, verdict = compile_fresh(estimator)
    plain = SklearnModel(estimator)
    assert verdict.compiled or verdict.reasons
    for output in ("predicted_label", "probabilities"):
        accept = Accept("application/json", (output,))
        for rows in rows_to_serve(1):
            assert_same(_outcome(model, rows, accept), _outcome(plain, rows, accept))


def assert_same(found: Any, right: Any) -> None:
    if isinstance(right, list):  # a multi-output predict_proba
        assert isinstance(found, list)
        for one, other in zip(found, right, strict=True):
            assert_same(one, other)
    elif not isinstance(right, np.ndarray):
        assert found == right
    else:
        assert isinstance(found, np.ndarray), found
        assert (found.dtype, found.shape) == (right.dtype, right.shape)
        if right.dtype.kind == "f":
            np.testing.assert_allclose(found, right, rtol=1e-6, atol=1e-6)
        else:
            np.testing.assert_array_equal(found, right)


def _outcome(model: SklearnModel, rows: Any, accept: Accept) -> Any:
    """The prediction, or the fault as a text."""
    try:
        return model.predict(rows, accept)
    except ModelFault as fault:
        return f"{type(fault).__name__}: {fault.message}"


def test_most_of_them_have_programs() -> None:
    assert sum(_has_programs(*case) for case in _CASES) >= _LEAST_COMPILED


def _has_programs(kind: str, name: str) -> bool:
    try:
        return bool(SklearnModel(fit(kind, name)).programs())
    except Exception:  # not fitted, as above, or no program
        return False
