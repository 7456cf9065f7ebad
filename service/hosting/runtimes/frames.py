"""Data frames that a script made, as rows for the programs of an estimator.

Taken only in forms that were tried: each is held against what the estimator answers to that very form. These
have the columns of the fitting in their order, numbers as float64, int64 or objects, words as objects or as
pandas' own texts. All others are the estimator's business.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd

from service.errors import NotCompilable
from service.hosting.programs.agreement import Step, check
from service.hosting.runtimes.coding import Coding
from service.hosting.runtimes.columns import DType
from service.hosting.runtimes.reading import frame_of
from service.media.readers import Matrix

_FLOAT: Final = np.dtype(np.float64)
_INT: Final = np.dtype(np.int64)
_OBJECT: Final = np.dtype(object)
_EXACT: Final = 2**53
_TRIED: Final = ((1, 1),)
_MOST_TRIED: Final = 48
_Form = Callable[[Matrix], Any]


class Trial:
    """A method of an estimator and its program, held against each other on rows in some form.

    One of them tells for all: they do the same with what they are given before they answer from it.
    """

    def __init__(self, name: str, method: Step, program: Step, rows: Matrix) -> None:
        """`rows` (n, features) are such as programs take."""
        self._name = name
        self._method = method
        self._program = program
        self.rows = rows[:_MOST_TRIED]

    def agrees(self, formed: _Form, rows: Matrix | None = None, laid: _Form = np.asarray) -> bool:
        """Whether the program answers rows as `laid` as the method answers what is `formed` of them."""
        method, program = _after(formed, self._method), _after(laid, self._program)
        try:
            check(self._name, method, program, self.rows if rows is None else rows, _TRIED)
        except Exception:  # they differ, or the estimator refuses that form
            return False
        return True


def _after(form: _Form, step: Step) -> Step:
    return lambda rows: step(form(rows))


class Frames(Protocol):
    """What makes rows of data frames."""

    def rows(self, frame: Any) -> Matrix | None:
        """Rows (n, features) as programs take them; None for a frame that is not for programs."""
        ...


class PlainFrames:
    """For programs that take numbers alone."""

    def __init__(self, names: list[Any], trial: Trial) -> None:
        """`names` are those of the fitting. Raises NotCompilable where frames will not do."""
        self._names = names
        singles = np.split(trial.rows, len(trial.rows))[:: max(1, len(trial.rows) // 4)]
        if not all(trial.agrees(self._framed, row) for row in singles):
            raise NotCompilable("it answers frames otherwise than arrays")
        # columns lie one after the other, for which sums may be added up in another order
        self._takes_several = trial.agrees(self._framed, laid=np.asfortranarray)

    def _framed(self, rows: Matrix) -> Any:
        return frame_of(list(rows.T), self._names)

    def rows(self, frame: Any) -> Matrix | None:
        """See Frames."""
        if not all(kind in (_FLOAT, _INT) for kind in frame.dtypes.tolist()):
            return None
        if frame.columns.tolist() != self._names:
            return None
        rows = frame.to_numpy()
        fits = rows.flags.f_contiguous and (self._takes_several or len(rows) == 1)
        return rows if rows.dtype == _FLOAT and fits else None


class CodedFrames:
    """For programs of words, gaps and numbers."""

    def __init__(self, coding: Coding, trial: Trial) -> None:
        """The programs were tried with frames of float64 and objects already."""
        self._coding = coding
        self._names = list(coding.names or ())
        self._kinds = [column.kind for column in coding.columns]
        words = [name for name, kind in zip(self._names, self._kinds, strict=True) if kind is DType.WORD]
        self._takes_texts = bool(words) and trial.agrees(self._typed(dict.fromkeys(words, "str")))
        numbers = [place for place, kind in enumerate(self._kinds) if kind is DType.NUMBER]
        whole = trial.rows.copy()
        whole[:, numbers] = np.clip(np.nan_to_num(np.round(whole[:, numbers])), -_EXACT, _EXACT)
        ints = dict.fromkeys([self._names[place] for place in numbers], _INT)
        self._takes_ints = bool(numbers) and trial.agrees(self._typed(ints), whole)
        self._takes_objects = bool(numbers) and trial.agrees(self._typed(dict.fromkeys(ints, _OBJECT)))

    def _typed(self, kinds: Mapping[Any, Any]) -> _Form:
        return lambda rows: self._coding.restored(rows).astype(kinds)

    def rows(self, frame: Any) -> Matrix | None:
        """See Frames."""
        if frame.columns.tolist() != self._names:
            return None
        dtypes = frame.dtypes.tolist()
        if all(dtype == _OBJECT for dtype in dtypes):
            columns = [*frame.to_numpy().T]  # much quicker than one by one
        else:
            columns = [column for _, column in frame.items()]
        found = [*map(self._values, self._kinds, dtypes, columns)]
        return None if any(values is None for values in found) else self._coding.code_columns(found)

    def _values(self, kind: DType, dtype: Any, column: Any) -> Any | None:
        """The cells of a column: an array of numbers, or a list of all else; None for what is not taken."""
        if kind is DType.UNUSED:
            return np.zeros(len(column))
        if kind is DType.WORD:
            is_text = self._takes_texts and isinstance(dtype, pd.StringDtype)
            return [*map(_cell, column.tolist())] if dtype == _OBJECT or is_text else None
        if kind is DType.TRUTH:
            return column.tolist() if dtype == _OBJECT else None
        if dtype == _OBJECT:
            cells = column.tolist() if kind is DType.NUMBER and self._takes_objects else [None]
            return np.array(cells) if all(type(cell) is float for cell in cells) else None
        values = column.to_numpy()
        if dtype == _INT and kind is DType.NUMBER and self._takes_ints:
            return values.astype(np.float64) if (abs(values) <= _EXACT).all() else None
        return values if dtype == _FLOAT and (kind is DType.NUMBER or not np.isnan(values).any()) else None


def _cell(cell: Any) -> Any:
    """The cell, and one nan for all."""
    return math.nan if type(cell) is float and cell != cell else cell
