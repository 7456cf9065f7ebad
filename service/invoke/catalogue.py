"""What is served, for people: each endpoint with its shares, its models and an example request that works."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from service.domain.endpoint import Endpoint, Fleet, ModelSource
from service.domain.traffic import Traffic
from service.errors import ModelFault
from service.hosting.artifacts.examples import example_call, example_calls
from service.hosting.container_card import ContainerCard
from service.hosting.host import Call, Column, Host, Interface
from service.invoke.directory import Directory
from service.invoke.job_cards import JobCard, job_cards
from service.media.types import CSV, JSON, TEXT
from service.store.members import GatewayReport, ModelReport
from service.store.store import EDITABLE_ENDPOINTS, NOTICES, Store

_MOST_INVENTED = 1000
_ANY_TEXT = "Any text will do."


@dataclass(frozen=True, slots=True)
class VariantCard:
    """One variant: its weight, its share of the traffic in [0, 1], and its model's name."""

    name: str
    weight: float
    share: float
    model: str
    pending: bool = False


@dataclass(frozen=True, slots=True)
class ExampleRequest:
    """A request that works. `target_model` is set on multi-model endpoints."""

    body: str
    content_type: str
    target_model: str | None = None


@dataclass(frozen=True, slots=True)
class Manual:
    """How an endpoint is called, as far as files and loaded models tell.

    Example requests that work, one for each type, and the interface of the first variant's model.
    """

    examples: tuple[ExampleRequest, ...] = ()
    interface: Interface | None = None


@dataclass(frozen=True, slots=True)
class EndpointCard:
    """One endpoint as people see it; `models` are the names that a multi-model one can be called with.

    `containers` are those of its first variant, if callers name the one that they mean.
    """

    name: str
    status: str
    failure_reason: str
    default: bool
    variants: tuple[VariantCard, ...]
    models: tuple[str, ...]
    example: ExampleRequest | None
    containers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model that some gateway holds, is loading or failed to load, over all gateways."""

    name: str
    path: str
    state: str
    gateways: int
    size_bytes: int
    description: str
    notes: tuple[str, ...]


_Example = tuple[tuple[str, ...], ExampleRequest | None]
"""The callable models of a multi-model endpoint, and the first example request that is found."""


class Catalogue:
    """Reads the directory, the model folders and the gateways' reports. Its methods block: files and SQL."""

    def __init__(self, store: Store, host: Host, models: Path, directory: Callable[[], Directory]) -> None:
        """`directory` gives what is served at this moment."""
        self._directory = directory
        self._store = store
        self._host = host
        self._models = models

    def endpoints(self, most: int | None = None) -> list[EndpointCard]:
        """Every endpoint by name, or so many: the first ones, and the default one if there is one.

        Models that endpoints share are looked at once.
        """
        known: dict[ModelSource, _Example] = {}
        directory = self._directory()
        default = directory.default
        names = sorted(directory.endpoints)[:most]
        if default is not None and default in directory.endpoints and default not in names:
            names[-1] = default
        return [self._endpoint(directory.endpoints[name], name == default, known) for name in names]

    def endpoint(self, name: str | None) -> EndpointCard | None:
        """One endpoint, None standing for the default one; None if there is no such endpoint."""
        directory = self._directory()
        found = directory.endpoints.get(directory.default or "" if name is None else name)
        return None if found is None else self._endpoint(found, found.name == directory.default, {})

    def example_for(self, name: str, target_model: str) -> ExampleRequest | None:
        """The example that lies beside one model of a multi-model endpoint; None if there is none."""
        endpoint = self._directory().endpoints.get(name)
        fleet = None if endpoint is None else endpoint.active or endpoint.pending
        source = None if fleet is None else fleet.variants[0].source.parts[0]
        if source is None or not source.multi:
            return None
        try:
            place = self._host.path_below(self._host.path_of(source), target_model)
            return None if place is None else _to_example(example_call(place), target_model)
        except (ModelFault, OSError, ValueError):
            return None

    def manual(self, name: str) -> Manual:
        """How one endpoint is called."""
        endpoint = self._directory().endpoints.get(name)
        fleet = None if endpoint is None else endpoint.active or endpoint.pending
        if fleet is None:
            return Manual()
        source = fleet.variants[0].source
        card_example = self._example(source)[1]
        target = None if card_example is None else card_example.target_model
        interface = agreed([self._host.interface_of(each.source, target) for each in fleet.variants])
        examples = self._examples_of(source, target)
        if not examples and card_example is not None:
            examples = (card_example,)
        return Manual(examples, interface)

    def _examples_of(self, source: ModelSource, target: str | None) -> tuple[ExampleRequest, ...]:
        if source.direct:
            return ()
        try:
            folder = self._host.path_of(source.parts[0])
            found = example_calls(folder / target if source.parts[0].multi and target else folder)
        except (ModelFault, OSError):
            return ()
        return tuple(example for call in found if (example := _to_example(call, target)) is not None)

    def notices(self) -> list[str]:
        """What people should know beside that: the endpoints file is refused, or there is none."""
        return list(self._store.fact(NOTICES) or ())

    def jobs(self, most: int) -> list[JobCard]:
        """The transform jobs that were made last."""
        return job_cards(self._store, most)

    def revision(self) -> int:
        """That of the directory."""
        return self._directory().revision

    def editable(self) -> frozenset[str]:
        """The endpoints whose weights the API may change: those that no file declares, or that it lends."""
        lent = self._store.fact(EDITABLE_ENDPOINTS) or ()
        made = (name for name, endpoint in self._directory().endpoints.items() if not endpoint.heals)
        return frozenset([*lent, *made])

    def containers(self) -> list[ContainerCard]:
        """The containers of this machine, by the names of their models."""
        return sorted(self._host.containers(), key=lambda card: (card.model, card.pids))

    def models(self) -> list[ModelCard]:
        """Every model of the models folder, and every other that a gateway holds or failed to load."""
        cards = merge_reports(self._store.gateways())
        known = {Path(card.path) for card in cards}
        for name in self._host.names_below(self._models):
            path = self._host.path_below(self._models, name)
            if path is not None and path not in known:
                cards.append(ModelCard(name, str(path), "on disk", 0, 0, "", ()))
        return sorted(cards, key=lambda card: (card.name, card.path))

    def _endpoint(
        self, endpoint: Endpoint, default: bool, known: dict[ModelSource, _Example]
    ) -> EndpointCard:
        fleets = [
            (fleet, fleet is endpoint.pending) for fleet in (endpoint.active, endpoint.pending) if fleet
        ]
        variants = tuple(card for fleet, pending in fleets for card in _variant_cards(fleet, pending))
        names, example = self._known_example(fleets[0][0], known) if fleets else ((), None)
        source = fleets[0][0].variants[0].source if fleets else None
        containers = () if source is None or not source.direct else tuple(s.name for s in source.stages)
        return EndpointCard(
            endpoint.name,
            str(endpoint.status),
            endpoint.failure_reason,
            default,
            variants,
            names,
            example,
            containers,
        )

    def _known_example(self, fleet: Fleet, known: dict[ModelSource, _Example]) -> _Example:
        source = fleet.variants[0].source
        if source not in known:
            known[source] = self._example(source)
        return known[source]

    def _example(self, source: ModelSource) -> _Example:
        if source.direct:
            return (), None  # which container is meant is not to be told from here
        first = source.parts[0]
        many = next((part for part in source.parts if part.multi), None)
        try:
            folder = self._host.path_of(first)
            names = () if many is None else tuple(self._host.names_below(self._host.path_of(many)))
            if not first.multi:
                target = names[0] if names else None
                found = _to_example(example_call(folder), target)
                return names, found or invent(self._host.interface_of(source, target), target)
            for name in names:
                example = _to_example(example_call(folder / name), name)
                if example is not None:
                    return names, example
        except (ModelFault, OSError):
            return (), None  # the endpoint's status says what is wrong with it
        return names, None


def merge_reports(gateways: Sequence[GatewayReport]) -> list[ModelCard]:
    """One card per model and state, over all gateways; the largest size, for copies may differ a little."""
    merged: dict[tuple[str, str], list[ModelReport]] = {}
    for gateway in gateways:
        for report in gateway.models:
            merged.setdefault((report.path, report.state), []).append(report)
    return [
        ModelCard(
            reports[0].name,
            path,
            state,
            len(reports),
            max(report.size_bytes for report in reports),
            reports[0].description,
            tuple(dict.fromkeys(note for report in reports for note in report.notes)),
        )
        for (path, state), reports in merged.items()
    ]


def _variant_cards(fleet: Fleet, pending: bool) -> list[VariantCard]:
    shares = Traffic([(variant.name, variant.weight) for variant in fleet.variants]).shares()
    return [
        VariantCard(
            variant.name,
            variant.weight,
            shares[variant.name],
            ", ".join(map(_model_name, variant.source.parts)),
            pending,
        )
        for variant in fleet.variants
    ]


def _model_name(source: ModelSource) -> str:
    return source.location.rstrip("/").rpartition("/")[2] + ("/*" if source.multi else "")


def agreed(interfaces: Sequence[Interface | None]) -> Interface | None:
    """What callers may count on who do not know which of some models answers; None if that is nothing."""
    first = interfaces[0]
    for other in interfaces[1:]:
        if first is None or other is None or first.scripted != other.scripted:
            return None
        if (first.width, first.columns, first.texts) != (other.width, other.columns, other.texts):
            first = replace(first, width=None, columns=(), texts=False)
        if (first.labels, first.numbers) != (other.labels, other.numbers):
            first = replace(first, labels=(), numbers=False, shown=None)
    return first


def invent(interface: Interface | None, target_model: str | None = None) -> ExampleRequest | None:
    """A request that a model without an example understands; None where it does not tell enough."""
    if interface is None or interface.scripted:
        return None
    if interface.texts:
        return ExampleRequest(_ANY_TEXT, TEXT, target_model)
    if any(column.text for column in interface.columns):
        record = {column.name: _value_of(column) for column in interface.columns}
        return ExampleRequest(json.dumps([record], ensure_ascii=False), JSON, target_model)
    if not interface.width or interface.width > _MOST_INVENTED:
        return None
    return ExampleRequest(",".join(["0.0"] * interface.width), CSV, target_model)


def _value_of(column: Column) -> str | float | None:
    if not column.text:
        return 0.0
    return column.words[0] if column.words else ""


def _to_example(call: Call | None, target_model: str | None = None) -> ExampleRequest | None:
    if call is None or call.content_type is None:
        return None
    return ExampleRequest(call.body.decode("utf-8", "replace"), call.content_type, target_model)
