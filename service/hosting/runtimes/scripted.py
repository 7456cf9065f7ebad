"""Estimators in a script's hands: they answer by programs for as long as nobody has changed them.

A script calls `model.predict(data)` as ever and gets, to the last bit, what it would get: data that is not
for programs goes to the estimator itself, and so does all data once the estimator is not what it was (seal).
For the process that has loaded a model, before its workers are forked from it: a container borrows `quicken`.
"""

import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

import joblib
import numpy as np
import pandas as pd

from service.errors import NotCompilable
from service.hosting.programs.compiled import Compiling, Quick, compile_model
from service.hosting.programs.probes import probe_rows
from service.hosting.runtimes.frames import CodedFrames, Frames, PlainFrames, Trial
from service.hosting.runtimes.seal import Seal
from service.hosting.runtimes.sklearn import SklearnModel
from service.media.readers import Matrix

_MOST_ESTIMATORS: Final = 8
_FLOAT: Final = np.dtype(np.float64)


def quicken(model: Any, environment: Mapping[str, str], most_bytes: int, handed_out: bool) -> list[str]:
    """Have the estimators that a model is, or holds, answer by programs; the methods that do so from now on.

    The programs may hold `most_bytes`. Unless it is `handed_out`, nobody but built-in code gets the model.
    """
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for estimator in _estimators_of(model):
            with suppress(Exception):  # whatever is the matter, it goes on answering by itself
                found.append(Quickened(estimator, environment, most_bytes))
    ways = [(each, [_way_of(type(each.estimator), name) for name in each.quick]) for each in found]
    names = set()
    for each, own in ways:  # the classes stay as they are from here on
        with suppress(NotCompilable):
            each.seal = Seal(each.estimator) if handed_out or each.estimator is not model else None
            for way in own:
                way.known[id(each.estimator)] = each
                names.add(way.name)
    return sorted(names)


def _estimators_of(model: Any) -> list[Any]:
    """The model, or those that a container, or an object of the script's own, holds as its values."""
    inside: Iterable[Any] = ()
    if isinstance(model, dict):
        inside = model.values()
    elif isinstance(model, list | tuple):
        inside = model
    elif not _is_estimator(model) and isinstance(getattr(model, "__dict__", None), dict):
        inside = vars(model).values()
    found = {id(each): each for each in (model, *inside) if _is_estimator(each)}
    return [*found.values()][:_MOST_ESTIMATORS]


def _is_estimator(thing: Any) -> bool:
    return type(thing).__module__.startswith("sklearn.") and hasattr(thing, "fit")


class Quickened:
    """An estimator, its programs, and what they take of the data that a script gives it."""

    def __init__(self, estimator: Any, environment: Mapping[str, str], most_bytes: int) -> None:
        """Raises Exception: it has no programs, or none that would do."""
        reference = SklearnModel(estimator)
        if Compiling.of(reference, environment, most_bytes).reference is None:
            raise NotCompilable("it is not to be compiled")
        compile_model(reference, joined=False)
        self.estimator = estimator
        self.seal: Seal | None = None
        self.quick: Mapping[str, Quick] = reference.quick
        self._reference = reference
        self._features = reference.features
        self._takes_texts = any(quick.takes_texts for quick in self.quick.values())
        self._takes_arrays = self._takes_lists = False
        self._frames: Frames | None = None
        if not self._takes_texts:
            self._try_forms()

    def _try_forms(self) -> None:
        """Find out in which forms it takes what programs take. Raises NotCompilable: in none."""
        reference, estimator, probes = self._reference, self.estimator, self._reference.probes()
        rows = probe_rows(estimator, self._features or 0, None) if probes is None else probes
        name = sorted(self.quick)[-1]  # chances, where there are any: they tell more than labels
        trial = Trial(name, partial(_ask, getattr(estimator, name)), self.quick[name].program, rows)
        self._takes_arrays = reference.takes.numbers and trial.agrees(np.asarray)
        self._takes_lists = self._takes_arrays and trial.agrees(np.ndarray.tolist)
        names = getattr(estimator, "feature_names_in_", None)
        if names is not None:
            coding, given = reference.coding, names.tolist()
            with suppress(NotCompilable):
                self._frames = PlainFrames(given, trial) if coding is None else CodedFrames(coding, trial)
        if not self._takes_arrays and self._frames is None:
            raise NotCompilable("its programs take nothing that a script may give it")

    def answer(self, name: str, data: Any) -> Any | None:
        """What a method says to data; None: ask the estimator."""
        given = self._given(data)
        if given is None or not (self.seal is None or self.seal.holds()):
            return None
        found = self.quick[name](given)
        if found is None or (found.flags.owndata and found.flags.writeable):
            return found
        return found.copy(order="K")  # a script may write into what it gets

    def _given(self, data: Any) -> Matrix | list[str] | None:
        kind = type(data)
        if kind is pd.DataFrame:
            return None if self._frames is None else self._frames.rows(data)
        if kind is np.ndarray:
            return self._of_array(data) if self._takes_arrays else None
        if kind is not list or not data:
            return None
        if self._takes_texts:
            return data if all(type(each) is str for each in data) else None
        return self._of_list(data) if self._takes_lists else None

    def _of_array(self, rows: Any) -> Matrix | None:
        fits = rows.dtype == _FLOAT and rows.shape[1:] == (self._features,) and len(rows)
        return rows if fits and rows.flags.c_contiguous else None

    def _of_list(self, data: list[Any]) -> Matrix | None:
        plain = all(type(row) is list and all(type(cell) is float for cell in row) for row in data)
        try:
            return self._of_array(np.array(data)) if plain else None
        except ValueError:  # they are not of one length
            return None


def _ask(method: Any, data: Any) -> Any:
    """Threads of its own would add up numbers in the order in which they happen to end."""
    with joblib.parallel_config(backend="sequential"):
        return method(data)


class _Way:
    """A method of a class, in the place of that: some of its objects are answered otherwise."""

    def __init__(self, kind: type, name: str) -> None:
        self.name = name
        self.known: dict[int, Quickened] = {}
        self._kind = kind
        self._own = vars(kind).get(name)

    def __get__(self, estimator: Any, kind: type | None = None) -> Any:
        if self._own is not None:
            method = self._own.__get__(estimator, kind)
        else:
            method = getattr(super(self._kind, kind if estimator is None else estimator), self.name)
        quickened = self.known.get(id(estimator))
        return method if quickened is None else _Method(method, quickened, self.name)


class _Method:
    """A method of one estimator, bound to it."""

    def __init__(self, method: Any, quickened: Quickened, name: str) -> None:
        self.__wrapped__ = method
        self._quickened = quickened
        self._name = name

    def __call__(self, *data: Any, **more: Any) -> Any:
        """As the method, given rows or texts and nothing else; anything else is its own business."""
        found = self._quickened.answer(self._name, data[0]) if len(data) == 1 and not more else None
        return self.__wrapped__(*data, **more) if found is None else found

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.__wrapped__, attribute)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self._quickened.estimator, self._name)


def _way_of(kind: type, name: str) -> _Way:
    found = vars(kind).get(name)
    if not isinstance(found, _Way):
        found = _Way(kind, name)
        setattr(kind, name, found)
    return found
