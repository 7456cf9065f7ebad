"""How often estimators are asked, and that programs are held against them all the same."""

import numpy as np
import pytest

from service.hosting.programs.agreement import CHECKED, Disagreement, ProgramCheck, check
from service.media.readers import Matrix

_ROWS = np.arange(800.0).reshape(200, 4)


class _Sums:
    """A method that answers each row by itself, and counts how often it is called."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, rows: Matrix) -> Matrix:
        self.calls += 1
        return np.asarray(rows.sum(axis=1))


def test_a_method_that_answers_row_by_row_is_called_at_both_ends_for_each_number_of_rows() -> None:
    method, program = _Sums(), _Sums()

    check("predict", method, program, _ROWS, row_wise=True)

    assert method.calls == 1 + sum(min(times, 2) for _, times in CHECKED)
    assert program.calls == 1 + sum(times for _, times in CHECKED)


def test_any_other_method_is_called_as_often_as_the_program() -> None:
    method, program = _Sums(), _Sums()

    check("predict", method, program, _ROWS)

    assert method.calls == program.calls


@pytest.mark.parametrize("row_wise", [True, False])
@pytest.mark.parametrize("size", [size for size, _ in CHECKED])
def test_a_program_that_is_wrong_for_one_number_of_rows_is_found(size: int, row_wise: bool) -> None:
    def program(rows: Matrix) -> Matrix:
        return np.asarray(rows.sum(axis=1) + (len(rows) == size))

    with pytest.raises(Disagreement, match="disagrees, for example on the row"):
        check("predict", _Sums(), program, _ROWS, row_wise=row_wise)


def test_a_program_that_is_wrong_for_a_row_by_itself_is_found_where_the_method_is_not_asked() -> None:
    asked: list[float] = []

    def method(rows: Matrix) -> Matrix:
        if len(rows) == 1:
            asked.append(float(rows[0, 0]))
        return np.asarray(rows.sum(axis=1))

    def program(rows: Matrix) -> Matrix:
        return np.asarray(rows.sum(axis=1) + (len(rows) == 1 and 0 < rows[0, 0] < _ROWS[-1, 0]))

    with pytest.raises(Disagreement):
        check("predict", method, program, _ROWS, row_wise=True)
    assert asked == [_ROWS[0, 0]]


@pytest.mark.parametrize("row", [0, -1])
def test_a_method_that_does_answer_otherwise_for_a_row_alone_is_found_at_either_end(row: int) -> None:
    def method(rows: Matrix) -> Matrix:
        return np.asarray(rows.sum(axis=1) + (len(rows) == 1 and rows[0, 0] == _ROWS[row, 0]))

    with pytest.raises(Disagreement):
        check("predict", method, _Sums(), _ROWS, row_wise=True)


def test_each_program_is_tried_once_on_the_same_rows() -> None:
    methods = {"predict": _Sums(), "predict_proba": _Sums()}
    programs = {"predict": _Sums(), "predict_proba": _Sums()}
    tried = ProgramCheck(methods.__getitem__, programs, _ROWS)

    tried.hold("predict_proba", "predict")
    once = programs["predict_proba"].calls
    tried.hold("predict_proba")

    assert programs["predict_proba"].calls == once > 0


def test_what_did_not_hold_is_tried_again() -> None:
    tried = ProgramCheck(lambda _name: _Sums(), {"predict": lambda rows: rows.sum(axis=1) + 1.0}, _ROWS)

    for _ in range(2):
        with pytest.raises(Disagreement):
            tried.hold("predict")
