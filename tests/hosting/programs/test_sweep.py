"""All estimators of scikit-learn that can be served: each answers as scikit-learn does, to each call alone.

Before and after it is compiled, joined with others or not; `python tests/hosting/programs/sweep.py` tries on.
"""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import ModelFault
from service.hosting.runtimes.sklearn import SklearnModel
from service.media.codec import Accept
from tests.hosting.programs.alone import Served, hold_against_alone
from tests.hosting.programs.sweep import KINDS, fit, names, rows_to_serve

pytestmark = pytest.mark.filterwarnings("ignore")

_CASES = [(kind, name) for kind in KINDS for name in names(kind)]
_LEAST_COMPILED = 60
"""Of about a hundred; fewer means that a new scikit-learn moved what programs read."""
_ROWS = 48
HANG_S = 120.0


@pytest.mark.parametrize(("kind", "name"), _CASES, ids=[f"{kind}-{name}" for kind, name in _CASES])
def test_a_callers_bytes_are_scikit_learns_whoever_else_calls(kind: str, name: str, tmp_path: Path) -> None:
    asyncio.run(asyncio.wait_for(_serve(kind, name, tmp_path), HANG_S))


async def _serve(kind: str, name: str, folder: Path) -> None:
    try:
        estimator = fit(kind, name)
        served = await Served.of(folder, estimator)
    except Exception as error:
        pytest.skip(f"cannot be fitted or served here: {error}")
    try:
        outcome = await hold_against_alone(served, estimator, _ROWS, 1)
        assert outcome.differing == 0, outcome.example
        assert outcome.compared >= _ROWS
        _answers_other_rows(served)
    finally:
        await served.close()


def _answers_other_rows(served: Served) -> None:
    plain = SklearnModel(served.estimator)
    if plain.features is None or served.verdict.compiled == ():
        return
    for output in ("predicted_label", "probabilities"):
        accept = Accept("application/json", (output,))
        for rows in rows_to_serve(1):
            found = _outcome(served.entry.model.predictor, rows, accept)
            _assert_same(found, _outcome(plain, rows, accept))


def _assert_same(found: Any, right: Any) -> None:
    if isinstance(right, np.ndarray):
        assert isinstance(found, np.ndarray), found
        assert (found.dtype, found.shape) == (right.dtype, right.shape)
        np.testing.assert_array_equal(found, right)
    else:
        assert found == right


def _outcome(model: SklearnModel, rows: Any, accept: Accept) -> Any:
    """The prediction, or the fault as a text."""
    try:
        return model.predict(rows, accept)
    except ModelFault as fault:
        return f"{type(fault).__name__}: {fault.message}"


def test_most_of_them_have_programs() -> None:
    cases = [(kind, name) for kind in ("classifier", "regressor") for name in names(kind)]
    assert sum(_has_programs(*case) for case in cases) >= _LEAST_COMPILED


def _has_programs(kind: str, name: str) -> bool:
    try:
        return bool(SklearnModel(fit(kind, name)).programs())
    except Exception:  # not fitted, as above, or no program
        return False
