"""Encoders as programs over blocks of columns: each treats every column by itself, and is asked beforehand.

What one makes of a word, of a gap and of a word that nobody knows it tells when the program is made, and of
numbers likewise, which are found among those that it saw.
"""

import warnings
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from service.errors import NotCompilable
from service.hosting.programs.agreement import Step
from service.hosting.programs.blocks import (
    Block,
    Blocks,
    NumberBlock,
    WordBlock,
    Words,
    gapped,
    look_up,
    merged,
)
from service.hosting.programs.compiled import NotForPrograms
from service.media.readers import Matrix

_MOST_ASKED: Final = 256
"""Words that an encoder is asked one by one, where it refuses them together."""


def encode(estimator: Any, blocks: Blocks, words: Words) -> Blocks:
    """What a fitted encoder makes of columns. Raises NotCompilable."""
    if blocks.sparse:
        raise NotCompilable(f"the {type(estimator).__name__} takes a sparse matrix")
    asking = _Encoder(estimator)
    parts: list[Block] = []
    at = 0
    for part in merged(blocks.parts):
        if isinstance(part, WordBlock):
            parts.append(asking.words(at, part, words))
        else:
            parts.append(asking.numbers(at, part))
        at += part.width
    return Blocks(tuple(merged(parts)), bool(getattr(estimator, "sparse_output", False)))


class _Encoder:
    """An encoder, which treats each column by itself, and is asked what it makes of it."""

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator
        self._categories = list(estimator.categories_)
        count = len(self._categories)
        if hasattr(estimator, "_n_features_outs"):
            widths = list(estimator._n_features_outs)
        elif hasattr(estimator, "encodings_"):
            widths = [len(estimator.encodings_) // count] * count
        else:
            widths = [1] * count
        self._ends = np.cumsum([0, *widths]).tolist()
        objects = any(each.dtype.kind not in "biuf" for each in self._categories)
        self._dtype: Any = object if objects else np.float64

    def words(self, at: int, part: WordBlock, words: Words) -> NumberBlock:
        """What it makes of a column of words."""
        column = part.column
        words.know(column, [each for each in self._categories[at].tolist() if isinstance(each, str)])
        codes = [code for code in range(len(part.values)) if not words.is_refused(column, code)]
        found = self._ask(at, [part.values[code] for code in codes])
        table = np.zeros((len(part.values), self._ends[at + 1] - self._ends[at]))
        for code, answer in zip(codes, found, strict=True):
            if answer is None:
                words.refuse(column, code)
            else:
                table[code] = answer
        return look_up(column, table)

    def numbers(self, at: int, part: NumberBlock) -> NumberBlock:
        """What it makes of columns of numbers: each is one of those it saw, nan, or unknown."""
        finders = [self._finder(at + place) for place in range(part.width)]
        first = part.step if part.picked is not None else lambda rows: gapped(part.step(rows))
        width = self._ends[at + part.width] - self._ends[at]

        def step(rows: Any) -> Any:
            numbers = first(rows)
            return np.concatenate([find(numbers[..., place]) for place, find in enumerate(finders)], axis=-1)

        # It may give nan itself, for what it does not know.
        return NumberBlock(step, width, gaps=True, by_row=part.by_row)

    def _finder(self, at: int) -> Step:
        known = np.array([float(each) for each in self._categories[at].tolist()])
        known = np.sort(known[~np.isnan(known)])
        if not len(known):
            raise NotCompilable("an encoder knows no number of a column of numbers")
        asked = [*known.tolist(), float(np.abs(known).max() * 2 + 1.5), float("nan")]
        found = self._ask(at, asked)
        refused = np.array([answer is None for answer in found])
        width = self._ends[at + 1] - self._ends[at]
        table = np.array([np.zeros(width) if answer is None else answer for answer in found])
        last, unknown, gap = len(known) - 1, len(known), len(known) + 1
        strict = bool(refused.any())

        def find(numbers: Any) -> Any:
            places = np.minimum(np.searchsorted(known, numbers), last)
            places = np.where(known[places] == numbers, places, np.where(np.isnan(numbers), gap, unknown))
            if strict and refused[places].any():
                raise NotForPrograms
            return table.take(places, axis=0)

        return find

    def _ask(self, at: int, values: Sequence[Any]) -> list[Matrix | None]:
        """Its answer to each value of a column, None where it refuses one."""
        try:
            return list(self._answers(at, values))
        except Exception:  # whichever of them it refuses
            if len(values) > _MOST_ASKED:
                raise NotCompilable("an encoder refuses some of very many words") from None
        found: list[Matrix | None] = []
        for value in values:
            try:
                found.append(self._answers(at, [value])[0])
            except Exception:  # it refuses this one
                found.append(None)
        return found

    def _answers(self, at: int, values: Sequence[Any]) -> Matrix:
        rows = np.empty((len(values), len(self._categories)), dtype=self._dtype)
        for place, categories in enumerate(self._categories):
            rows[:, place] = categories[0]
        rows[:, at] = values
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = self._estimator.transform(rows)
        found = np.asarray(found.toarray() if hasattr(found, "toarray") else found)
        if found.shape != (len(values), self._ends[-1]):
            raise NotCompilable(f"the {type(self._estimator).__name__} gives other columns than expected")
        return np.asarray(found[:, self._ends[at] : self._ends[at + 1]], dtype=np.float64)
