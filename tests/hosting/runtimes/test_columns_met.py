"""What is known of a column of which several steps of a pipeline tell."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from service.hosting.runtimes.columns import (
    ANY,
    DType,
    FittedColumn,
    _deciding,
    _met,
    _of_imputer,
    _of_transformer,
)

WORD, TEXT, NUMBER = (FittedColumn(kind) for kind in (DType.WORD, DType.TEXT, DType.NUMBER))


@pytest.mark.parametrize(
    ("first", "second", "met"),
    [
        (ANY, WORD, WORD),
        (FittedColumn(DType.UNUSED), NUMBER, NUMBER),
        (WORD, TEXT, WORD),
        (WORD, NUMBER, ANY),
        (FittedColumn(DType.WORD, gaps=True), WORD, FittedColumn(DType.WORD, gaps=True)),
        (
            FittedColumn(DType.WORD, frozenset("a"), strict=True),
            FittedColumn(DType.WORD, frozenset("b")),
            FittedColumn(DType.WORD, frozenset("ab"), strict=True),
        ),
    ],
)
def test_two_steps_that_tell_of_one_column(first: Any, second: Any, met: Any) -> None:
    assert _met(first, second) == met


def test_an_imputer_tells_as_much_as_it_was_fitted_on() -> None:
    words = SimpleNamespace(_fit_dtype=np.dtype(object), statistics_=["a", 1.0])
    assert _of_imputer(words, 2, ANY) == [FittedColumn(DType.WORD, gaps=True), NUMBER]
    assert _of_imputer(words, 3, ANY) == [ANY] * 3
    assert _of_imputer(words, 2, NUMBER) == [ANY] * 2
    assert _of_imputer(SimpleNamespace(), 2, ANY) == [NUMBER] * 2


def test_what_was_not_fitted_tells_nothing() -> None:
    assert _of_transformer(SimpleNamespace(), 2, NUMBER) == [ANY, ANY]


def test_steps_that_pass_everything_on_decide_nothing() -> None:
    first, last = FunctionTransformer(), SimpleNamespace()
    steps = Pipeline([("a", "passthrough"), ("b", None), ("c", first), ("d", last)])
    assert next(iter(_deciding(steps))) is first
