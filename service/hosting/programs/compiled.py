"""Faster programs for loaded models, used only where they were checked to be equal and measured to be faster.

A program answers what `predict`, `predict_proba` or `transform` of the loaded estimator answer, without
scikit-learn's checks and loops (table). Before it is used it is tried on rows of the
model's own ranges, the example request, edges, values next to thresholds and rows between two labels: all
answers must be the same, bit by bit, one row at a time and many at once, and so must the scores that labels
come from. Rows that hold nan, infinity or what float32 cannot hold, at the start or on the way, go to the
estimator itself, which knows what to make of them, unless a program says that it does, and was tried on such.

Here is also found out how requests may be put together without a change of anybody's answer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any, Protocol

import numpy as np

from service.errors import ModelFault
from service.hosting.programs.agreement import (
    CHECKED,
    SPOTS,
    Given,
    ProgramCheck,
    Step,
    answer_stack,
    check_rows,
    check_stacks,
    quiet,
)
from service.hosting.programs.domain import Domain, bare, domain_of, is_plain, widened
from service.hosting.programs.probes import boundary_rows, probe_rows
from service.hosting.programs.speeds import Speeds, faster_for, measure
from service.hosting.programs.text_probes import probe_texts
from service.hosting.programs.threads import one_thread
from service.log import get_logger
from service.media.readers import Matrix

COMPILE = "SAGEBIRD_COMPILE"
"""The variable in a model's environment that switches compiling off for it."""

_LABELS = "predict"
_SCORES = ("decision_function", "predict_proba")
_OFF = frozenset({"off", "no", "false", "0"})
_FLOAT64 = np.dtype(np.float64)


class Joined(Enum):
    """How requests may be put together so that each gets, to the last bit, what it would get alone."""

    ROWS = "rows"
    """Their rows are put together: no answer depends on the rows beside it."""
    EQUALS = "requests of as many rows"
    """As a stack for a program: answers depend on the number of rows of their own request."""
    SINGLES = "requests of one row"
    """Likewise, but only single rows."""


class Reference(Protocol):
    """What is compiled: a loaded estimator's methods as they are served, without their programs."""

    @property
    def estimator(self) -> Any:
        """The object that was loaded."""
        ...

    @property
    def features(self) -> int | None:
        """Columns that it takes, if it says so."""
        ...

    def methods(self) -> Mapping[str, Step]:
        """The methods that requests can reach."""
        ...

    def programs(self) -> Mapping[str, Step]:
        """Programs of some of the methods. Raises Exception with the reason if there are none."""
        ...

    def method(self, name: str) -> Step:
        """A method of the estimator that a program stands for, though requests may not reach it."""
        ...

    def is_row_wise(self) -> bool:
        """Whether it is known that no answer depends on the rows beside it."""
        ...

    def program_bytes(self) -> int:
        """Memory that the programs will hold besides the estimator's own."""
        ...

    def probes(self) -> Matrix | None:
        """Rows to try its programs with, of all that they take; None: such as any model is tried with."""
        ...

    def accelerate(self, programs: Mapping[str, "Quick"], joins: Mapping[str, Joined]) -> None:
        """Let these answer in place of the methods of the same names, and requests be put together so."""
        ...


class NotForPrograms(Exception):
    """What a program met on its way is the estimator's business."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of compiling a model; `speeds` are those of its methods.

    `joins` says of methods how requests may be put together; of those that are not in it they may not.
    `domains` is what may be in the rows of programs.
    """

    compiled: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    speeds: Mapping[str, Speeds] = field(default_factory=dict)
    joins: Mapping[str, Joined] = field(default_factory=dict)
    domains: Mapping[str, Domain] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """For people: what is compiled and what is not."""
        parts = [f"compiled: {', '.join(self.compiled)}"] if self.compiled else []
        parts += [f"not compiled: {reason}" for reason in self.reasons]
        return "; ".join(parts)


class Quick:
    """A program with its guard. Called with rows it gives the answer, or None: ask the estimator."""

    __slots__ = ("_domain", "_first", "_last", "program")

    def __init__(
        self, program: Step, first: int = 1, last: float = float("inf"), domain: Domain = Domain.PLAIN
    ) -> None:
        """`first` to `last` rows at once are what it is faster for, `domain` what may be in them."""
        self.program = program
        self._first = first
        self._last = last
        self._domain = domain

    def __call__(self, rows: Any) -> Any | None:
        """Answer, or None for rows that are not for programs."""
        if self.takes_texts:
            return self.answer_plain(rows) if type(rows) is list else None
        if type(rows) is not np.ndarray or rows.dtype != _FLOAT64 or rows.ndim != 2:
            return None
        return self.answer_plain(rows) if self.holds(rows) else None

    def holds(self, rows: Matrix) -> bool:
        """Whether nothing is in rows (n, features) that is not for it."""
        # Wrong for nan, infinity and numbers beyond float32, each of which makes the sum so too.
        return is_plain(rows) or self._domain.holds(rows)

    @property
    def takes_texts(self) -> bool:
        """Whether it is called with a list of texts, of which none changes the answer to another."""
        return self._domain is Domain.TEXTS

    def answer_plain(self, rows: Given) -> Any | None:
        """As a call, for rows (n, features) in which nothing is that is not for programs, or for texts."""
        if not self._first <= len(rows) <= self._last:
            return None
        try:
            return self.program(rows)
        except NotForPrograms:
            return None
        except Exception:  # it worked when it was checked: the estimator goes on, and answers for it
            self._give_up()
            return None

    def answer_stack(self, rows: Matrix, each: int) -> Any | None:
        """As `answer_plain`, for requests of `each` rows that follow one another: what each gets alone."""
        if not self._last:
            return None
        try:
            if each == 1:  # as answer_stack does, in fewer steps
                return self.program(rows[:, np.newaxis])[:, 0]
            return answer_stack(self.program, rows, each)
        except NotForPrograms:
            return None
        except Exception:
            self._give_up()
            return None

    def _give_up(self) -> None:
        self._last = 0
        get_logger("sagebird.models").exception("program failed; the model answers without it")


class Compiling:
    """Whether one loaded model may be compiled, and what came of it."""

    def __init__(
        self, reference: Reference | None, program_bytes: int = 0, verdict: Verdict | None = None
    ) -> None:
        """`reference` None: never, or no more. `program_bytes` is the memory that its programs may hold."""
        self.reference = reference
        self.program_bytes = program_bytes
        self.verdict = verdict

    @classmethod
    def of(cls, reference: Reference | None, environment: Mapping[str, str], most_bytes: int) -> "Compiling":
        """For a model that was just loaded; `most_bytes` 0 means that no model is compiled."""
        if reference is None or not may_compile(environment, most_bytes):
            return cls(None)
        need_bytes = reference.program_bytes()
        if need_bytes > most_bytes:
            need_mib, most_mib = need_bytes / 2**20, most_bytes / 2**20
            reason = f"its programs would hold {need_mib:.1f} MiB more, of {most_mib:.1f} MiB allowed"
            return cls(None, verdict=Verdict(reasons=(reason,)))
        return cls(reference, need_bytes)

    @property
    def waits(self) -> bool:
        """Whether it is still to be run."""
        return self.reference is not None

    def describe(self, description: str) -> str:
        """A model's description, with what came of compiling it."""
        return description if self.verdict is None else f"{description}; {self.verdict.sentence}"

    def run(self, example: Any, known: Verdict | None) -> Verdict | None:
        """Compile, now; None if that is not wanted. Blocking.

        `known` is what came of it for the very same files: nothing is checked again then.
        """
        reference, self.reference = self.reference, None
        if reference is None:
            return None
        self.verdict = compile_model(reference, example) if known is None else _repeat(reference, known)
        return self.verdict


def may_compile(environment: Mapping[str, str], most_bytes: int) -> bool:
    """Whether a model may be compiled at all: unless its environment or the server says that it may not."""
    return bool(most_bytes) and environment.get(COMPILE, "on").lower() not in _OFF


def _repeat(reference: Reference, known: Verdict) -> Verdict:
    programs = reference.programs() if known.compiled else {}
    quick = {
        name: Quick(bare(programs[name]), *faster_for(known.speeds[name]), known.domains[name])
        for name in known.compiled
    }
    reference.accelerate(quick, known.joins)
    return known


def compile_model(reference: Reference, example: Matrix | None = None, *, joined: bool = True) -> Verdict:
    """Find, check and measure programs for a loaded model, and have it use them. Takes up to a second.

    Unless requests to it are `joined`, nobody asks how they may be.
    """
    with one_thread():
        return _compile(reference, example, joined=joined)


def _compile(reference: Reference, example: Matrix | None, *, joined: bool) -> Verdict:
    try:
        programs = reference.programs()
        reasons: list[str] = []
    except Exception as error:  # whatever is the matter with a program, the estimator goes on serving
        programs, reasons = {}, [str(error)]
    texts = any(domain_of(program) is Domain.TEXTS for program in programs.values())
    if reference.features is None and not texts:
        return Verdict(reasons=("it does not say how many columns it takes",))
    methods, row_wise = reference.methods(), joined and (texts or reference.is_row_wise())
    if not programs and not row_wise:
        return Verdict(reasons=tuple(reasons))
    tried = probe_texts(reference.estimator) if texts else _rows(reference, programs, example)
    checks = _ProgramChecks(reference, programs, tried)
    quick: dict[str, Quick] = {}
    speeds: dict[str, Speeds] = {}
    domains: dict[str, Domain] = {}
    for name, method in methods.items():
        if name not in programs:
            reasons += [f"there is no program for its {name}"] if programs else []
            continue
        try:
            domains[name] = checks.hold(name)
            speeds[name] = measure(method, programs[name], tried)
            quick[name] = Quick(bare(programs[name]), *faster_for(speeds[name]), domains[name])
        except Exception as error:
            reasons.append(f"{name}: {error}")
    if reference.probes() is not None:  # such rows are for programs alone
        methods = {name: methods[name] for name in quick}
    joins = _joins(methods, quick, tried, row_wise=row_wise) if joined else {}
    reference.accelerate(quick, joins)
    return Verdict(tuple(quick), tuple(reasons), speeds, joins, domains)


class _ProgramChecks:
    """Holds programs of a model against its estimator: on rows as they are, and on wider ones."""

    def __init__(self, reference: Reference, programs: Mapping[str, Step], rows: Given) -> None:
        self._rows = rows
        self._programs = programs
        self._own = reference.probes() is not None
        checked, row_wise = SPOTS if self._own else CHECKED, reference.is_row_wise()
        self._check = partial(ProgramCheck, reference.method, programs, checked=checked, row_wise=row_wise)
        self._plain = self._check(rows)
        self._wide: dict[Domain, ProgramCheck] = {}

    def hold(self, name: str) -> Domain:
        """What a program may be given: all that it says it takes, if it was tried on such rows too.

        With it are tried the scores below its labels. Raises Exception where it differs on plain rows.
        """
        names = (*_witnesses(name, self._programs), name)
        self._plain.hold(*names)
        said = domain_of(self._programs[name])
        if said is Domain.PLAIN or self._own or not isinstance(self._rows, np.ndarray):
            return said
        if said not in self._wide:
            self._wide[said] = self._check(widened(self._rows, said))
        try:
            self._wide[said].hold(*names)
        except ModelFault:  # the estimator takes no such rows
            return Domain.PLAIN
        return said


def _witnesses(name: str, programs: Mapping[str, Step]) -> tuple[str, ...]:
    """What shows that labels are right also where they are about to change: the scores below them."""
    return tuple(each for each in _SCORES if each in programs)[:1] if name == _LABELS else ()


def _rows(reference: Reference, programs: Mapping[str, Step], example: Any) -> Matrix:
    """Rows to try a model with, and some that lie between two labels, if there are labels."""
    features, own = reference.features or 0, reference.probes()
    if own is not None:
        return own
    rows = probe_rows(reference.estimator, features, _fitting(example, features))
    labels = programs.get(_LABELS, reference.methods().get(_LABELS))
    if labels is None:
        return rows
    try:
        with quiet():
            return np.concatenate([rows, boundary_rows(labels, rows)])
    except Exception:  # that it fails shows when it is checked
        return rows


def _joins(
    methods: Mapping[str, Step], quick: Mapping[str, Quick], rows: Given, *, row_wise: bool
) -> dict[str, Joined]:
    """How requests may be put together, by the methods where they may."""
    found: dict[str, Joined] = {}
    for name, method in methods.items():
        if row_wise and _holds(check_rows, _serving(method, quick.get(name)), rows):
            found[name] = Joined.ROWS
        elif name in quick and _holds(check_stacks, quick[name].program, rows, (1, 2, 3, 7, 16, 33)):
            found[name] = Joined.EQUALS
        elif name in quick and _holds(check_stacks, quick[name].program, rows, (1,)):
            found[name] = Joined.SINGLES
    return found


def answers_by_row(reference: Reference, names: Sequence[str]) -> bool:
    """Whether these methods, without programs, answer row by row: known, and seen on some rows."""
    features, methods = reference.features, reference.methods()
    if features is None or not reference.is_row_wise():
        return False
    own = reference.probes()
    rows = probe_rows(reference.estimator, features, None) if own is None else own
    with one_thread():
        return all(_holds(check_rows, methods[name], rows) for name in names)


def _holds(trial: Callable[..., None], *given: Any) -> bool:
    try:
        with quiet():
            trial(*given)
    except Exception:  # they differ, or it refuses some rows, so that nothing can be said
        return False
    return True


def _serving(method: Step, quick: Quick | None) -> Step:
    def answer(rows: Given) -> Any:
        found = None if quick is None else quick(rows)
        return method(rows) if found is None else found

    return answer


def _fitting(example: Any, features: int) -> Matrix | None:
    """The example rows if they are rows that programs take."""
    usable = type(example) is np.ndarray and example.dtype == _FLOAT64 and example.ndim == 2
    if not usable or example.shape[1] != features or not np.isfinite(example).all():
        return None
    return np.asarray(example[:16])
