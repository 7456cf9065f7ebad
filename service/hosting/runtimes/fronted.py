"""Models in containers, answered here where that was seen to be the same: no hop, and joined.

A container has the model as ever, and answers whatever is not plain. The model's file is read, without the
library and without running anything in it, and becomes a program (file_programs). In the background the
container is asked what callers would ask, and only forms of calls whose answers were equal, byte by byte, are
answered here from then on. Calls may be put together: each row is summed up by itself.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from time import thread_time
from typing import Any, Final

import numpy as np

from service.errors import NotCompilable
from service.hosting.host import Answer, Call, Outcome, ShortWay
from service.hosting.programs.compiled import Compiling, Verdict, may_compile
from service.hosting.programs.domain import is_gapped
from service.hosting.runtimes.file_programs import CallHeaders, Form, Predict, ReadFile
from service.hosting.runtimes.runtime import Contents
from service.log import get_logger
from service.media.csv_numbers import read_csv_quickly, read_csv_with_gaps
from service.media.csv_quick import read_json_rows_quickly
from service.media.types import CSV, JSON

AskContainer = Callable[[Call], Answer]

_MOST_BODY_BYTES: Final = 20_000
_MOST_S: Final = 0.001  # that a call may hold up the event loop
_BYTES_PER_FILE_BYTE: Final = 4  # that a program takes, at most
_READING: Final = 3  # times as much while the file is read
_GAPS: Final = 0.2  # of the numbers of rows that are tried with gaps
_SINGLES: Final = 64
_FEWER_SINGLES: Final = 4  # where only the form is another one
_SEVERAL: Final = (2, 7, 40)


@dataclass(frozen=True, slots=True)
class _Program:
    """What answers rows of so many columns, with gaps or without, in which forms."""

    predict: Predict
    features: int
    most_rows: int
    gaps: bool
    forms: Mapping[CallHeaders, Form]

    def read(self, kind: str | None, bodies: Sequence[bytes]) -> tuple[Any, Sequence[int]] | None:
        """All rows (n, features) of bodies of this Content-Type, and how many each has.

        None unless all are rows of numbers, or of gaps if it knows what these are.
        """
        if sum([len(body) for body in bodies]) > _MOST_BODY_BYTES * len(bodies):
            return None
        read = self._read_json(bodies) if kind == JSON else self._read_csv(bodies)
        if read is None:
            return None
        rows = read[0]
        if rows.shape[1] != self.features or len(rows) > self.most_rows * len(bodies):
            return None
        return read if is_gapped(rows) else None

    def _read_csv(self, bodies: Sequence[bytes]) -> tuple[Any, Sequence[int]] | None:
        together = bodies[0] if len(bodies) == 1 else b"\n".join(bodies)
        rows = read_csv_quickly(together)
        if rows is None and self.gaps:
            rows = read_csv_with_gaps(together)
        if rows is None:
            return None
        one_each = len(rows) == len(bodies)
        return rows, [1] * len(bodies) if one_each else [1 + body.count(b"\n") for body in bodies]

    def _read_json(self, bodies: Sequence[bytes]) -> tuple[Any, Sequence[int]] | None:
        parts = []
        for body in bodies:
            part = read_json_rows_quickly(body)
            if part is None or part.shape[1] != self.features:
                return None
            parts.append(part)
        return np.concatenate(parts) if len(parts) > 1 else parts[0], [len(part) for part in parts]


class Fronting(Compiling):
    """Whether calls of one container are answered here: found out in the background, as compiling is.

    `held_bytes` is the memory that counts besides the container's.
    """

    def __init__(self, file: Path, read: ReadFile, ask: AskContainer, most_bytes: int) -> None:
        """`ask` has the container answer a call; `most_bytes` is the memory that programs may hold."""
        super().__init__(None)
        self._file = file
        self._ask = ask
        self._read = read
        self._file_bytes = file.stat().st_size
        self.held_bytes = self._file_bytes * _BYTES_PER_FILE_BYTE
        self._waits = self.held_bytes * _READING <= most_bytes
        self._program: _Program | None = None
        if not self._waits:
            self._leave(f"its file is too large: {self._file_bytes / 2**20:.1f} MiB")

    @property
    def waits(self) -> bool:
        """Whether that is still to be found out."""
        return self._waits

    def run(self, example: Any, known: Verdict | None) -> Verdict | None:
        """Find out, now. Blocking. What is known of the same files says nothing about another container."""
        if not self._waits:
            return None
        self._waits = False
        try:
            self._program = self._compile()
            self.verdict = Verdict(("predict",))
        except Exception as error:  # whatever is the matter, the container goes on serving
            self._leave(str(error))
        return self.verdict

    def _leave(self, reason: str) -> None:
        """Leave all calls to the container."""
        self.held_bytes = 0
        self.verdict = Verdict(reasons=(reason,))

    def _compile(self) -> _Program:
        program = self._read(self._file, self._file_bytes, self.held_bytes)
        predict, rows = program.predict, program.probes
        if program.features < 2:
            raise NotCompilable("rows of one number have no comma, so that their form is a matter of taste")
        begun_s = thread_time()
        predict(rows)
        each_s = (thread_time() - begun_s) / len(rows)
        if each_s > _MOST_S:
            raise NotCompilable("its program takes too long")
        forms = {
            headers: form
            for headers, form in program.forms.items()
            if self._agrees(headers, form, predict, rows)
        }
        if not forms:
            raise NotCompilable("its program disagrees")
        gapped = np.where(np.random.default_rng(1).random(rows.shape) < _GAPS, np.nan, rows)
        gapped[0] = np.nan
        gaps = all(
            self._agrees(headers, form, predict, gapped)
            for headers, form in forms.items()
            if headers[0] == CSV
        )
        return _Program(predict, program.features, max(1, int(_MOST_S / max(each_s, 1e-9))), gaps, forms)

    def _agrees(self, headers: CallHeaders, form: Form, predict: Predict, rows: Any) -> bool:
        """Whether the container answers calls with these headers byte by byte as the program does."""
        singles = _SINGLES if headers[1] is None else _FEWER_SINGLES
        spans = [(at, at + 1) for at in range(singles)] + [(0, len(rows))]
        spans += [(at, at + size) for size in _SEVERAL for at in range(0, len(rows) - size, len(rows) // 3)]
        return all(self._is_right(headers, form, predict, rows[start:end]) for start, end in spans)

    def _is_right(self, headers: CallHeaders, form: Form, predict: Predict, rows: Any) -> bool:
        found = predict(rows)
        answers = [form.answer(found)] if len(rows) > 1 else [form.answer(found), *form.answer_each(found)]
        return answers.count(self._ask(Call(_written(headers[0], rows), *headers))) == len(answers)

    def lane(self, headers: CallHeaders, bodies: Sequence[bytes]) -> ShortWay | None:
        """What answers calls with these headers and bodies here; None: the container does."""
        program = self._program
        form = None if program is None else program.forms.get(headers)
        read = None if program is None or form is None else program.read(headers[0], bodies)
        if program is None or form is None or read is None:
            return None
        return _FrontLane(self, program, form, headers[0], bodies, read)

    def give_up(self) -> None:
        """Its program failed: leave all calls to the container from now on."""
        self._program = None
        get_logger("sagebird.models").exception("program failed; the model answers without it")


def _written(kind: str | None, rows: Any) -> bytes:
    """Rows as callers send them: nothing where there is a gap."""
    if kind == JSON:
        return json.dumps(rows.tolist()).encode()
    return "\n".join(
        ",".join("" if cell != cell else repr(cell) for cell in row) for row in rows.tolist()
    ).encode()


def front_of(file: Path, read: ReadFile, contents: Contents, ask: AskContainer) -> Fronting | None:
    """What may answer for a container that was made of such contents; None where nothing is compiled."""
    if not may_compile(contents.environment, contents.most_program_bytes):
        return None
    return Fronting(file, read, ask, contents.most_program_bytes)


class _FrontLane:
    """Calls with the same headers, whose bodies were read already."""

    __slots__ = ("_bodies", "_form", "_front", "_kind", "_program", "_read", "compiling", "verdict")

    def __init__(
        self,
        front: Fronting,
        program: _Program,
        form: Form,
        kind: str | None,
        bodies: Sequence[bytes],
        read: tuple[Any, Sequence[int]],
    ) -> None:
        """`read` is what the program reads of bodies of this kind."""
        self.compiling: Compiling = front
        self.verdict = front.verdict
        self._front = front
        self._program = program
        self._form = form
        self._kind = kind
        self._bodies = bodies
        self._read = read

    def answer(self, bodies: Sequence[bytes]) -> list[Outcome]:
        """What each call gets."""
        read = self._read if bodies == self._bodies else self._program.read(self._kind, bodies)
        if read is None:
            raise ValueError("these bodies were never read")
        rows, sizes = read
        try:
            predictions = self._program.predict(rows)
        except Exception:
            self._front.give_up()
            raise
        if len(predictions) == len(bodies):
            return list[Outcome](self._form.answer_each(predictions))
        ends = accumulate(sizes, initial=0)
        return [self._form.answer(predictions[start:end]) for start, end in pairwise(ends)]

    def takes_rows(self, calls: int) -> bool:
        """Never: its bodies are read."""
        return False

    def answer_rows(self, rows: Any, bodies: Sequence[bytes], *, plain: bool = True) -> None:
        """Each has to be answered by `answer`."""
