"""What the dashboard shows at this moment, as values for its templates. No HTML and no HTTP in here."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final, Protocol

from service.faces.people.dashboard.figures import HOUR_S, Hour, HourSums, VariantRates
from service.faces.people.pages import Served
from service.hosting.container_card import ContainerCard
from service.hosting.environments.keeping import EnvironmentCard, environments_there
from service.invoke.catalogue import EndpointCard, ModelCard, VariantCard
from service.invoke.job_cards import JobCard
from service.observe.failures import FailedRequest, read_failures
from service.observe.series import Datapoints, VariantSeries

MOST_CARDS: Final = 50
"""How many endpoints have cards: each is drawn anew every second."""

_MOST_JOBS: Final = 10
_SLOW_S: Final = 5.0


class Surveyed(Served, Protocol):
    """What is served, and more of what can be seen of it. All of these may block."""

    def containers(self) -> list[ContainerCard]:
        """The containers in which models with code of their own run."""
        ...

    def jobs(self, most: int) -> list[JobCard]:
        """The transform jobs that were made last."""
        ...

    def editable(self) -> frozenset[str]:
        """The endpoints whose weights may be changed here."""
        ...

    def revision(self) -> int:
        """Another number once endpoints are others."""
        ...


@dataclass(frozen=True, slots=True)
class VariantLine:
    """One variant, with what happened to it: requests per second now, None unknown, and the last hour."""

    card: VariantCard
    rate: float | None
    hour: HourSums


@dataclass(frozen=True, slots=True)
class EndpointPanel:
    """One endpoint, with what happened to it."""

    card: EndpointCard
    editable: bool
    variants: tuple[VariantLine, ...]
    curves: dict[str, dict[str, list[float | None]]]
    experiment: Mapping[str, Any] | None = None

    @property
    def weights(self) -> dict[str, float]:
        """Those of the variants that serve."""
        return {line.card.name: line.card.weight for line in self.variants if not line.card.pending}


@dataclass(frozen=True, slots=True)
class Picture:
    """All of it; `minutes` are those of the curves."""

    notices: tuple[str, ...]
    panels: tuple[EndpointPanel, ...]
    more: bool
    models: tuple[ModelCard, ...]
    containers: tuple[ContainerCard, ...]
    jobs: tuple[JobCard, ...]
    environments: tuple[EnvironmentCard, ...]
    failures: tuple[FailedRequest, ...]
    gateways: int
    in_flight: int
    held_bytes: int
    budget_bytes: int
    rate: float | None
    hour: HourSums
    minutes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Slow:
    """What changes seldom, or costs files and SQL."""

    revision: int
    until_s: float
    notices: list[str]
    cards: list[EndpointCard]
    editable: frozenset[str]
    models: list[ModelCard]
    containers: list[ContainerCard]
    jobs: list[JobCard]
    environments: list[EnvironmentCard]
    experiments: Mapping[str, Mapping[str, Any]]


class Board:
    """Looks at everything; any thread may ask, one at a time gets an answer."""

    def __init__(
        self,
        surveyed: Surveyed,
        series: VariantSeries,
        metrics: Path,
        environments: Path,
        experiments_of: Callable[[Sequence[str]], Mapping[str, Mapping[str, Any]]],
        now_s: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`experiments_of` has the documents of experiments by endpoint; it may block."""
        self._surveyed = surveyed
        self._series = series
        self._metrics = metrics
        self._environments = environments
        self._experiments_of = experiments_of
        self._now_s = now_s
        self._monotonic = monotonic
        self._rates = VariantRates()
        self._hour = Hour()
        self._known: Datapoints | None = None
        self._slow: _Slow | None = None
        self._looking = Lock()

    def look(self) -> Picture:
        """Everything as it is now. Blocks. Raises Unavailable, OSError, sqlite3.Error."""
        with self._looking:
            now_s, at_s = self._now_s(), self._monotonic()
            slow = self._slow = self._look_slowly(at_s)
            datapoints = self._known = self._series.read(now_s - HOUR_S, now_s, known=self._known)
            return self._picture(slow, datapoints, now_s, at_s)

    def experiment(self, endpoint: str) -> Mapping[str, Any] | None:
        """The experiment of one endpoint as it is now. Blocks."""
        return self._experiments_of([endpoint]).get(endpoint)

    def _look_slowly(self, at_s: float) -> _Slow:
        seen, known = self._surveyed, self._slow
        revision = seen.revision()
        if known is not None and known.revision == revision and at_s < known.until_s:
            return known
        cards = sorted(seen.endpoints(MOST_CARDS + 1), key=lambda card: not card.default)
        return _Slow(
            revision,
            at_s + _SLOW_S,
            seen.notices(),
            cards,
            seen.editable(),
            seen.models(),
            seen.containers(),
            seen.jobs(_MOST_JOBS),
            environments_there(self._environments),
            self._experiments_of([card.name for card in cards[:MOST_CARDS] if _compares(card)]),
        )

    def _picture(self, slow: _Slow, datapoints: Datapoints, now_s: float, at_s: float) -> Picture:
        rates, hour = self._rates.of(datapoints.slots, at_s), self._hour
        hour.take(datapoints, now_s)
        live = [slot.gauges for slot in datapoints.slots if slot.live]

        def line(endpoint: str, variant: VariantCard) -> VariantLine:
            pair = (endpoint, variant.name)
            return VariantLine(variant, rates.get(pair, 0.0) if rates else None, hour.sums(pair))

        def panel(card: EndpointCard) -> EndpointPanel:
            return EndpointPanel(
                card,
                card.name in slow.editable,
                tuple(line(card.name, variant) for variant in card.variants),
                {variant.name: hour.curves((card.name, variant.name)) for variant in card.variants},
                slow.experiments.get(card.name),
            )

        return Picture(
            tuple(slow.notices),
            tuple(panel(card) for card in slow.cards[:MOST_CARDS]),
            len(slow.cards) > MOST_CARDS,
            tuple(slow.models),
            tuple(slow.containers),
            tuple(slow.jobs),
            tuple(slow.environments),
            tuple(read_failures(self._metrics)),
            len(live),
            sum(each.in_flight for each in live),
            sum(each.cache_bytes for each in live),
            sum(each.cache_budget_bytes for each in live),
            sum(rates.values()) if rates else None,
            hour.sums(),
            tuple(hour.minutes()),
        )


def _compares(card: EndpointCard) -> bool:
    """Whether there are variants that serve and may be compared."""
    return sum(not variant.pending for variant in card.variants) > 1
