"""What an endpoint is and how its status moves. Pure values and functions: no I/O, no clock, no async.

An endpoint serves its `active` fleet. A change prepares a `pending` fleet beside it; `settle` swaps the two
once every gateway reports the pending one warm, so that no request ever waits for a deployment. A change
counts as done when every gateway follows the revision that it was `awaited` in: who sees InService meets
nothing of before, whichever gateway answers.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from service.domain import sentences
from service.domain.features import LoadLimits, Serverless
from service.domain.image import named_image
from service.domain.user_shares import Parts, share_out

PRIMARY: Final = "primary"
"""What AWS calls the container of a model that has no other."""


class EndpointStatus(StrEnum):
    """Statuses of an endpoint. Source: model shape EndpointStatus, contract C.6."""

    CREATING = "Creating"
    UPDATING = "Updating"
    IN_SERVICE = "InService"
    FAILED = "Failed"
    DELETING = "Deleting"


UNSETTLED = (
    EndpointStatus.CREATING,
    EndpointStatus.UPDATING,
    EndpointStatus.FAILED,  # a declared one may heal
    EndpointStatus.DELETING,
)
"""The statuses that what gateways report can move."""


class WarmState(StrEnum):
    """What one gateway says of one variant that it was asked to make ready."""

    LOADING = "loading"
    WARM = "warm"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model's bytes are and what its code is told.

    `location` is a path or URI of a folder or archive, or of a folder of models when `multi`. Sources of
    different `version` never share a loaded model: it is the fingerprint of the files when they were
    deployed, "" for a source that follows its files. `image` is the container image that is to run it, "" for
    the built-in one, with the id that it had when it was deployed if it is somebody's.

    A model of several containers has `stages` and no location. They hand each call on from one to the next,
    unless callers name the one that they mean: `direct`. Other `limits` make no other source.
    """

    location: str
    multi: bool = False
    environment: tuple[tuple[str, str], ...] = ()
    version: str = ""
    image: str = ""
    stages: tuple["Stage", ...] = ()
    direct: bool = False
    limits: LoadLimits = field(default=LoadLimits(), compare=False)

    @property
    def parts(self) -> tuple["ModelSource", ...]:
        """The sources of one container each that it is made of: itself, or those of its stages."""
        return tuple(stage.source for stage in self.stages) or (self,)

    @property
    def takes_target(self) -> bool:
        """Whether a caller has to say which model of a folder is meant."""
        return any(part.multi for part in self.parts)

    @property
    def answering(self) -> str:
        """What AWS calls the container whose answer callers get, unless they name one."""
        return self.stages[-1].name if self.stages else PRIMARY

    @property
    def label(self) -> str:
        """Where it is, for people."""
        return ", ".join(part.location for part in self.parts)

    def split_reason(self, reason: str) -> tuple[str, str]:
        """Which container a sentence is about that begins with its name, "" for none; and the sentence."""
        name, colon, rest = reason.partition(": ")
        named = bool(colon) and any(stage.name == name for stage in self.stages)
        return (name, rest) if named else ("", reason)


@dataclass(frozen=True, slots=True)
class Stage:
    """One container of several: its name, and where its model is."""

    name: str
    source: ModelSource


@dataclass(frozen=True, slots=True)
class Variant:
    """One production variant: a share of the traffic (`weight` over the sum) answered by one model source.

    `lazy` models load on first use and do not hold up readiness; `pin` keeps them loaded. `instances` copies
    each take calls of their own, unless the variant is `serverless`. An `obstacle` says why it can never run
    here. `image` and `repeated`, in AWS spelling, decide nothing: DescribeEndpoint repeats them.
    """

    name: str
    weight: float
    source: ModelSource
    lazy: bool = False
    pin: bool = False
    instances: int = 1
    serverless: Serverless | None = None
    obstacle: str = ""
    image: str = ""
    repeated: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def eager(self) -> bool:
        """Whether the variant must be warm before it takes traffic."""
        return not self.lazy and not self.source.multi and not self.obstacle

    @property
    def images(self) -> tuple[str, ...]:
        """The images of its containers, in their order."""
        images = [stage.source.image for stage in self.source.stages] or [self.image]
        return tuple(named_image(image) for image in images if image)

    @property
    def most_calls(self) -> int | None:
        """How many calls it answers at once, None for as many as come."""
        return None if self.serverless is None else self.serverless.most_calls


@dataclass(frozen=True, slots=True)
class Fleet:
    """The variants of one endpoint configuration; no two fleets of an endpoint have the same `generation`.

    Calls of an `asynchronous` one are put into a queue, and none is answered at once. `repeated` is what
    DescribeEndpoint repeats of the configuration, as it was asked for in AWS spelling; it decides nothing.
    `users` are the parts that variants have of an endpoint's users, () if they follow from the weights alone.
    """

    config_name: str
    generation: int
    variants: tuple[Variant, ...]
    begun_at: datetime | None = None
    asynchronous: bool = False
    repeated: Mapping[str, Any] = field(default_factory=dict, hash=False)
    users: Parts = ()

    @property
    def weights(self) -> list[tuple[str, float]]:
        """The weight of each variant."""
        return [(variant.name, variant.weight) for variant in self.variants]

    def after(self, before: "Fleet | None") -> "Fleet":
        """The same, with users staying where they were `before`, as far as the weights let them."""
        if before is None:
            return self
        parts = share_out(self.weights, before.users or share_out(before.weights))
        return replace(self, users=() if parts == share_out(self.weights) else parts)


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a variant had of traffic and instances before the change that is under way."""

    variant: str
    weight: float
    instances: int
    serverless: Serverless | None = None

    @classmethod
    def of(cls, variant: Variant) -> "Capacity":
        """What a variant has."""
        return cls(variant.name, variant.weight, variant.instances, variant.serverless)


@dataclass(frozen=True, slots=True)
class WarmReport:
    """One gateway's word on one variant of one generation."""

    endpoint: str
    generation: int
    variant: str
    state: WarmState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GatewayState:
    """What one living gateway says: the store's revision that it follows, and its warm reports."""

    revision: int
    reports: tuple[WarmReport, ...] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint's fleets and status.

    `generation` is that of the fleet prepared last, also if that was given up: gateways may still talk of it.
    `awaited` is the revision that every gateway must follow for the change to be done; `before` what variants
    had until then. One that `heals` answers and is tried again while it is Failed.
    """

    name: str
    status: EndpointStatus
    active: Fleet | None = None
    pending: Fleet | None = None
    failure_reason: str = ""
    generation: int = 0
    awaited: int | None = None
    before: tuple[Capacity, ...] = ()
    heals: bool = False

    @property
    def busy(self) -> bool:
        """Whether a change is under way, so that another has to wait. Source: contract C.6."""
        return self.status in (EndpointStatus.CREATING, EndpointStatus.UPDATING, EndpointStatus.DELETING)

    @property
    def serving(self) -> Fleet | None:
        """The fleet that takes requests, None if there is none."""
        refused = self.status is EndpointStatus.FAILED and not self.heals
        return None if refused or self.status is EndpointStatus.DELETING else self.active

    @property
    def fleets(self) -> tuple[Fleet, ...]:
        """The fleets whose models are to be ready: the one that serves, and the one that is prepared."""
        found = (self.serving, self.pending)
        return tuple(fleet for fleet in found if fleet is not None)

    def begin(
        self,
        config_name: str,
        variants: tuple[Variant, ...],
        begun_at: datetime | None = None,
        *,
        asynchronous: bool = False,
        repeated: Mapping[str, Any] | None = None,
    ) -> "Endpoint":
        """Prepare a new fleet beside the one that serves; a fleet that was still pending is dropped.

        An endpoint that never served, or failed, is Creating again: there is nothing to fall back on.
        """
        serves = self.status in (EndpointStatus.IN_SERVICE, EndpointStatus.UPDATING)
        generation = self.generation + 1
        return replace(
            self,
            status=EndpointStatus.UPDATING if serves else EndpointStatus.CREATING,
            pending=Fleet(
                config_name,
                generation,
                variants,
                begun_at,
                asynchronous,
                {} if repeated is None else repeated,
            ).after(self.active),
            failure_reason="",
            generation=generation,
            awaited=None,
            before=(),
        )

    def scale(self, variants: tuple[Variant, ...], awaited: int) -> "Endpoint":
        """Give the active fleet other weights and counts, not other models, in force at `awaited`."""
        if self.active is None:
            raise ValueError(f"endpoint {self.name} has no fleet")
        before = tuple(Capacity.of(variant) for variant in self.active.variants)
        return replace(
            self,
            status=EndpointStatus.UPDATING,
            active=replace(self.active, variants=variants).after(self.active),
            failure_reason="",
            awaited=awaited,
            before=before,
        )

    def remove(self, awaited: int) -> "Endpoint":
        """Take no more requests; gone once every gateway follows `awaited`."""
        return replace(self, status=EndpointStatus.DELETING, pending=None, awaited=awaited)

    def is_gone(self, gateways: Sequence[GatewayState]) -> bool:
        """Whether nothing of a deleted endpoint is left in any gateway."""
        return self.status is EndpointStatus.DELETING and self._is_followed(gateways)

    def settle(self, gateways: Sequence[GatewayState], revision: int) -> "Endpoint":
        """Move the status by what the gateways report; unchanged while any of them is still at it.

        `revision` is the one that the result is written in. A failed update leaves the old fleet serving, as
        if nothing had been asked. A first fleet that fails becomes the active one of an endpoint that heals,
        so that every call says what is wrong with the model and a mended one serves. A model that breaks in
        service answers for itself: the endpoint stays as it is.
        """
        if self.pending is not None:
            return self._settle_fleet(self.pending, gateways, revision)
        if self.status is EndpointStatus.FAILED and self.heals and self.active is not None:
            return self._settle_fleet(self.active, gateways, revision)
        if self.status in (EndpointStatus.CREATING, EndpointStatus.UPDATING) and self._is_followed(gateways):
            return replace(self, status=EndpointStatus.IN_SERVICE, awaited=None, before=())
        return self

    def _settle_fleet(self, fleet: Fleet, gateways: Sequence[GatewayState], revision: int) -> "Endpoint":
        verdict, reason = judge(self.name, fleet, [gateway.reports for gateway in gateways])
        if verdict is WarmState.LOADING:
            return self
        if verdict is WarmState.WARM:
            status = EndpointStatus.UPDATING if self._has_served else EndpointStatus.CREATING
            return replace(
                self, status=status, active=fleet, pending=None, failure_reason="", awaited=revision
            )
        if self._has_served:
            reason = sentences.declared_update_failed(reason) if self.heals else reason
            return replace(self, status=EndpointStatus.IN_SERVICE, pending=None, failure_reason=reason)
        return replace(self, status=EndpointStatus.FAILED, active=fleet, pending=None, failure_reason=reason)

    @property
    def _has_served(self) -> bool:
        return self.status is EndpointStatus.UPDATING

    def _is_followed(self, gateways: Sequence[GatewayState]) -> bool:
        awaited = self.awaited
        if awaited is None or not gateways:
            return False
        return all(gateway.revision >= awaited for gateway in gateways)


def judge(endpoint: str, fleet: Fleet, gateways: Iterable[Iterable[WarmReport]]) -> tuple[WarmState, str]:
    """Whether all gateways have every eager variant of `fleet` warm, or one has failed it and why.

    A variant with an obstacle fails whatever they say. No gateway at all counts as still loading.
    """
    for variant in fleet.variants:
        if variant.obstacle:
            return WarmState.FAILED, _failure(variant, variant.obstacle)
    eager = {variant.name: variant for variant in fleet.variants if variant.eager}
    answers = [
        {
            report.variant: report
            for report in reports
            if (report.endpoint, report.generation) == (endpoint, fleet.generation)
            and report.variant in eager
        }
        for reports in gateways
    ]
    for answer in answers:
        for report in answer.values():
            if report.state is WarmState.FAILED:
                return WarmState.FAILED, _failure(eager[report.variant], report.reason)
    warm = all(
        name in answer and answer[name].state is WarmState.WARM for answer in answers for name in eager
    )
    return (WarmState.WARM if answers and warm else WarmState.LOADING), ""


def _failure(variant: Variant, reason: str) -> str:
    container, reason = variant.source.split_reason(reason)
    return sentences.variant_failed(variant.name, reason, container or f"{PRIMARY} container")


def retain(
    variants: tuple[Variant, ...], current: Fleet, *, weights: bool, instances: bool
) -> tuple[Variant, ...]:
    """New variants with the weights and counts that their namesakes have now. Source: contract C.11."""
    now = {variant.name: variant for variant in current.variants}
    return tuple(
        replace(
            variant,
            weight=now[variant.name].weight if weights else variant.weight,
            instances=now[variant.name].instances if instances else variant.instances,
        )
        if variant.name in now
        else variant
        for variant in variants
    )


def unknown_variants(fleet: Fleet, names: Collection[str]) -> list[str]:
    """The names that are no variant of the fleet, in order of asking."""
    known = {variant.name for variant in fleet.variants}
    return [name for name in names if name not in known]
