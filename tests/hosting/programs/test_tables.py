"""Pipelines of words, gaps and numbers: their programs answer, and refuse, as scikit-learn does, to the byte.

`python tests/hosting/programs/table_sweep.py --count 10000` asks for more, and prints what compiles.
"""

import warnings
from typing import Any

import numpy as np
import pytest

from service.errors import NotCompilable
from service.hosting.runtimes.sklearn import SklearnModel
from tests.hosting.programs.table_sweep import asked_of, hold, pair_of
from tests.hosting.programs.tables import BRIEF, CASES, NOT_COMPILED, POSITIONS, fit

pytestmark = pytest.mark.filterwarnings("ignore")

_REASONS = r"a sparse matrix|no program|function of the model's own|holds other values"


@pytest.mark.parametrize("name", BRIEF)
def test_every_answer_and_refusal_is_the_one_of_the_model_as_it_was_loaded(name: str) -> None:
    pair = pair_of(name)
    counted = hold(pair, *asked_of(pair), count=12)
    assert not counted.differing, counted.example
    assert pair.verdict is not None
    assert bool(pair.verdict.compiled) is (name not in NOT_COMPILED), pair.verdict.sentence
    assert pair.verdict.compiled == () or counted.by_program > 2


@pytest.mark.parametrize("name", [name for name in {**CASES, **POSITIONS} if name not in BRIEF])
def test_programs_answer_as_the_estimator_does_to_rows_of_all_words_gaps_and_edges(name: str) -> None:
    model = SklearnModel(fit(name))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if name in NOT_COMPILED:
            with pytest.raises(NotCompilable, match=_REASONS):
                model.programs()
            return
        program = model.programs()["predict"]
        rows: Any = model.probes()
        np.testing.assert_array_equal(program(rows), model.method("predict")(rows))
        np.testing.assert_array_equal(program(rows[:1]), model.method("predict")(rows[:1]))
