"""Where is kept what variants print: of each at the first line, since few print anything."""

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


def log_places(endpoint: Endpoint, source: ModelSource) -> list[str]:
    """Where is kept what a source prints while it is loaded for an endpoint."""
    variants = [variant for fleet in endpoint.fleets for variant in fleet.variants]
    places = [VariantLog(endpoint.name, variant).place for variant in variants if variant.source == source]
    places += [
        VariantLog(endpoint.name, variant, stage.name).place
        for variant in variants
        for stage in variant.source.stages
        if stage.source == source
    ]
    return [place for place in dict.fromkeys(places) if place is not None]
