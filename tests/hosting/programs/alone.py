"""A model in a real host, and its answers held against scikit-learn's to each request alone, by bytes."""

import asyncio
import io
import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from service.clock import ManualClock
from service.domain.endpoint import ModelSource
from service.errors import ModelFault
from service.hosting.artifacts.archive import Limits
from service.hosting.artifacts.artifact import ArtifactStore
from service.hosting.cache.source import ModelKey
from service.hosting.calls.joining import answer_lanes
from service.hosting.host import Answer, Call, Model
from service.hosting.inline import HostLimits, InlineHost
from service.hosting.programs.compiled import Verdict
from service.hosting.programs.probes import probe_rows
from service.hosting.runtimes.flavour import FlavourModel
from service.hosting.runtimes.sklearn import SklearnModel
from service.media.codec import choose_accept, encode

PROBABILITIES = "application/json; output=probabilities"
_QUICK_S, _SLOW_S = 1e-6, 1.0
_AT_ONCE = 500
_PAIRS_PART = 4  # of all rows, so that their two ends are a half
_ODD = (1e37, 3.5e38, -1e200, float("nan"), float("inf"))


class _Nobody:
    def loaded(self, key: ModelKey, seconds: float, model: Model) -> None:
        """Nobody is told."""

    def failed(self, key: ModelKey, seconds: float, fault: ModelFault) -> None:
        """Nobody is told."""

    def evicted(self, key: ModelKey, reason: str) -> None:
        """Nobody is told."""


class Served:
    """One model in a host: as it was loaded first, compiled after `compile`."""

    def __init__(self, host: InlineHost, source: ModelSource, loaded: Any) -> None:
        self.host = host
        self.replica = host.single(source)
        self.estimator = loaded
        self.verdict = Verdict()

    @classmethod
    async def of(cls, folder: Path, estimator: Any) -> "Served":
        """Raises ModelFault where it cannot be served."""
        models = folder / "models"
        (models / "m").mkdir(parents=True)
        joblib.dump(estimator, models / "m" / "model.joblib")
        artifacts = ArtifactStore([models], folder / "unpacked", Limits(2**30, 1000, 100.0))
        clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        host = InlineHost(artifacts, HostLimits(2**30, compile=True), clock, _Nobody())
        host.compiler.pause()
        served = cls(host, ModelSource("m"), joblib.load(models / "m" / "model.joblib"))
        try:
            await served.replica.warm_up(None)
        except ModelFault:
            await host.close()
            raise
        return served

    async def compile(self) -> None:
        """Let the host compile it."""
        self.host.compiler.resume()
        await self.host.compiler.settle()
        model = self.entry.model
        assert isinstance(model, FlavourModel)
        self.verdict = model.traits.compiling.verdict or Verdict()

    @property
    def entry(self) -> Any:
        """What the host's cache holds of it."""
        (entry,) = self.host.cache.loaded
        return entry

    async def one_by_one(self, calls: Sequence[Call]) -> list[Any]:
        """The answer to each, one after the other."""
        return [await _outcome(self.replica.invoke(call)) for call in calls]

    async def at_once_in_threads(self, calls: Sequence[Call]) -> list[Any]:
        """The answers to calls that come at once to a model that is too slow for the event loop."""
        self._cost(calls, _SLOW_S)
        found: list[Any] = []
        for start in range(0, len(calls), _AT_ONCE):  # more than may wait would be refused
            some = calls[start : start + _AT_ONCE]
            found += await asyncio.gather(*(_outcome(self.replica.invoke(call)) for call in some))
        return found

    def at_once_in_place(self, calls: Sequence[Call]) -> list[Any]:
        """The answers to calls that come in one round of the event loop, by headers, through lanes."""
        self._cost(calls, _QUICK_S)
        by_headers: dict[Any, list[int]] = {}
        for number, call in enumerate(calls):
            by_headers.setdefault(call[1:3], []).append(number)
        lanes = []
        for numbers in by_headers.values():
            bodies = [calls[number].body for number in numbers]
            lane = self.replica.short_way(calls[numbers[0]], bodies)
            assert lane is not None
            lanes.append((lane, bodies))
        found: list[Any] = [None] * len(calls)
        for numbers, outcomes in zip(by_headers.values(), answer_lanes(lanes), strict=True):
            for number, outcome in zip(numbers, outcomes, strict=True):
                found[number] = _plain(outcome)
        return found

    async def close(self) -> None:
        """Let it go."""
        await self.host.close()

    def _cost(self, calls: Sequence[Call], seconds: float) -> None:
        self.entry.forget_costs()
        for call in calls:
            self.entry.note_cost(len(call.body), seconds)


async def _outcome(answering: Any) -> Any:
    try:
        return _plain(await answering)
    except ModelFault as fault:
        return _plain(fault)


def _plain(outcome: Any) -> Any:
    if isinstance(outcome, Answer):
        return outcome.body, outcome.content_type
    return type(outcome).__name__, str(outcome)


def right_answer(estimator: Any, rows: Any, call: Call) -> Any:
    """What scikit-learn says to the rows of one request, encoded; a refusal as its words."""
    accept = choose_accept(call.accept)
    method = "predict_proba" if accept.output == ("probabilities",) else _method(estimator)
    try:
        with (
            warnings.catch_warnings(),
            np.errstate(all="ignore"),
            joblib.parallel_config(backend="sequential"),
        ):
            warnings.simplefilter("ignore")
            prediction = getattr(estimator, method)(rows)
        if isinstance(prediction, list):  # chances of several targets are answered by sample
            prediction = [list(each) for each in zip(*(part.tolist() for part in prediction), strict=True)]
            if accept.media_type == "text/csv":
                prediction = [[chance for part in each for chance in part] for each in prediction]
        return encode(prediction, accept.media_type), accept.media_type
    except ModelFault as fault:
        return _plain(fault)
    except ValueError as error:
        return "BadPayload", str(error).partition("\n")[0]
    except Exception as error:
        return "failed", type(error).__name__


def _method(estimator: Any) -> str:
    return "predict" if callable(getattr(estimator, "predict", None)) else "transform"


# ---- rows


def rows_between(estimator: Any, count: int, random: np.random.Generator) -> Any:
    """Rows (count, features): a half where labels change; of the others many next to thresholds."""
    features = getattr(estimator, "n_features_in_", 1)
    usual = probe_rows(
        estimator, features, None, int(random.integers(1000))
    )  # many of them next to thresholds
    usual = usual[(abs(usual) < 1e9).all(axis=1)]
    between = _boundaries(estimator, usual, max(1, count // _PAIRS_PART), random)
    others = usual[random.integers(0, len(usual), count - len(between))]
    rounded = random.random(len(others)) < 0.2
    others[rounded] = others[rounded].round()
    return random.permutation(np.concatenate([between, others]))


def _boundaries(estimator: Any, rows: Any, pairs: int, random: np.random.Generator) -> Any:
    """Neighbours on both sides of a boundary, found by halving, each row asked alone in the end."""
    labels = getattr(estimator, _method(estimator))
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found = np.asarray(labels(rows))
            if found.ndim != 1 or found.dtype.kind == "f" or len(found) != len(rows):
                return rows[:0]
            drawn = random.integers(0, len(rows), (50 * pairs, 2))
            first, second = drawn[found[drawn[:, 0]] != found[drawn[:, 1]]][:pairs].T
            low, high = rows[first], rows[second]
            for _ in range(80):
                middle = low + (high - low) / 2
                same = (np.asarray(labels(middle)) == found[first])[:, np.newaxis]
                low, high = np.where(same, middle, low), np.where(same, high, middle)
    except Exception:  # it refuses such rows
        return rows[:0]
    return np.concatenate([low, high])


def _requests(rows: Any, random: np.random.Generator) -> Iterator[Any]:
    """The rows in random order, cut into requests: mostly of one row, some of a few, one of many."""
    rows = rows[random.permutation(len(rows))]
    at = 0
    while at < len(rows):
        size = int(random.choice([1, 1, 1, 1, 1, 1, 2, 3, 7, 17]))
        yield rows[at : at + size]
        at += size


def call_of(rows: Any, number: int, *, probabilities: bool) -> Call:
    """One request, of one of the forms in turn."""
    accept = (None, None, "text/csv", None, "application/x-npy")[number % 5]
    if probabilities and number % 3 == 2:
        accept = (PROBABILITIES, "text/csv; output=probabilities")[number % 2]
    if number % 7 == 5 and np.isfinite(rows).all():
        return Call(json.dumps(rows.tolist()).encode(), "application/json", accept)
    if number % 7 == 6:
        buffer = io.BytesIO()
        np.save(buffer, rows)
        return Call(buffer.getvalue(), "application/x-npy", accept)
    return Call("\n".join(",".join(map(repr, row)) for row in rows.tolist()).encode(), "text/csv", accept)


# ---- the comparison


@dataclass
class Outcome:
    """What came of holding one model's answers against those alone."""

    methods: int
    compared: int = 0
    differing: int = 0
    example: str = ""

    def note(self, what: str, calls: Sequence[Call], found: Sequence[Any], right: Sequence[Any]) -> None:
        """Compare answers with the right ones."""
        for call, one, other in zip(calls, found, right, strict=True):
            self.compared += 1
            if one != other and not (other[0] == "failed" and other[1] in one[1]):
                self.differing += 1
                self.example = self.example or f"{what}: {call} gave {one}, alone {other}"[:1500]


async def hold_against_alone(
    served: Served, estimator: Any, rows: int, groupings: int, seed: int = 0
) -> Outcome:
    """Serve `rows` rows in random groupings, before and after the model is compiled, joined and alone."""
    random = np.random.default_rng(seed)
    probabilities = callable(getattr(estimator, "predict_proba", None))
    outcome = Outcome(2 if probabilities else 1)
    given = rows_between(estimator, rows, random)
    served_by = SklearnModel(served.estimator)

    def grouped(number: int) -> tuple[list[Call], list[Any]]:
        requests = list(_requests(given, random))
        if number % 2:
            requests.append(np.where(random.random((1, given.shape[1])) < 0.5, _ODD[number % len(_ODD)], 1.0))
        calls = [call_of(each, at + number, probabilities=probabilities) for at, each in enumerate(requests)]
        return calls, [_right(served_by, each, call) for each, call in zip(requests, calls, strict=True)]

    calls, right = grouped(1)
    outcome.note("as it was loaded", calls[-24:], await served.one_by_one(calls[-24:]), right[-24:])
    await served.compile()
    outcome.note("compiled", calls[-24:], await served.one_by_one(calls[-24:]), right[-24:])
    for number in range(groupings):
        if number:
            calls, right = grouped(number)
        for start, size in _rounds(len(calls), random):
            some, expected = calls[start : start + size], right[start : start + size]
            outcome.note("in place", some, served.at_once_in_place(some), expected)
        found = await served.at_once_in_threads(calls)
        outcome.note("in threads", calls, found, right)
    return outcome


def _right(model: SklearnModel, rows: Any, call: Call) -> Any:
    return right_answer(model.estimator, rows, call)


def _rounds(count: int, random: np.random.Generator) -> Iterator[tuple[int, int]]:
    at = 0
    while at < count:
        size = int(random.choice([1, 2, 8, 33, 64]))
        yield at, size
        at += size
