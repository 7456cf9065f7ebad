"""Where is kept what variants print: of each at the first line, since few print anything."""

from collections.abc import Iterable
from itertools import chain
from typing import Final

from service.domain.endpoint import Endpoint, ModelSource, Variant
from service.domain.log_places import place_below, place_of_variant


class VariantLog:
    """The place of one variant of an endpoint, or of one of its containers."""

    __slots__ = ("_container", "_endpoint", "_place", "_variant")

    def __init__(self, endpoint: str, variant: Variant | None, container: str = "") -> None:
        """Of no variant there is none."""
        self._endpoint = endpoint
        self._variant = variant
        self._container = container
        self._place: str | None = None

    @property
    def place(self) -> str | None:
        """As calls and containers are told."""
        if self._place is None and self._variant is not None:
            place = str(place_of_variant(self._endpoint, self._variant.name, self._variant.source))
            self._place = place_below(place, self._container) if self._container else place
        return self._place

    def of(self, container: str) -> "VariantLog":
        """That of one of several containers."""
        return VariantLog(self._endpoint, self._variant, container)


NO_LOG: Final = VariantLog("", None)


class PrintingSources:
    """Which variants have a source, of all endpoints of a directory: where is kept what it prints."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._logs: dict[ModelSource, list[VariantLog]] = {}
        for endpoint in endpoints:
            for variant in chain.from_iterable(fleet.variants for fleet in endpoint.fleets):
                self._add(variant.source, VariantLog(endpoint.name, variant))
                for stage in variant.source.stages:
                    self._add(stage.source, VariantLog(endpoint.name, variant, stage.name))

    def _add(self, source: ModelSource, log: VariantLog) -> None:
        self._logs.setdefault(source, []).append(log)

    def places(self, source: ModelSource) -> list[str]:
        """Where is kept what a source prints at no call, for all endpoints that have it."""
        found = (log.place for log in self._logs.get(source, ()))
        return [place for place in dict.fromkeys(found) if place is not None]
