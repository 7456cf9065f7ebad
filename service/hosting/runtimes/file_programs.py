"""Programs made of a model's file alone: what they say to rows, and how its container writes that.

What is in here is the container's own way with models that it asks itself (runner/formats).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from service.hosting.host import Answer
from service.media.types import CSV, JSON

CallHeaders = tuple[str | None, str | None]
"""Content-Type and Accept of a call."""

Predict = Callable[[Any], Any]
"""Predictions (n) or (n, groups) for rows (n, features) float64, in which gaps are nan."""


@dataclass(frozen=True, slots=True)
class Form:
    """How answers are written that calls with some headers get.

    `write_one` writes the same of one row, given as a plain value, in fewer steps.
    """

    write: Callable[[Any], bytes]
    content_type: str
    write_one: Callable[[Any], bytes] | None = None

    def answer(self, predictions: Any) -> Answer:
        """The answer of which these are the predictions."""
        return Answer(self.write(predictions), self.content_type)

    def answer_each(self, predictions: Any) -> list[Answer]:
        """The answers to calls of one row each."""
        write, kind = self.write_one, self.content_type
        if write is None:
            return [self.answer(predictions[at : at + 1]) for at in range(len(predictions))]
        return [Answer(write(value), kind) for value in predictions.tolist()]


@dataclass(frozen=True, slots=True)
class FileProgram:
    """What a model's file says: a program for rows of so many `features`, and the `forms` of its answers.

    `probes` are rows (n, features) to try it with.
    """

    predict: Predict
    features: int
    probes: Any
    forms: Mapping[CallHeaders, Form]


ReadFile = Callable[[Path, int, int], FileProgram]
"""Reads a file of at most so many bytes to a program of at most so many. Raises NotCompilable, OSError."""


def _as_json(predictions: Any) -> bytes:
    return json.dumps(predictions.tolist()).encode()


def _one_as_json(value: Any) -> bytes:
    return b"[%d]" % value if type(value) is int else json.dumps([value]).encode()


def _as_csv(predictions: Any) -> bytes:
    rows = predictions.reshape(len(predictions), -1)
    return "".join([",".join(map(str, row)) + "\n" for row in rows]).encode()


_JSON_ANSWERS: Final = Form(_as_json, JSON, _one_as_json)
_CSV_ANSWERS: Final = Form(_as_csv, CSV)
FORMS: Final[Mapping[CallHeaders, Form]] = MappingProxyType(
    {
        **{(kind, accept): _JSON_ANSWERS for kind in (CSV, JSON) for accept in (None, JSON, "*/*")},
        **dict.fromkeys(((CSV, CSV), (JSON, CSV)), _CSV_ANSWERS),
    }
)
