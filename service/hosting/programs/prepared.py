"""Programs of models behind what prepares their rows: words and gaps to numbers, and these to answers.

Rows are coded (blocks). What prepares them is held against the estimator's own steps, bit by bit and in the
memory order that these have; where there is no program for the model behind, it is asked itself, with the
rows that the program prepared.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from service.errors import NotCompilable
from service.hosting.programs import sparse as programs_sparse
from service.hosting.programs import table as programs
from service.hosting.programs.agreement import Step, check, quiet
from service.hosting.programs.blocks import (
    MOST_CELLS,
    Blocks,
    NumberBlock,
    Words,
    begin,
    gapped,
    merged,
    together,
    whole,
)
from service.hosting.programs.compiled import NotForPrograms
from service.hosting.programs.domain import Domain, Wide, bare, domain_of
from service.hosting.programs.preparation import prepare
from service.hosting.programs.probes import boundary_rows, neighbours, parts_of, probe_rows, thresholds_of
from service.hosting.programs.program import Methods
from service.media.readers import Matrix

Restore = Callable[[Words, Matrix], Any]
"""What the estimator is called with for coded rows (n, features)."""

_METHODS: Final = ("predict", "predict_proba", "decision_function")
_SEARCHES: Final = frozenset(
    {"GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV"}
)
_WORD_BYTES: Final = 160  # in the table of codes
_COUNT: Final = 224
_MOST_ROWS: Final = 2000
_ROWS_AT_ONCE: Final = 8192  # which stay in the processor's cache on their way through the steps
_SHARE_OF_GAPS: Final = 0.12
_EDGES: Final = (0.0, -0.0, 1.0, -1.0, 1e-30, 1e6, -1e6, 1e12, -1e12, 2.0**53 + 2, 0.1, 5e-324)
_TRIED: Final = (1, 2, 7)


@dataclass(frozen=True, slots=True)
class PreparedPrograms:
    """Programs of methods, given coded rows; `words` tell what codes stand for, `rows` to try them with."""

    methods: dict[str, Wide]
    words: Words
    rows: Matrix


def build(estimator: Any, words: Words, restore: Restore) -> PreparedPrograms:
    """Programs of an estimator behind what prepares its rows.

    `words` begins with what the first codes of each column stand for: GAP and UNKNOWN in one of words.
    Raises NotCompilable.
    """
    leading, last = _apart(estimator)
    _prepare(leading, begin(words), words)
    words = words.completed()
    blocks = _prepare(leading, begin(words), words)
    numbers = together(blocks)
    _mark_thresholds(last, blocks, words)
    rows = _accepted(numbers.step, _probes(words))
    if len(rows) < _COUNT // 4:
        raise NotCompilable("too few rows are known that its steps take")
    real = _compare(leading, numbers.step, restore(words, rows), rows)
    behind = _programs_behind(last, sparse=hasattr(real, "toarray"))
    making = _making(numbers, gapped if _takes_gaps(behind) else whole, real)
    rows = _accepted(making, rows)
    if len(rows) < _COUNT // 4:
        raise NotCompilable("the model takes too few of the rows that were tried")
    behind = _completed(last, behind, real, making(rows))
    methods = {name: Wide(_following(making, bare(step)), Domain.GAPS) for name, step in behind.items()}
    return PreparedPrograms(methods, words, rows)


def fills_gaps(estimator: Any) -> bool:
    """Whether an imputer is among what prepares its rows, so that these may have gaps."""
    return any(type(part).__name__ == "SimpleImputer" for part in parts_of(estimator))


def size_bytes(estimator: Any) -> int:
    """Memory that tables of words hold besides the estimator, about."""
    total = 0
    for part in parts_of(estimator):
        for place, values in enumerate(getattr(part, "categories_", ())):
            outs = getattr(part, "_n_features_outs", None)
            cells = len(values) * (outs[place] if outs else 1)
            total += min(8 * cells, 8 * MOST_CELLS) + _WORD_BYTES * len(values)
    return total


def _apart(estimator: Any) -> tuple[list[Any], Any]:
    while type(estimator).__name__ in _SEARCHES:
        estimator = estimator.best_estimator_
    kind = type(estimator)
    if kind.__name__ != "Pipeline" or kind.__module__.partition(".")[0] != "sklearn":
        raise NotCompilable(f"a {kind.__name__} has no steps that prepare its rows")
    steps = [step for _, step in estimator.steps if step is not None and not isinstance(step, str)]
    if len(steps) < 2 or not hasattr(steps[-1], "predict"):
        raise NotCompilable("the Pipeline has no model behind what prepares its rows")
    return steps[:-1], steps[-1]


def _prepare(leading: Sequence[Any], blocks: Blocks, words: Words) -> Blocks:
    for step in leading:
        blocks = prepare(step, blocks, words)
    return blocks


# ---- the model behind


def _making(numbers: NumberBlock, plain: Step, real: Any) -> Step:
    """Coded rows to the model's own, in the memory order that they have in scikit-learn."""
    turned = isinstance(real, np.ndarray) and real.flags.f_contiguous and not real.flags.c_contiguous
    step, by_row, lay = numbers.step, numbers.by_row, None if turned else numbers.lay

    def make_many(rows: Any) -> Any:
        made = np.empty((len(rows), numbers.width), order="F" if turned else "C")
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            if lay is None:
                made[part] = plain(step(rows[part]))
            else:
                lay(rows[part], made[part])
                plain(made[part])
        return made

    def make(rows: Any) -> Any:
        if by_row and rows.ndim == 2 and len(rows) > _ROWS_AT_ONCE:
            return make_many(rows)
        made = plain(step(rows))
        if turned and made.ndim == 2:
            return np.asfortranarray(made)
        if turned and made.shape[1] > 1:
            raise NotForPrograms
        return made

    return make


def _following(making: Step, step: Step) -> Step:
    return lambda rows: step(making(rows))


def _programs_behind(last: Any, *, sparse: bool) -> Methods:
    """Programs of the model's methods, given prepared rows; none where it has none."""
    try:
        return programs_sparse.build(last) if sparse else programs.build(last)
    except NotCompilable:
        return {}


def _takes_gaps(methods: Methods) -> bool:
    return bool(methods) and all(domain_of(step) is not Domain.PLAIN for step in methods.values())


def _completed(last: Any, methods: Methods, real: Any, made: Matrix) -> Methods:
    """The programs if they hold on prepared rows and near thresholds, and the model's own methods besides."""
    kind = type(real) if hasattr(real, "toarray") else None
    tried = made if kind else probe_rows(last, made.shape[1], made[:64])
    if "predict" in methods:
        tried = np.concatenate([tried, boundary_rows(methods["predict"], tried)])
    found: Methods = {}
    for name in _METHODS:
        if not hasattr(last, name):
            continue
        if name in methods:
            check(name, _of_rows(last, name, kind), methods[name], tried)
        found[name] = methods[name] if name in methods else _own(last, name, kind)
    return found


def _own(last: Any, name: str, kind: Any) -> Step:
    if vars(last).get("n_jobs") not in (None, 1):
        raise NotCompilable("its model has threads of its own, which add up numbers as they end")
    method = _of_rows(last, name, kind)

    def answer(rows: Any) -> Any:
        if rows.ndim == 3:  # what it makes of several requests at once is not known
            raise NotForPrograms
        return method(rows)

    return answer


def _of_rows(last: Any, name: str, kind: Any) -> Step:
    method = getattr(last, name)
    return method if kind is None else lambda rows: method(kind(rows))


# ---- trying


def _accepted(step: Step, rows: Matrix) -> Matrix:
    """The rows that a program does not leave to the estimator."""
    kept = []
    with quiet():
        for at in range(len(rows)):
            try:
                step(rows[at : at + 1])
            except NotForPrograms:
                continue
            kept.append(at)
    return rows[kept]


def _compare(leading: Sequence[Any], step: Step, given: Any, rows: Matrix) -> Any:
    """Hold prepared rows against those of the estimator's own steps; returns these for some rows.

    Raises NotCompilable where they differ.
    """
    real: Any = None
    with warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        for size in (*_TRIED, len(rows)):
            real = given[:size] if not hasattr(given, "iloc") else given.iloc[:size]
            for part in leading:
                real = part.transform(real)
            dense = np.asarray(real.toarray() if hasattr(real, "toarray") else real)
            if dense.dtype == object:  # words were passed on to steps by their places, and made numbers there
                dense = dense.astype(np.float64)
            if dense.dtype != np.float64:
                raise NotCompilable(f"its prepared rows are of {dense.dtype}")
            made = step(rows[:size])
            if made.shape != dense.shape or not _same(made, dense, sparse=hasattr(real, "toarray")):
                raise NotCompilable("its prepared rows differ from those of the steps themselves")
    return real if hasattr(real, "toarray") else np.asarray(real)


def _same(made: Matrix, real: Matrix, *, sparse: bool) -> bool:
    if sparse:  # which keeps no zeros, so that theirs have no sign
        made = made + 0.0
    return np.ascontiguousarray(made).tobytes() == np.ascontiguousarray(real).tobytes()


def _mark_thresholds(last: Any, blocks: Blocks, words: Words) -> None:
    """Tell of thresholds of trees over columns that are given to them as they came."""
    thresholds = thresholds_of(last, blocks.width)
    at = 0
    for part in merged(blocks.parts):
        for place, column in enumerate((part.picked or ()) if isinstance(part, NumberBlock) else ()):
            words.mark(column, thresholds.get(at + place, [])[:64])
        at += part.width


def _probes(words: Words, seed: int = 0) -> Matrix:
    """Coded rows: every word that is not refused, gaps, numbers from the model's own ranges, and edges."""
    random = np.random.default_rng(seed)
    allowed = {
        column: [code for code in range(len(values)) if not words.is_refused(column, code)]
        for column, values in enumerate(words.values)
        if values is not None
    }
    if not all(allowed.values()):
        raise NotCompilable("its steps take no word of some column")
    count = max(_COUNT, min(_MOST_ROWS, max(map(len, allowed.values()), default=0)))
    rows = np.empty((count, len(words.values)))
    for column in range(rows.shape[1]):
        if column in allowed:
            rows[:, column] = random.permutation(np.resize(allowed[column], count))
        else:
            found = _numbers_of(words.marks.get(column, []), count, random)
            gaps = random.random(count) < (0 if column in words.gapless else _SHARE_OF_GAPS)
            rows[:, column] = np.where(gaps, np.nan, found)
    return rows


def _numbers_of(marks: Sequence[float], count: int, random: np.random.Generator) -> Matrix:
    own = np.array(marks or [0.0, 1.0])
    near = np.concatenate([neighbours(each) for each in random.choice(own, min(len(own), 16))])
    plausible = np.concatenate([own, random.normal(size=16), random.integers(0, 10, 16), near])
    found = random.choice(plausible, count)
    moved = random.random(count)
    found = np.where(moved < 0.3, found * (1 + 0.3 * random.normal(size=count)), found)
    found = np.where(moved > 0.95, random.choice(_EDGES, count), found)
    return np.asarray(found)
