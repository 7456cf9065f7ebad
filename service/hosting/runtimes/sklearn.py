"""Scikit-learn models (and all that look like them), saved with joblib or pickle.

In here: predicting from rows or records.
Not in here: loading the file (pickled), bytes and headers (codec), scripts (handler).
"""

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.exceptions import NotFittedError

from service.errors import BadPayload, ModelFailure, ModelFault, NotAcceptable, NotCompilable
from service.hosting.artifacts.unpacked import UNLIMITED, Room
from service.hosting.programs import prepared
from service.hosting.programs import table as programs
from service.hosting.programs.compiled import Joined, Quick, answers_by_row
from service.hosting.programs.domain import bare
from service.hosting.programs.probes import parts_of
from service.hosting.programs.trees import forests_in
from service.hosting.runtimes.coding import Coding
from service.hosting.runtimes.drift import drift_sentences, ignore_missing_names, listen
from service.hosting.runtimes.faults import code_fault
from service.hosting.runtimes.finding import find_file
from service.hosting.runtimes.outputs import LABEL, PROBABILITIES, both, by_sample
from service.hosting.runtimes.pickled import load_file
from service.hosting.runtimes.reading import Reading, frame_of
from service.hosting.runtimes.row_wise import is_row_wise
from service.hosting.sharing import SharedArrays
from service.media.codec import Accept
from service.media.tables import CsvBody, Table, Takes
from service.media.types import NPY

_NEEDS_NAMES = "Specifying the columns using strings is only supported for dataframes"
_HOLDS_GAPS = "contains NaN"
_UNKNOWN_WORDS = "Found unknown categories"
_MOST_ROWS = 8192  # that a program answers at once, where that changes nothing


def load(model_dir: Path, environment: Mapping[str, str], room: Room = UNLIMITED) -> "SklearnModel":
    """Load the folder's model. Raises ModelFault."""
    file = find_file(model_dir)
    with listen() as versions:
        estimator = load_file(file, versions, room)
    return SklearnModel(estimator, read_output(environment), drift_sentences(versions))


def read_output(environment: Mapping[str, str]) -> tuple[str, ...]:
    """What SAGEMAKER_INFERENCE_OUTPUT asks a model to answer; () when it is not set. Raises ModelFailure."""
    text = environment.get("SAGEMAKER_INFERENCE_OUTPUT", "")
    output = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in output:
        if name not in (LABEL, PROBABILITIES):
            raise ModelFailure(f"SAGEMAKER_INFERENCE_OUTPUT knows {LABEL} and {PROBABILITIES}, not {name!r}")
    return output


class SklearnModel:
    """An estimator and how it answers; `estimator` is left as it was loaded."""

    def __init__(self, estimator: Any, output: tuple[str, ...] = (), warnings: tuple[str, ...] = ()) -> None:
        self.estimator = estimator
        self.warnings = warnings
        self._name = type(estimator).__name__
        self._output = output
        self._answers_by = self._method()
        self._reading = Reading(estimator)
        self.takes: Takes = self._reading.takes
        self.columns = self._reading.names
        self._features = self._reading.features
        self._wants_names = False
        self._coding: Coding | None = None
        self._probes: Any = None
        self.quick: Mapping[str, Quick] = {}
        self._joins: Mapping[str, Joined] = {}
        self._arrays_of_programs: Callable[[], SharedArrays] | None = None
        self._sharers = 1
        self._has_threads = any(vars(part).get("n_jobs") not in (None, 1) for part in parts_of(estimator))
        if PROBABILITIES in output and not hasattr(estimator, "predict_proba"):
            raise ModelFailure(
                f"SAGEMAKER_INFERENCE_OUTPUT asks for probabilities, but {self._no_probabilities}"
            )

    @property
    def description(self) -> str:
        """The estimator's class and the package it is from."""
        package = type(self.estimator).__module__.partition(".")[0]
        return f"{self._name} ({'scikit-learn' if package == 'sklearn' else package})"

    def predict(self, data: Any, accept: Accept) -> Any:
        """What the estimator says about what the codec read, shaped for the accepted media type.

        Anything else, which a script's input_fn made, is handed on as it is.

        Raises BadPayload when the estimator refuses the data, NotAcceptable when it cannot say what is asked.
        """
        output = self._asked(accept)
        ask = self._asking(data)
        if PROBABILITIES not in output:
            return ask(self._answers_by)
        if not hasattr(self.estimator, "predict_proba"):
            raise NotAcceptable(self._no_probabilities)
        if LABEL not in output:
            return by_sample(ask("predict_proba"), accept.media_type)
        if accept.media_type == NPY:
            raise NotAcceptable(
                "labels and probabilities together do not fit one array: accept JSON, JSON Lines or CSV"
            )
        labels = ask(self._answers_by)
        return both(labels, ask("predict_proba"), accept.media_type)

    def _asking(self, data: Any) -> Callable[[str], Any]:
        """What answers by a method, given its name, to what was read: a program, or the estimator."""
        rows = self.code(data)
        if rows is None:
            return partial(self._call, *self._given(data))

        def ask(name: str) -> Any:
            answer = self._by_program(name, rows)
            return self._call(*self._given(data), name) if answer is None else answer

        return ask

    def _given(self, data: Any) -> tuple[Any, str | None]:
        """What the estimator is called with, and how the caller wrote that there is no value."""
        if type(data) is np.ndarray and self.takes.numbers:
            return data, None
        return self._read(data), _gap_word(data)

    @property
    def coding(self) -> Coding | None:
        """How rows are coded for its programs; None where they take numbers as they are."""
        return self._coding

    @property
    def coded(self) -> bool:
        """Whether its programs take the rows that `code` gives."""
        return self._coding is not None

    def code(self, data: Any) -> Any | None:
        """Rows as programs of words and gaps take them; None where there are none, or not for these."""
        coding = self._coding
        if coding is None:
            return None
        if type(data) is np.ndarray:  # of numbers, which are coded as they are
            fits = self.takes.numbers and data.dtype == np.float64 and data.shape[1:] == (self._features,)
            return data if fits else None
        return coding.code(data)

    def _read(self, data: Any) -> Any:
        if isinstance(data, np.ndarray) and data.dtype.kind in "iuf" and data.ndim == 2:
            data = Table(data.tolist())  # numbers for a model that takes words
        if isinstance(data, CsvBody | Table) or (isinstance(data, list) and data and type(data[0]) is dict):
            return self._reading.read(data)
        return data

    def methods_for(self, accept: Accept) -> tuple[str, ...]:
        """The estimator's methods that `predict` calls for such an answer."""
        output = self._asked(accept)
        labels = () if PROBABILITIES in output and LABEL not in output else (self._answers_by,)
        return (*labels, "predict_proba") if PROBABILITIES in output else labels

    def quick_for(self, accept: Accept) -> Quick | None:
        """What alone gives such an answer for plain rows with as many columns as there are `features`."""
        return None if PROBABILITIES in self._asked(accept) else self.quick.get(self._answers_by)

    def joined(self, accept: Accept) -> Joined | None:
        """How requests for such an answer may be put together; None: not at all."""
        names = self.methods_for(accept)
        return self._joins.get(names[0]) if len(names) == 1 else None

    def answers_by_row(self, accept: Accept) -> bool:
        """Whether no answer of this form depends on the rows beside it. Tries it, which takes a moment."""
        names = self.methods_for(accept)
        return all(self._joins.get(name) is Joined.ROWS for name in names) or answers_by_row(self, names)

    def predict_joined(self, rows: "np.ndarray[Any, Any]", each: int, accept: Accept) -> Any | None:
        """What requests of `each` rows get, or, with 0, of any number, which follow one another in rows.

        None where each has to be asked alone. To be used as `joined` says.
        """
        (name,) = self.methods_for(accept)
        quick = self.quick.get(name)
        if quick is None or rows.shape[1] != self._features:
            return None
        return quick.answer_stack(rows, each) if each else quick.answer_plain(rows)

    def _asked(self, accept: Accept) -> tuple[str, ...]:
        return self._output if accept.output is None else accept.output

    # What hosting/programs/compiled asks for

    @property
    def features(self) -> int | None:
        """Columns that the estimator takes, if it says so."""
        return self._features

    def methods(self) -> Mapping[str, Callable[[Any], Any]]:
        """The methods that requests can reach, given rows (n, features)."""
        names = [self._answers_by, *(["predict_proba"] if hasattr(self.estimator, "predict_proba") else [])]
        return {name: self.method(name) for name in names}

    def method(self, name: str) -> Callable[[Any], Any]:
        """A method of the estimator, given rows (n, features)."""
        coding = self._coding
        if coding is None:
            return partial(self._call_estimator, name)
        return lambda rows: self._call_estimator(name, coding.restored(rows))

    def is_row_wise(self) -> bool:
        """Whether it is known that no answer depends on the rows beside it."""
        return is_row_wise(self.estimator)

    def programs(self) -> Mapping[str, Callable[[Any], Any]]:
        """Programs of the estimator's methods. Raises NotCompilable."""
        if self._arrays_of_programs is None:
            return self._made()
        with self._arrays_of_programs() as arrays:
            found = self._made()
            arrays.exchange([merged.held for merged in forests_in(map(bare, found.values()))])
        weakref.finalize(self, arrays.close)
        return found

    def _made(self) -> Mapping[str, Callable[[Any], Any]]:
        """Programs of plain rows, or of coded ones, as far as there are any. Raises NotCompilable."""
        plain = self.takes.numbers and not prepared.fills_gaps(self.estimator)
        first, second = (self._plain, self._prepared) if plain else (self._prepared, self._plain)
        try:
            return first()
        except NotCompilable as error:
            with suppress(NotCompilable):
                return second()
            raise error

    def _plain(self) -> Mapping[str, Callable[[Any], Any]]:
        return programs.build(self.estimator)

    def _prepared(self) -> Mapping[str, Callable[[Any], Any]]:
        """Programs that take coded rows. Raises NotCompilable."""
        coding = Coding(self._reading)
        try:
            found = prepared.build(self.estimator, coding.words, coding.restore)
        except NotCompilable:
            raise
        except Exception as error:  # edge: steps are asked for what only they know, and may fail
            raise NotCompilable(f"its steps fail: {one_sentence(str(error))}") from error
        coding.learn(found.words)
        self._coding, self._probes = coding, found.rows
        if self.takes.numbers and coding.words.gapless:  # nobody asked what is made of gaps in these
            return {name: step.step for name, step in found.methods.items()}
        return found.methods

    def probes(self) -> Any | None:
        """Rows to try its programs with, of all that they take; None: such as any model is tried with."""
        return self._probes

    def program_bytes(self) -> int:
        """Memory that the programs will hold besides the estimator's own."""
        shared = programs.size_bytes(self.estimator) // self._sharers
        return shared + prepared.size_bytes(self.estimator)

    def share_programs(self, arrays: Callable[[], SharedArrays], sharers: int) -> None:
        """Have so many processes hold what is large of the programs once; `arrays` opens what they share."""
        self._arrays_of_programs, self._sharers = arrays, sharers

    def accelerate(self, quick: Mapping[str, Quick], joins: Mapping[str, Joined]) -> None:
        """Let these answer rows that they take, and requests be put together so."""
        self.quick = quick
        self._joins = joins
        if not quick:
            self._coding = self._probes = None

    @property
    def _no_probabilities(self) -> str:
        return f"{self._name} gives no probabilities (it has no predict_proba)"

    def _method(self) -> str:
        for name in ("predict", "transform"):
            if callable(getattr(self.estimator, name, None)):
                return name
        raise ModelFailure(
            f"the model is a {self._name}, which has neither predict nor transform: save a fitted estimator, "
            "or define predict_fn in code/inference.py"
        )

    def _call(self, data: Any, gap: str | None, name: str) -> Any:
        if name in self.quick:
            if type(data) is np.ndarray:
                self._check_width(data)
            answer = self._by_program(name, data)
            if answer is not None:
                return answer
        return self._call_estimator(name, data, gap)

    def _by_program(self, name: str, data: Any) -> Any | None:
        """What a program answers; None where there is none, or not for this.

        Rows that may be put together may be taken apart as well, so that they stay in the processor's cache.
        """
        quick = self.quick.get(name)
        if quick is None:
            return None
        if (
            type(data) is not np.ndarray
            or len(data) <= _MOST_ROWS
            or self._joins.get(name) is not Joined.ROWS
        ):
            return quick(data)
        found = []
        for rows in np.array_split(data, -(-len(data) // _MOST_ROWS)):
            answer = quick(rows)
            if answer is None:
                return None
            found.append(answer)
        return np.concatenate(found)

    def _call_estimator(self, name: str, data: Any, gap: str | None = None) -> Any:
        """`gap` is how the caller wrote that there is no value; None for nan."""
        rows = self._checked(data) if isinstance(data, np.ndarray) else data
        # Threads of its own would add up numbers in the order in which they happen to end.
        alone = joblib.parallel_config(backend="sequential") if self._has_threads else nullcontext()
        try:
            with alone:
                return getattr(self.estimator, name)(rows)
        except BaseException as error:  # edge: an estimator may hold the model's own code
            if rows is data and isinstance(data, np.ndarray) and self.columns and _NEEDS_NAMES in str(error):
                self._wants_names = True  # a ColumnTransformer; from now on its rows get names at once
                return self._call_estimator(name, data, gap)
            raise self._fault(error, data, gap) from error

    def _checked(self, rows: "np.ndarray[Any, Any]") -> Any:
        """Rows with the right number of columns, and with names only where the estimator needs them."""
        self._check_width(rows)
        if self.columns is None:
            return rows
        if self._wants_names:
            return frame_of(list(rows.T), self.columns)
        ignore_missing_names()
        return rows

    def _check_width(self, rows: "np.ndarray[Any, Any]") -> None:
        if self._features is not None and rows.ndim == 2 and rows.shape[1] != self._features:
            raise BadPayload(self._reading.misfit(rows.shape[1]))

    def _fault(self, error: BaseException, data: Any, gap: str | None) -> ModelFault:
        by_name = not isinstance(data, np.ndarray)
        refused = (
            (ValueError, TypeError) if by_name else ValueError
        )  # TypeError: an object in place of a value
        if isinstance(error, refused) and not isinstance(error, NotFittedError):
            return BadPayload(self._refusal(str(error), data, gap))
        fault = code_fault(error)
        if not self.warnings:
            return fault
        return type(fault)(f"{'; '.join(self.warnings)}\n{fault.message}", fault.status)

    def _refusal(self, said: str, data: Any, gap: str | None) -> str:
        """What an estimator says of data that it does not take, with the place that it means."""
        if gap and _HOLDS_GAPS in said and (place := self._reading.locate_gap(data)) is not None:
            return f"{place} is {gap}."
        if _UNKNOWN_WORDS in said and (found := self._reading.locate_unknown(data, gap)) is not None:
            return found
        return one_sentence(said)


def _gap_word(data: Any) -> str | None:
    """How a body writes that there is no value, if that is not nan."""
    if isinstance(data, CsvBody):
        return None if b"nan" in data.body.lower() else "blank"
    return "null" if any(cell is None for cell in _cells(data)) else None


def _cells(data: Any) -> Iterator[Any]:
    """The cells of rows or records; none of what a script made."""
    if isinstance(data, Table):
        yield from data.rows if data.flat else chain.from_iterable(data.rows)
    elif isinstance(data, list):
        yield from chain.from_iterable(row.values() for row in data if type(row) is dict)


def one_sentence(said: str) -> str:
    """The first sentence of a message; one that ends in a colon goes on in the lines behind it."""
    lines = [line.strip() for line in said.split("\n") if line.strip()]
    if not lines:
        return said
    sentence, behind = lines[0], lines[1:]
    while sentence.endswith(":") and behind:
        if behind[0].startswith("- "):
            listed = [line[2:] for line in behind if line.startswith("- ")]
            return f"{sentence} {', '.join(listed)}"
        sentence = f"{sentence} {behind.pop(0)}"
    return sentence
