"""Sees to what variants use of this machine, now and then: what AWS tells of an endpoint's instances.

A model with code of its own has processes of its own. One that gateways run themselves has none: its part of
their CPU is made out by how long requests were at it, and its memory is what gateways say that it takes.
"""

import shutil
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Final

from service.clock import Clock
from service.control.endpoints import endpoint_of
from service.domain.endpoint import ModelSource
from service.domain.kinds import Kind
from service.domain.log_places import variant_at
from service.errors import ModelFault, SagebirdError
from service.hosting.artifacts.artifact import ArtifactStore, open_artifacts
from service.hosting.container_card import ContainerCard
from service.log import Trouble, get_logger
from service.machine import machine_memory_bytes
from service.observe.counts import Pair
from service.observe.gateway_work import GatewayWatch, GatewayWork
from service.observe.utilization import Utilization, UtilizationKeeping
from service.settings import Settings
from service.store.store import Store

_LOOK_S: Final = 10.0
_MOST_VARIANTS: Final = 200
_DAY_S: Final = 86_400.0
_LOADED: Final = "loaded"


@dataclass(frozen=True, slots=True)
class InstanceSources:
    """Where is told what variants use.

    The `store` has the endpoints and what the gateways of `family` hold, `cards` are the containers, and
    `gateways` is what gateways did; the disk is that of the folder `data`.
    """

    store: Store
    family: str
    artifacts: ArtifactStore
    cards: Callable[[], Sequence[ContainerCard]]
    gateways: GatewayWatch
    data: Path


def instance_look(
    settings: Settings,
    store: Store,
    clock: Clock,
    family: str,
    cards: Callable[[], Sequence[ContainerCard]],
) -> Callable[[], None]:
    """What keeps down what variants use, in one process of a family."""
    watch = GatewayWatch(settings.data / "metrics")
    sources = InstanceSources(store, family, open_artifacts(settings), cards, watch, settings.data)
    keeping = UtilizationKeeping(settings.data / "series.db", settings.series_keep_days * _DAY_S)
    return InstanceMeter(sources, keeping, clock).begin


class InstanceMeter:
    """Looks every ten seconds; what was used between two looks is told of the time of the second one."""

    def __init__(self, sources: InstanceSources, keeping: UtilizationKeeping, clock: Clock) -> None:
        self._sources = sources
        self._keeping = keeping
        self._clock = clock
        self._next_s = 0.0
        self._looked_s: float | None = None
        self._revision = -1
        self._variants: dict[Pair, ModelSource] = {}
        self._paths: dict[str, Path] = {}
        self._contained: set[Pair] = set()
        self._cpu_s: dict[str, float] = {}
        self._trouble = Trouble(get_logger("sagebird.instances"), "what variants use cannot be kept")
        self._thread: Thread | None = None

    def begin(self) -> None:
        """Look, if it is time to, in a thread of its own: containers' host may be busy. Does not wait."""
        if self._is_due and (self._thread is None or not self._thread.is_alive()):
            self._thread = Thread(target=self.look, name="instances", daemon=True)
            self._thread.start()

    def look(self) -> None:
        """Do it if it is time to. What it cannot do is said in the log, and tried again."""
        if not self._is_due:
            return
        self._next_s = self._clock.monotonic() + _LOOK_S
        try:
            seen = self._measure()
            if seen:
                self._keeping.add(seen, self._clock.now().timestamp())
            self._trouble.end()
        except SagebirdError as error:  # the store is locked, full or away: it may come back
            self._trouble.meet(error.message)
        except (OSError, sqlite3.Error) as error:
            self._trouble.meet(str(error))

    @property
    def _is_due(self) -> bool:
        return self._clock.monotonic() >= self._next_s

    def _measure(self) -> list[Utilization]:
        """What each variant has used since the last look; nothing at the first one."""
        now_s = self._clock.monotonic()
        passed_s, self._looked_s = None if self._looked_s is None else now_s - self._looked_s, now_s
        work, cards = self._sources.gateways.look(), self._sources.cards()
        grown, self._cpu_s = _grown(cards, self._cpu_s), {card.key: card.cpu_s for card in cards}
        if not passed_s:
            return []
        self._follow()
        of_variants = _by_variant(cards)
        self._contained.update(of_variants)
        cpu_s = self._cpu_by_variant(work, of_variants, grown)
        held = self._held_by_variant(of_variants)
        disk = shutil.disk_usage(self._sources.data)
        full = 100.0 * disk.used / max(1, disk.used + disk.free)
        memory_bytes = machine_memory_bytes()
        seen = [
            Utilization(
                *pair, 100.0 * cpu_s.get(pair, 0.0) / passed_s, 100.0 * held[pair] / memory_bytes, full
            )
            for pair in self._variants
        ]
        return sorted(seen, key=lambda each: (-each.cpu, *each))[:_MOST_VARIANTS]

    def _follow(self) -> None:
        """Know the variants that serve; they are read anew after a change."""
        revision = self._sources.store.revision()
        if revision == self._revision:
            return
        endpoints = map(endpoint_of, self._sources.store.of_kind(Kind.ENDPOINT))
        self._variants = {
            (endpoint.name, variant.name): variant.source
            for endpoint in endpoints
            if endpoint.serving is not None
            for variant in endpoint.serving.variants
        }
        self._paths, self._contained, self._revision = {}, set(), revision

    def _cpu_by_variant(
        self,
        work: GatewayWork,
        of_variants: Mapping[Pair, Sequence[ContainerCard]],
        grown: Mapping[str, float],
    ) -> dict[Pair, float]:
        cpu_s = {pair: sum(grown[card.key] for card in cards) for pair, cards in of_variants.items()}
        return {**work.cpu_of(self._variants.keys() - self._contained), **cpu_s}

    def _held_by_variant(self, of_variants: Mapping[Pair, Sequence[ContainerCard]]) -> dict[Pair, int]:
        sizes: dict[Path, int] = {}
        for gateway in self._sources.store.gateways():
            for model in gateway.models if gateway.member.startswith(f"{self._sources.family}/") else ():
                if model.state == _LOADED:
                    sizes[Path(model.path)] = sizes.get(Path(model.path), 0) + model.size_bytes
        return {
            pair: sum(card.size_bytes for card in of_variants.get(pair, ()))
            if pair in self._contained
            else sum(self._size_of(part, sizes) for part in source.parts)
            for pair, source in self._variants.items()
        }

    def _size_of(self, source: ModelSource, sizes: Mapping[Path, int]) -> int:
        path = self._path_of(source.location)
        if path is None:
            return 0
        if source.multi:
            return sum(size for below, size in sizes.items() if path in below.parents)
        return sizes.get(path, 0)

    def _path_of(self, location: str) -> Path | None:
        """Where a model's files are, None where they are not there (yet)."""
        if location and location not in self._paths:
            try:
                self._paths[location] = self._sources.artifacts.resolve(location, asking=False)
            except ModelFault:
                return None
        return self._paths.get(location)


def _by_variant(cards: Iterable[ContainerCard]) -> dict[Pair, list[ContainerCard]]:
    """Containers by whom they serve; one that several share is told of each."""
    found: dict[Pair, list[ContainerCard]] = {}
    for card in cards:
        for pair in sorted({pair for place in card.places if (pair := variant_at(place)) is not None}):
            found.setdefault(pair, []).append(card)
    return found


def _grown(cards: Iterable[ContainerCard], before: Mapping[str, float]) -> dict[str, float]:
    """By its key, what a container has used since then; of one that is new, all that it has."""
    return {card.key: max(0.0, card.cpu_s - before.get(card.key, 0.0)) for card in cards}
