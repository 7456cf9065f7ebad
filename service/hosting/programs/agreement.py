"""Whether answers agree, bit by bit: a program's with its method's, joined requests' with each alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import thread_time
from typing import Any

import numpy as np
import numpy.typing as npt

from service.media.readers import Matrix

Step = Callable[[Any], Any]
"""The answer of one method of an estimator to rows (m, features) float64, or to a stack (n, m, features).

To a list of texts, where these are what the estimator takes.

A stack holds n requests of m rows each, and each gets what it would get alone: numpy multiplies matrix by
matrix, so that sums never depend on the number of requests. What a program works out by rows, and not by
whole requests, may be laid flat (see `flat`).
"""

Given = Matrix | list[str]
"""What an estimator is tried with: rows, or texts."""

_SPREAD = 48
_BOUND_S = 0.2
CHECKED = ((1, 32), (2, 3), (3, 2), (5, 1), (8, 1), (17, 1), (64, 1))
"""Numbers of rows at once at which a program is held against its method, and how often."""


class Disagreement(Exception):
    """A program does not answer what the estimator answers; the text says where."""


SPOTS = ((1, 6), (3, 1), (17, 1))
"""The same for programs whose parts were held against the method's parts before."""


class ProgramCheck:
    """Holds programs against the methods that they stand for, on some rows, each once."""

    def __init__(
        self,
        method: Callable[[str], Step],
        programs: Mapping[str, Step],
        rows: Given,
        checked: Sequence[tuple[int, int]] = CHECKED,
        *,
        row_wise: bool = False,
    ) -> None:
        """`method` finds the method of a name; of those that are `row_wise` see `check`."""
        self._method = method
        self._programs = programs
        self._rows = rows
        self._checked = checked
        self._row_wise = row_wise
        self._held: set[str] = set()

    def hold(self, *names: str) -> None:
        """Hold the programs of these names against their methods. Raises as `check` does."""
        for name in names:
            if name in self._held:
                continue
            program = self._programs[name]
            check(name, self._method(name), program, self._rows, self._checked, row_wise=self._row_wise)
            self._held.add(name)


def check(
    name: str,
    method: Step,
    program: Step,
    rows: Given,
    checked: Sequence[tuple[int, int]] = CHECKED,
    *,
    row_wise: bool = False,
) -> None:
    """Compare a program with the method that it stands for, bit by bit, for some numbers of rows.

    A method that is known to be `row_wise` is called at both ends of the rows for each number, the last of
    which lie between labels, and is otherwise taken at its word for all rows: that of a forest takes as long
    for one row as for a hundred.

    Raises:
        Disagreement: they differ.
        Exception: one of them failed.
    """
    with quiet():
        together = method(rows)
        _compare(name, together, program(rows), rows)
        for size, times in checked:
            for number, at in enumerate(np.linspace(0, max(0, len(rows) - size), times).astype(int)):
                some = rows[at : at + size]
                known = row_wise and 0 < number < times - 1
                expected = together[at : at + size] if known else method(some)
                _compare(name, expected, program(some), some)


def check_rows(step: Step, rows: Given) -> None:
    """Hold answers to rows by themselves, and among some, against those among all. Raises Disagreement."""
    begun_s = thread_time()
    together = step(rows)
    for size in (1, 2, 3, 8, 32, 100):
        for at in range(0, len(rows) - size, max(size, len(rows) // _SPREAD)):
            some = rows[at : at + size]
            _compare("it", step(some), together[at : at + size], some)
            if thread_time() - begun_s > _BOUND_S:
                break


def check_stacks(program: Step, rows: Matrix, sizes: Sequence[int]) -> None:
    """Hold the answers to requests of so many rows each, put together, against those to each alone.

    Raises: Disagreement.
    """
    for size in sizes:
        most = len(rows) // size
        for count in sorted({min(2, most), min(9, most), most}):
            some = rows[: count * size]
            together = answer_stack(program, some, size)
            alone = [program(some[at : at + size]) for at in range(0, len(some), size)]
            _compare("it", np.concatenate(alone), together, some)


def answer_stack(program: Step, rows: Matrix, each: int) -> Any:
    """The answers of a program to requests of `each` rows, which follow one another in `rows`."""
    found = program(rows.reshape(-1, each, rows.shape[1]))
    return found.reshape(len(rows), *found.shape[2:])


def _compare(name: str, expected: Any, found: Any, rows: Given) -> None:
    if type(found) is not type(expected) or not isinstance(expected, np.ndarray):
        raise Disagreement(f"its program gives a {type(found).__name__}, not a {type(expected).__name__}")
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise Disagreement(
            f"its program gives {found.dtype} {found.shape}, not {expected.dtype} {expected.shape}"
        )
    if expected.dtype.kind == "O":
        differs = np.array([repr(one) != repr(other) for one, other in zip(expected, found, strict=True)])
    else:
        differs = (_bits(expected) != _bits(found)).any(axis=1)
    if differs.any():
        at = int(np.flatnonzero(differs)[0])
        raise Disagreement(f"its program disagrees, for example on the row {_shown(rows[at])}"[:300])


def _shown(row: Any) -> str:
    """A row, or a text, as a sentence shows it."""
    return str(row.tolist()) if isinstance(row, np.ndarray) else repr(row)


def _bits(answers: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """The bytes of each answer, which tell 0.0 from -0.0."""
    return np.frombuffer(answers.tobytes(), dtype=np.uint8).reshape(len(answers), -1)


@contextmanager
def quiet() -> Iterator[None]:
    """Without what numpy says about numbers at the edge."""
    with np.errstate(all="ignore"):
        yield
