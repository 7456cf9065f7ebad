"""Columns on their way through what prepares them, as far as they are known before any row is there.

Rows are coded here: (n, features) float64, or a stack (n, m, features), in which a column of words holds the
code of each word, its place among those that any step treats in a way of its own. So all that a step makes of
a column of words is a table by codes, which is made once; only numbers are worked on row by row.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from service.errors import NotCompilable
from service.hosting.programs.agreement import Step
from service.hosting.programs.compiled import NotForPrograms
from service.hosting.programs.domain import is_gapped, is_plain
from service.media.readers import Matrix
from service.native import kernels

GAP: Final = 0
"""The code of a cell without a value, in a column of words."""

UNKNOWN: Final = 1
"""The code of every word that no step of the model knows."""

STRANGER: Final = "\x00a word that nobody knows\x00"
"""What stands for such a word where a step is asked what it makes of one."""


MOST_CELLS: Final = 2**20
"""Cells of the table of one column: beyond it there is no program."""


class Words:
    """What is known of the words of a model: by column, those that its steps know, and those they refuse.

    Steps tell both while they are looked at; `values` is then, by column, what each code stands for, None for
    a column of numbers. `marks` are numbers that steps hold about a column: its mean, its bounds.
    """

    def __init__(
        self, values: Sequence[tuple[Any, ...] | None], gapless: frozenset[int] = frozenset()
    ) -> None:
        """`gapless` are columns of numbers in which nothing is ever missing."""
        self.values = values
        self.gapless = gapless
        self._known: dict[int, dict[Any, None]] = {}
        self.refused: dict[int, set[int]] = {}
        self.marks: dict[int, list[float]] = {}

    def know(self, column: int, words: Iterable[Any]) -> None:
        """A step treats these words in a way of its own."""
        self._known.setdefault(column, {}).update(dict.fromkeys(words))

    def refuse(self, column: int, code: int) -> None:
        """A step refuses rows with this code."""
        self.refused.setdefault(column, set()).add(code)

    def is_refused(self, column: int, code: int) -> bool:
        """Whether some step is known to refuse it."""
        return code in self.refused.get(column, ())

    def mark(self, column: int, numbers: Iterable[Any]) -> None:
        """A step holds these numbers about a column."""
        self.marks.setdefault(column, []).extend(float(each) for each in numbers)

    def completed(self) -> "Words":
        """The same with all words that steps told of, with which the steps have to be looked at again."""
        return Words(
            [
                values
                if values is None
                else (*values, *(word for word in self._known.get(column, ()) if word not in values))
                for column, values in enumerate(self.values)
            ],
            self.gapless,
        )


@dataclass(frozen=True, slots=True)
class WordBlock:
    """One column of words: what it holds here, by the code of what was sent."""

    column: int
    values: tuple[Any, ...]
    width: int = field(default=1, init=False)


@dataclass(frozen=True, slots=True)
class NumberBlock:
    """Numbers (..., width) that a step makes of coded rows.

    `gaps`: nan may be among them. `picked`: they are these columns, as they came. `column` and `table`: they
    are the rows (codes, width) of the table, by the codes of one column. `by_row`: those of a row do not
    depend on how many rows there are. `lay` puts them where a second array has room for them, row after row.
    """

    step: Step
    width: int
    gaps: bool = False
    picked: tuple[int, ...] | None = None
    column: int = -1
    table: Matrix | None = None
    by_row: bool = True
    lay: Callable[[Any, Any], None] | None = None


Block = WordBlock | NumberBlock


@dataclass(frozen=True, slots=True)
class Blocks:
    """What stands side by side; `sparse`: scikit-learn has it as a sparse matrix."""

    parts: tuple[Block, ...]
    sparse: bool = False

    @property
    def width(self) -> int:
        """Columns of all parts."""
        return sum(part.width for part in self.parts)


def pick(columns: Sequence[int]) -> NumberBlock:
    """Columns of numbers, as they came."""
    columns = tuple(columns)
    first, last = columns[0], columns[-1]
    in_a_row = columns == tuple(range(first, last + 1))
    index: Any = slice(first, last + 1) if in_a_row else list(columns)
    return NumberBlock(lambda rows: rows[..., index], len(columns), gaps=True, picked=columns)


def look_up(column: int, table: Matrix) -> NumberBlock:
    """The rows of a table (codes, width), by the codes of a column."""
    if table.size > MOST_CELLS:
        raise NotCompilable("a column has so many words that their table would be large")
    table = np.ascontiguousarray(table)
    take = table.take

    def step(rows: Any) -> Any:
        return take(rows[..., column].astype(np.intp), axis=0)

    gaps = bool(np.isnan(table).any())
    return NumberBlock(step, table.shape[1], gaps=gaps, column=column, table=table)


def begin(words: Words) -> Blocks:
    """All columns, as they came."""
    return Blocks(
        tuple(
            pick([column]) if values is None else WordBlock(column, values)
            for column, values in enumerate(words.values)
        )
    )


def choose(blocks: Blocks, places: Sequence[int]) -> Blocks:
    """Some of the columns, in this order."""
    ways = [(part, at) for part in blocks.parts for at in range(part.width)]
    chosen: list[Block] = []
    for place in places:
        part, at = ways[place]
        chosen.append(part if part.width == 1 else _one_of(part, at))
    return Blocks(tuple(merged(chosen)), blocks.sparse)


def _one_of(part: Block, at: int) -> Block:
    if isinstance(part, WordBlock):
        return part
    if part.picked is not None:
        return pick([part.picked[at]])
    if part.table is not None:
        return look_up(part.column, part.table[:, [at]])
    step = part.step
    return NumberBlock(lambda rows: step(rows)[..., [at]], 1, gaps=part.gaps, by_row=part.by_row)


def merged(parts: Iterable[Block]) -> list[Block]:
    """The same, with neighbours put together that are one step: columns as they came, or one column's."""
    found: list[Block] = []
    for part in parts:
        last = found[-1] if found else None
        if isinstance(part, NumberBlock) and isinstance(last, NumberBlock):
            if part.picked is not None and last.picked is not None:
                found[-1] = pick([*last.picked, *part.picked])
                continue
            if part.table is not None and last.table is not None and part.column == last.column:
                found[-1] = look_up(part.column, np.concatenate([last.table, part.table], axis=1))
                continue
        found.append(part)
    return found


def together(blocks: Blocks) -> NumberBlock:
    """All columns as one block of numbers. Raises NotCompilable where words are among them."""
    parts = merged(blocks.parts)
    numbers = [part for part in parts if isinstance(part, NumberBlock)]
    if len(numbers) < len(parts) or not parts:
        raise NotCompilable("words are given to a step that is known to take numbers alone")
    if len(numbers) == 1:
        return numbers[0]
    steps = [part.step for part in numbers]

    def step(rows: Any) -> Any:
        return np.concatenate([each(rows) for each in steps], axis=-1)

    by_row, gaps = all(part.by_row for part in numbers), any(part.gaps for part in numbers)
    return NumberBlock(step, blocks.width, gaps=gaps, by_row=by_row, lay=_laying(numbers))


def _laying(numbers: Sequence[NumberBlock]) -> Callable[[Any, Any], None] | None:
    """What the kernel puts side by side, at once: tables by codes, and what other steps make."""
    if kernels is None:
        return None
    lay_beside = kernels.lay_beside

    def lay(rows: Any, out: Any) -> None:
        if not lay_beside(out, len(rows), tuple(_part(each, rows) for each in numbers)):
            raise NotForPrograms

    return lay


def _part(block: NumberBlock, rows: Any) -> tuple[int, Any, Any, bool]:
    """As `lay_beside` takes a part of rows (n, features)."""
    if block.table is not None:
        return block.width, np.ascontiguousarray(rows[:, block.column]), block.table, True
    found = block.step(rows)
    if found.flags.f_contiguous:
        return block.width, found.T, None, True
    return block.width, np.ascontiguousarray(found), None, False


def then(block: NumberBlock, step: Step, width: int, *, gaps: bool, by_cell: bool = False) -> NumberBlock:
    """What another step makes of a block; it is given finite numbers alone, and nan where it takes `gaps`.

    What came as it was sent was looked at before; what was worked out may have become infinite. `by_cell`: no
    cell of its answer depends on how many rows there are, so that tables can be worked out beforehand.
    """
    first, by_row = block.step, block.by_row and by_cell
    if block.gaps and not gaps:
        return NumberBlock(lambda rows: step(whole(first(rows))), width, by_row=by_row)
    if block.table is not None and by_cell and np.isfinite(block.table).all():
        return look_up(block.column, step(block.table))
    if block.picked is not None:
        return NumberBlock(lambda rows: step(first(rows)), width, gaps=block.gaps, by_row=by_row)
    check = gapped if block.gaps else whole
    return NumberBlock(lambda rows: step(check(first(rows))), width, gaps=block.gaps, by_row=by_row)


def whole(rows: Any) -> Any:
    """The rows, in which every number is one that float32 holds. Raises NotForPrograms."""
    if not is_plain(rows):
        raise NotForPrograms
    return rows


def gapped(rows: Any) -> Any:
    """The rows, in which every number is nan or one that float32 holds. Raises NotForPrograms."""
    if not is_gapped(rows):
        raise NotForPrograms
    return rows
