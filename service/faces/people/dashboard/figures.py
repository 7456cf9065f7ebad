"""What the numbers of variants come to: rates of this moment, sums and curves of the last hour. No HTML."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from service.observe.counter import InvocationCounter
from service.observe.counts import Pair, Snapshot
from service.observe.series import MINUTE_S, Datapoint, Datapoints, quantile_s

HOUR_S: Final = 3600
_MINUTES: Final = HOUR_S // MINUTE_S
_RATE_S: Final = 5.0
_LEAST_S: Final = 5  # of a minute that is not over, to tell its rate

_CURVES: Final = ("rate", "errors", "p50", "p99")

_Point = tuple[float | None, float | None, float | None, float | None]
_NOTHING: Final[_Point] = (0.0, 0.0, None, None)


@dataclass(frozen=True, slots=True)
class HourSums:
    """What happened to one variant, or several, in the last hour.

    Latencies are in milliseconds, None where there was no request.
    """

    requests: int = 0
    errors_4xx: int = 0
    errors_5xx: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    model_p50_ms: float | None = None

    @property
    def errors(self) -> int:
        """Of both classes."""
        return self.errors_4xx + self.errors_5xx


class VariantRates:
    """Requests per second of each variant, over the last few seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, Mapping[Pair, int]]] = deque()

    def of(self, slots: Iterable[Snapshot], at_s: float) -> dict[Pair, float]:
        """What it is now, `at_s` on a clock that never goes back; {} as long as one look is all there is."""
        totals: dict[Pair, int] = {}
        for slot in slots:
            for pair, counter in slot.counts.invocations.items():
                totals[pair] = totals.get(pair, 0) + counter.requests
        while self._seen and at_s - self._seen[0][0] > 2 * _RATE_S:
            self._seen.popleft()
        since_s, before = next((seen for seen in self._seen if at_s - seen[0] <= _RATE_S), (at_s, totals))
        self._seen.append((at_s, totals))
        if at_s <= since_s:
            return {}
        return {
            pair: max(0, total - before.get(pair, 0)) / (at_s - since_s) for pair, total in totals.items()
        }


class _Past:
    """What is written of one variant: its sum, its datapoints of a minute, and what these come to."""

    def __init__(self) -> None:
        self.total = InvocationCounter()
        self.minutes: dict[int, InvocationCounter] = {}
        self.points: dict[int, _Point] = {}

    def add(self, datapoint: Datapoint) -> None:
        self.total.add(datapoint.counter)
        if datapoint.period_s == MINUTE_S:
            self.minutes[datapoint.begin_s] = datapoint.counter
            self.points[datapoint.begin_s] = _point(datapoint.counter, MINUTE_S)


class Hour:
    """The last hour of all variants. What is written changes once a minute, and is summed up as seldom."""

    def __init__(self) -> None:
        self._round = -1
        self._past: dict[Pair, _Past] = {}
        self._latest: dict[Pair, InvocationCounter] = {}
        self._now_s = 0.0

    def take(self, datapoints: Datapoints, now_s: float) -> None:
        """Be the hour before `now_s`."""
        if datapoints.round != self._round:
            self._round, self._past = datapoints.round, {}
            for datapoint in datapoints.written:
                self._past.setdefault((datapoint.endpoint, datapoint.variant), _Past()).add(datapoint)
        self._latest = {
            (datapoint.endpoint, datapoint.variant): datapoint.counter for datapoint in datapoints.latest
        }
        self._now_s = now_s

    def minutes(self) -> list[int]:
        """When its minutes begin; the last one is not over."""
        last_s = int(self._now_s) // MINUTE_S * MINUTE_S
        return [last_s - MINUTE_S * back for back in reversed(range(_MINUTES))]

    def sums(self, pair: Pair | None = None) -> HourSums:
        """Those of one variant, or of all together."""
        total = InvocationCounter()
        for past in self._past.values() if pair is None else filter(None, [self._past.get(pair)]):
            total.add(past.total)
        for latest in self._latest.values() if pair is None else filter(None, [self._latest.get(pair)]):
            total.add(latest)
        return HourSums(
            total.requests,
            total.errors_of(4),
            total.errors_of(5),
            _ms(total.latency, 0.5),
            _ms(total.latency, 0.99),
            _ms(total.model, 0.5),
        )

    def curves(self, pair: Pair) -> dict[str, list[float | None]]:
        """Minute by minute: requests and errors per second, and latencies in milliseconds."""
        *others, last_s = self.minutes()
        past = self._past.get(pair)
        points = [_NOTHING if past is None else past.points.get(begin_s, _NOTHING) for begin_s in others]
        points.append(self._last_point(pair, past, last_s))
        return {name: [point[place] for point in points] for place, name in enumerate(_CURVES)}

    def _last_point(self, pair: Pair, past: _Past | None, begin_s: int) -> _Point:
        counter = InvocationCounter()
        for known in (None if past is None else past.minutes.get(begin_s), self._latest.get(pair)):
            if known is not None:
                counter.add(known)
        period_s = self._now_s - begin_s
        return _point(counter, period_s) if period_s >= _LEAST_S else (None, None, *_point(counter, 1.0)[2:])


def _point(counter: InvocationCounter, period_s: float) -> _Point:
    errors = counter.errors_of(4) + counter.errors_of(5)
    rates = _rounded(counter.requests / period_s), _rounded(errors / period_s)
    return *rates, _ms(counter.latency, 0.5), _ms(counter.latency, 0.99)


def _ms(buckets: Sequence[int], share: float) -> float | None:
    found = quantile_s(buckets, share)
    return None if found is None else _rounded(found * 1e3)


def _rounded(number: float) -> float:
    return float(f"{number:.3g}")
