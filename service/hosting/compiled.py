"""Faster programs for loaded models, used only where they were checked to be equal and measured to be faster.

A program answers what `predict`, `predict_proba` or `transform` of the loaded estimator answer, without
scikit-learn's checks and loops (hosting/flavours/programs). Before it is used it is tried on rows of the
model's own ranges, the example request, edges, and values next to thresholds: labels must be identical,
numbers within 1e-6, shapes and types the same, one row at a time and many at once. Rows that hold nan,
infinity or what float32 cannot hold always go to the estimator itself, which knows what to make of them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import thread_time
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from service.hosting.probes import probe_rows
from service.log import get_logger

Rows = npt.NDArray[np.float64]
Step = Callable[[Any], Any]

COMPILE = "SAGEBIRD_COMPILE"
"""The variable in a model's environment that switches compiling off for it."""

_OFF = frozenset({"off", "no", "false", "0"})
_TOLERANCE = 1e-6
_SINGLE_ROWS = 48
_SIZES = (1, 8, 64, 256)
_TIMED_S = 0.005
_INDEPENDENCE_S = 0.2
_FLOAT64 = np.dtype(np.float64)
# The square of the largest number that float32 holds: below it a sum of squares has nothing larger in it.
_LIMIT = float(np.finfo(np.float32).max) ** 2


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

    def program_bytes(self) -> int:
        """Memory that the programs will hold besides the estimator's own."""
        ...

    def accelerate(self, programs: Mapping[str, "Quick"]) -> None:
        """Let these answer in place of the methods of the same names."""
        ...


class Disagreement(Exception):
    """A program does not answer what the estimator answers; the text says where."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of compiling a model; `speeds` are methods -> (rows, estimator's s, program's s).

    `joins` are the methods that were seen to give each row the same answer, to the last bit, whatever other
    rows are there.
    """

    compiled: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    speeds: Mapping[str, tuple[tuple[int, float, float], ...]] = field(default_factory=dict)
    joins: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """For people: what is compiled and what is not."""
        parts = [f"compiled: {', '.join(self.compiled)}"] if self.compiled else []
        parts += [f"not compiled: {reason}" for reason in self.reasons]
        return "; ".join(parts)


class Quick:
    """A program with its guard. Called with rows it gives the answer, or None: ask the estimator."""

    __slots__ = ("_first", "_last", "_program")

    def __init__(self, program: Step, first: int = 1, last: float = float("inf")) -> None:
        """`first` to `last` rows at once are what it is faster for."""
        self._program = program
        self._first = first
        self._last = last

    def __call__(self, rows: Any) -> Any | None:
        """Answer, or None for rows that are not for programs."""
        if type(rows) is not np.ndarray or rows.dtype != _FLOAT64 or rows.ndim != 2:
            return None
        # Wrong for nan, infinity and numbers beyond float32, each of which makes the sum so too.
        return self.answer_plain(rows) if np.vdot(rows, rows) < _LIMIT else None

    def answer_plain(self, rows: Rows) -> Any | None:
        """As a call, for rows (n, features) in which nothing is that is not for programs."""
        if not self._first <= len(rows) <= self._last:
            return None
        try:
            return self._program(rows)
        except Exception:  # it worked when it was checked: the estimator goes on, and answers for it
            self._last = 0
            get_logger("sagebird.models").exception("program failed; the model answers without it")
            return None


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
        if not most_bytes or reference is None or environment.get(COMPILE, "on").lower() in _OFF:
            return cls(None)
        need_bytes = reference.program_bytes()
        if need_bytes > most_bytes:
            need_mib, most_mib = need_bytes / 2**20, most_bytes / 2**20
            reason = f"its programs would hold {need_mib:.1f} MiB more, of {most_mib:.1f} MiB allowed"
            return cls(None, verdict=Verdict(reasons=(reason,)))
        return cls(reference, need_bytes)

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


def _repeat(reference: Reference, known: Verdict) -> Verdict:
    if known.compiled:
        programs = reference.programs()
        speeds = known.speeds
        reference.accelerate({name: _bounded(programs[name], speeds[name]) for name in known.compiled})
    return known


def compile_model(reference: Reference, example: Rows | None = None) -> Verdict:
    """Find, check and measure programs for a loaded model, and have it use them. Takes up to a second."""
    features = reference.features
    if features is None:
        return Verdict(reasons=("it does not say how many columns it takes",))
    rows = probe_rows(reference.estimator, features, _fitting(example, features))
    quick: dict[str, Quick] = {}
    speeds: dict[str, tuple[tuple[int, float, float], ...]] = {}
    try:
        programs = reference.programs()
        reasons: list[str] = []
    except Exception as error:  # whatever is the matter with a program, the estimator goes on serving
        programs, reasons = {}, [str(error)]
    for name, method in reference.methods().items():
        if name not in programs:
            reasons += [f"there is no program for its {name}"] if programs else []
            continue
        try:
            check(name, method, programs[name], rows)
            speeds[name] = measure(method, programs[name], rows)
            quick[name] = _bounded(programs[name], speeds[name])
        except Exception as error:
            reasons.append(f"{name}: {error}")
    reference.accelerate(quick)
    return Verdict(tuple(quick), tuple(reasons), speeds, _joins(reference.methods(), quick, rows))


def _joins(methods: Mapping[str, Step], quick: Mapping[str, Quick], rows: Rows) -> tuple[str, ...]:
    """The methods whose answers to a row do not depend on the rows beside it."""
    steps = {name: _serving(method, quick.get(name)) for name, method in methods.items()}
    return tuple(name for name, step in steps.items() if _is_safe(step, rows))


def _is_safe(step: Step, rows: Rows) -> bool:
    try:
        with _quiet():
            return _is_independent(step, rows)
    except Exception:  # it refuses some rows, so that nothing can be said
        return False


def _serving(method: Step, quick: Quick | None) -> Step:
    def answer(rows: Rows) -> Any:
        found = None if quick is None else quick(rows)
        return method(rows) if found is None else found

    return answer


def _is_independent(step: Step, rows: Rows) -> bool:
    begun_s = thread_time()
    together = step(rows)
    if not isinstance(together, np.ndarray) or len(together) != len(rows):
        return False
    for size in (1, 3, 32):
        for at in range(0, len(rows) - size, max(1, len(rows) // _SINGLE_ROWS) * size):
            if step(rows[at : at + size]).tobytes() != together[at : at + size].tobytes():
                return False
            if thread_time() - begun_s > _INDEPENDENCE_S:
                break
    return True


def check(name: str, method: Step, program: Step, rows: Rows) -> None:
    """Compare a program with the method that it stands for, on all rows at once and on some one by one.

    Raises:
        Disagreement: they differ.
        Exception: one of them failed.
    """
    with _quiet():
        expected = method(rows)
        _compare(name, expected, program(rows), rows)
        for at in np.linspace(0, len(rows) - 1, min(_SINGLE_ROWS, len(rows))).astype(int):
            row = rows[at : at + 1]
            _compare(name, expected[at : at + 1], program(row), row)


def measure(method: Step, program: Step, rows: Rows) -> tuple[tuple[int, float, float], ...]:
    """Seconds of processor time of both, for some numbers of rows."""
    found = []
    with _quiet():
        for size in _SIZES:
            some = np.resize(rows, (size, rows.shape[1]))
            found.append((size, _time(method, some), _time(program, some)))
    return tuple(found)


def _time(step: Step, rows: Rows) -> float:
    """The least of some calls, in as much time as there is."""
    least_s = float("inf")
    begun_s = thread_time()
    for _ in range(20):
        started_s = thread_time()
        step(rows)
        now_s = thread_time()
        least_s = min(least_s, now_s - started_s)
        if now_s - begun_s > _TIMED_S:
            break
    return least_s


def _bounded(program: Step, speeds: Sequence[tuple[int, float, float]]) -> Quick:
    """The program for the sizes for which it is faster, from the first such to the last in a row."""
    faster = [program_s < method_s for _, method_s, program_s in speeds]
    if not any(faster):
        raise Disagreement("its program is not faster")
    first = faster.index(True)
    last = first
    while last + 1 < len(faster) and faster[last + 1]:
        last += 1
    ends = float("inf") if last == len(faster) - 1 else speeds[last][0]
    return Quick(program, speeds[first][0], ends)


def _compare(name: str, expected: Any, found: Any, rows: Rows) -> None:
    if type(found) is not type(expected) or not isinstance(expected, np.ndarray):
        raise Disagreement(f"its program gives a {type(found).__name__}, not a {type(expected).__name__}")
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise Disagreement(
            f"its program gives {found.dtype} {found.shape}, not {expected.dtype} {expected.shape}"
        )
    differs = _differing(expected, found)
    if differs.any():
        at = int(np.flatnonzero(differs.reshape(len(rows), -1).any(axis=1))[0])
        raise Disagreement(f"its program disagrees, for example on the row {rows[at].tolist()}"[:300])


def _differing(expected: npt.NDArray[Any], found: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if expected.dtype.kind != "f":
        return np.asarray(expected != found)
    close = np.isclose(found, expected, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True)
    return np.asarray(~close)


def _fitting(example: Any, features: int) -> Rows | None:
    """The example rows if they are rows that programs take."""
    usable = type(example) is np.ndarray and example.dtype == _FLOAT64 and example.ndim == 2
    if not usable or example.shape[1] != features or not np.isfinite(example).all():
        return None
    return np.asarray(example[:16])


@contextmanager
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield
