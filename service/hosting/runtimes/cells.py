"""What single cells of a body are to a model's columns of words, of texts and of truth values."""

import math
from collections.abc import Sequence
from typing import Any

from service.hosting.runtimes.columns import FittedColumn
from service.media.tables import GAPS, TRUTHS, Label, read_value, refuse_cell


def words_of(cells: Sequence[Any], column: FittedColumn, spelled: bool) -> Sequence[Any]:
    """Cells of a column of words as its training saw them; `spelled` as in CSV."""
    if spelled:
        if not GAPS.isdisjoint(cells):  # the training column knows whether NA is a word
            gaps = GAPS - column.known
            cells = [math.nan if cell in gaps else cell for cell in cells]
        if any(not isinstance(value, str) for value in column.known):
            return [_spelled(cell, column) for cell in cells]
        return cells
    if {str}.issuperset(map(type, cells)):
        return cells
    gap = None if None in column.known else math.nan
    return [gap if cell is None else _word(cell, column) for cell in cells]


def _spelled(cell: Any, column: FittedColumn) -> Any:
    """A cell of a column that held more than words: the value that the encoder saw, if it saw it."""
    if not isinstance(cell, str) or cell in column.known:
        return cell
    value = read_value(cell)
    return value if value in column.known else cell


def _word(cell: Any, column: FittedColumn) -> Any:
    """A number of JSON in a column of words is the word that is spelled so."""
    if isinstance(cell, str) or cell in column.known:
        return cell
    return str(cell)


def text_of(cell: Any, row: int, label: Label) -> str:
    """The cell, if it is a text. Raises BadPayload."""
    if not isinstance(cell, str):
        refuse_cell(label(row), cell, "a text")
    return cell


def truth_of(cell: Any, row: int, label: Label) -> bool:
    """What a cell of a column of truth values says. Raises BadPayload."""
    if isinstance(cell, bool):
        return cell
    found = TRUTHS.get(cell.strip(" \t")) if isinstance(cell, str) else {0: False, 1: True}.get(cell)
    if found is None and isinstance(cell, str):
        found = {"0": False, "1": True}.get(cell.strip(" \t"))
    if found is None:
        refuse_cell(label(row), cell, "true or false")
    return found
