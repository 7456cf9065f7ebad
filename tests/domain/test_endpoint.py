import json
from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from service.domain import sentences
from service.domain.endpoint import (
    Capacity,
    Endpoint,
    EndpointStatus,
    Fleet,
    GatewayState,
    ModelSource,
    Variant,
    WarmReport,
    WarmState,
    judge,
    retain,
    unknown_variants,
)
from service.domain.endpoint_state import endpoint_from_state, endpoint_to_state
from service.domain.features import Serverless
from service.domain.user_shares import share_out

A = Variant("a", 9.0, ModelSource("file:///m/a", environment=(("DEPTH", "3"),)), pin=True)
B = Variant("b", 1.0, ModelSource("file:///m/b"))
LAZY = Variant("lazy", 1.0, ModelSource("file:///m/c"), lazy=True)
MULTI = Variant("multi", 1.0, ModelSource("file:///m/", multi=True))

NEW = Endpoint("iris", EndpointStatus.CREATING)


def say(generation: int, variant: str, state: WarmState, reason: str = "", of: str = "iris") -> WarmReport:
    return WarmReport(of, generation, variant, state, reason)


def warm(generation: int, *variants: str) -> list[WarmReport]:
    return [say(generation, variant, WarmState.WARM) for variant in variants]


def failed(generation: int, variant: str, reason: str = "no such file") -> list[WarmReport]:
    return [say(generation, variant, WarmState.FAILED, reason)]


def gateways(*reports: list[WarmReport], revision: int = 0) -> list[GatewayState]:
    return [GatewayState(revision, tuple(one)) for one in reports]


def in_service(*variants: Variant, heals: bool = False) -> Endpoint:
    names = [variant.name for variant in variants if variant.eager]
    begun = replace(NEW, heals=heals).begin("config-1", variants)
    return begun.settle(gateways(warm(1, *names)), 5).settle(gateways([], revision=5), 6)


def test_an_endpoint_is_creating_until_every_gateway_has_every_model_warm_and_follows() -> None:
    endpoint = NEW.begin("config-1", (A, B))

    assert endpoint.status is EndpointStatus.CREATING
    for said in (
        gateways(),
        gateways(warm(1, "a")),
        gateways(warm(1, "a", "b"), []),
        gateways(warm(1, "a", "b"), [*warm(1, "b"), say(1, "a", WarmState.LOADING)]),
    ):
        assert endpoint.settle(said, 5) == endpoint

    swapped = endpoint.settle(gateways(warm(1, "a", "b"), warm(1, "b", "a")), 5)

    assert (swapped.status, swapped.awaited) == (EndpointStatus.CREATING, 5)
    assert swapped.serving == Fleet("config-1", 1, (A, B))
    assert swapped.settle([GatewayState(5), GatewayState(4)], 6) == swapped
    assert swapped.settle([], 6) == swapped

    served = swapped.settle([GatewayState(5), GatewayState(7)], 6)

    assert (served.status, served.awaited) == (EndpointStatus.IN_SERVICE, None)
    assert not served.busy


def test_models_that_load_on_first_use_hold_nothing_up() -> None:
    endpoint = NEW.begin("config-1", (LAZY, MULTI))

    assert endpoint.settle(gateways([]), 5).active is not None


def test_a_lazy_model_that_fails_does_not_fail_the_endpoint() -> None:
    endpoint = NEW.begin("config-1", (A, LAZY))

    assert endpoint.settle(gateways(warm(1, "a") + failed(1, "lazy")), 5).active is not None


@pytest.mark.provenance("documented")
def test_a_first_fleet_that_fails_never_serves() -> None:
    endpoint = NEW.begin("config-1", (A, B)).settle(gateways(warm(1, "a", "b"), failed(1, "b")), 5)

    assert endpoint.status is EndpointStatus.FAILED
    assert endpoint.failure_reason == sentences.variant_failed("b", "no such file")
    assert endpoint.active == Fleet("config-1", 1, (A, B))  # for DescribeEndpoint
    assert endpoint.serving is None
    assert endpoint.fleets == ()
    assert not endpoint.busy
    assert endpoint.settle(gateways(warm(1, "a", "b")), 6) == endpoint


def test_an_endpoint_that_heals_answers_while_it_is_failed_and_serves_when_its_model_is_mended() -> None:
    broken = replace(NEW, heals=True).begin("config-1", (A,)).settle(gateways(failed(1, "a")), 5)

    assert broken.status is EndpointStatus.FAILED
    assert broken.serving is not None
    worse = broken.settle(gateways(failed(1, "a", "something else")), 6)
    assert worse.failure_reason == sentences.variant_failed("a", "something else")

    healed = broken.settle(gateways(warm(1, "a")), 6).settle([GatewayState(6)], 7)

    assert (healed.status, healed.failure_reason) == (EndpointStatus.IN_SERVICE, "")


def test_a_variant_with_an_obstacle_fails_whatever_gateways_say() -> None:
    endpoint = NEW.begin("config-1", (A, replace(B, obstacle="the image x cannot run here.")))

    failed_at_once = endpoint.settle(gateways(warm(1, "a", "b")), 5)

    assert failed_at_once.status is EndpointStatus.FAILED
    assert failed_at_once.failure_reason == sentences.variant_failed("b", "the image x cannot run here.")


def test_a_failed_endpoint_that_is_changed_is_creating_again() -> None:
    broken = NEW.begin("config-1", (A,)).settle(gateways(failed(1, "a")), 5)

    changed = broken.begin("config-2", (B,))

    assert (changed.status, changed.failure_reason) == (EndpointStatus.CREATING, "")
    assert changed.settle(gateways(failed(2, "b")), 6).active == changed.pending


def test_the_old_fleet_serves_while_the_new_one_loads_and_until_all_gateways_follow() -> None:
    endpoint = in_service(A).begin("config-2", (A, B))

    assert endpoint.status is EndpointStatus.UPDATING
    assert endpoint.busy
    assert endpoint.serving == Fleet("config-1", 1, (A,))

    swapped = endpoint.settle(gateways(warm(2, "a", "b"), revision=8), 9)

    assert swapped.serving == Fleet("config-2", 2, (A, B))
    assert swapped.status is EndpointStatus.UPDATING
    assert swapped.settle([GatewayState(9)], 10).status is EndpointStatus.IN_SERVICE


def test_a_failed_update_leaves_the_old_fleet_serving_and_says_why() -> None:
    endpoint = in_service(A).begin("config-2", (B,)).settle(gateways(failed(2, "b")), 9)

    assert endpoint.status is EndpointStatus.IN_SERVICE
    assert endpoint.active == Fleet("config-1", 1, (A,))
    assert endpoint.failure_reason == sentences.variant_failed("b", "no such file")
    assert endpoint.settle(gateways(warm(1, "a"), revision=99), 10) == endpoint


def test_a_failed_update_of_a_declared_endpoint_says_how_it_is_tried_again_however_long_the_reason() -> None:
    endpoint = replace(in_service(A), heals=True).begin("config-2", (B,))

    told = endpoint.settle(gateways(failed(2, "b", "x" * 2000)), 9).failure_reason

    assert len(told) == 1024
    assert told.endswith("(where SAGEBIRD_RELOAD is off, only the latter).")


def test_the_report_of_a_failed_update_does_not_fail_the_next_one() -> None:
    given_up = in_service(A).begin("config-2", (B,)).settle(gateways(failed(2, "b")), 9)

    again = given_up.begin("config-3", (B,))

    assert again.settle(gateways(failed(2, "b")), 10) == again
    assert again.settle(gateways(warm(3, "b")), 10).active == Fleet("config-3", 3, (B,))


def test_a_change_during_a_change_drops_the_fleet_that_was_pending() -> None:
    endpoint = in_service(A).begin("config-2", (B,)).begin("config-3", (A, B))

    assert endpoint.pending == Fleet("config-3", 3, (A, B))
    assert endpoint.settle(gateways(warm(2, "b")), 10) == endpoint


def test_a_model_that_breaks_in_service_leaves_the_endpoint_in_service() -> None:
    endpoint = in_service(A)

    assert endpoint.settle(gateways(failed(1, "a")), 10) == endpoint


def test_another_endpoints_reports_say_nothing() -> None:
    endpoint = NEW.begin("config-1", (A,))

    assert endpoint.settle(gateways([say(1, "a", WarmState.WARM, of="other")]), 10) == endpoint


def test_an_endpoint_without_fleets_does_not_move() -> None:
    assert NEW.settle(gateways(warm(0, "a"), revision=9), 10) == NEW


def test_other_weights_are_in_force_at_once_and_done_when_every_gateway_follows() -> None:
    endpoint = in_service(A, B)

    scaled = endpoint.scale((replace(A, weight=0.0, instances=3), B), awaited=9)

    assert scaled.status is EndpointStatus.UPDATING
    assert scaled.serving == Fleet("config-1", 1, (replace(A, weight=0.0, instances=3), B))
    assert scaled.before == (Capacity("a", 9.0, 1), Capacity("b", 1.0, 1))
    assert scaled.settle([GatewayState(8)], 10) == scaled
    done = scaled.settle([GatewayState(9)], 10)
    assert (done.status, done.before) == (EndpointStatus.IN_SERVICE, ())


def test_users_stay_where_they_are_through_weights_models_and_the_store() -> None:
    third = Variant("c", 1.0, ModelSource("file:///m/c"))
    endpoint = in_service(A, B, third)
    assert endpoint.active is not None
    assert endpoint.active.users == ()  # as weights alone have them
    parts = share_out(endpoint.active.weights)
    for step, weights in enumerate(((1.0, 2.0, 7.0), (1.0, 2.0, 8.0), (5.0, 2.0, 3.0)), 1):
        scaled = tuple(
            replace(each, weight=weight) for each, weight in zip((A, B, third), weights, strict=True)
        )
        parts = share_out([(each.name, each.weight) for each in scaled], parts)
        endpoint = endpoint.scale(scaled, awaited=step).settle([GatewayState(step)], step + 1)
        state = json.loads(json.dumps(endpoint_to_state(endpoint)))
        assert endpoint_from_state("iris", endpoint.status, "", state) == endpoint
        assert endpoint.active is not None
        assert endpoint.active.users == parts

    updated = endpoint.begin("config-2", (B, A))

    assert updated.pending is not None
    assert updated.pending.users == share_out([("b", 1.0), ("a", 9.0)], parts)


def test_an_endpoint_without_a_fleet_cannot_be_scaled() -> None:
    with pytest.raises(ValueError, match="no fleet"):
        NEW.scale((A,), awaited=1)


def test_a_deleted_endpoint_takes_nothing_and_is_gone_when_every_gateway_follows() -> None:
    deleted = in_service(A).remove(awaited=9)

    assert deleted.status is EndpointStatus.DELETING
    assert deleted.serving is None
    assert deleted.settle([GatewayState(9)], 10) == deleted
    assert [deleted.is_gone([GatewayState(n), GatewayState(9)]) for n in (8, 9)] == [False, True]
    assert not deleted.is_gone([])
    assert not in_service(A).is_gone([GatewayState(9)])


@pytest.mark.provenance("documented")
def test_retained_properties_are_those_of_the_namesakes() -> None:
    current = Fleet("config-1", 1, (replace(A, weight=4.0, instances=3),))

    both = retain((A, B), current, weights=True, instances=True)
    only_counts = retain((A, B), current, weights=False, instances=True)
    only_weights = retain((A, B), current, weights=True, instances=False)

    assert both == (replace(A, weight=4.0, instances=3), B)
    assert only_counts == (replace(A, instances=3), B)
    assert only_weights == (replace(A, weight=4.0), B)


def test_unknown_variants_are_named_in_order_of_asking() -> None:
    assert unknown_variants(Fleet("c", 1, (A, B)), ["z", "a", "y"]) == ["z", "y"]


@pytest.mark.provenance("botocore")
def test_a_failure_reason_fits_awss_shape_and_any_file_name() -> None:
    verdict, reason = judge("iris", Fleet("c", 1, (A,)), [failed(1, "a", "bad \udcff name " + "x" * 2000)])

    assert verdict is WarmState.FAILED
    assert r" for this endpoint. bad \udcff name xx" in reason
    assert reason.endswith("…")
    assert len(reason) == 1024


VARIANTS = st.lists(
    st.builds(
        Variant,
        st.sampled_from(["a", "b", "c"]),
        st.floats(0, 10),
        st.builds(
            ModelSource,
            st.sampled_from(["file:///m/1", "file:///m/2"]),
            st.booleans(),
            version=st.sampled_from(["", "1"]),
        ),
        lazy=st.booleans(),
        pin=st.booleans(),
        instances=st.integers(1, 3),
        serverless=st.none()
        | st.builds(Serverless, st.just(2048), st.integers(1, 3), st.none() | st.just(1)),
        repeated=st.dictionaries(st.sampled_from(["RoutingConfig"]), st.integers(), max_size=1),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda variant: variant.name,
).map(tuple)
STATES = st.sampled_from(list(WarmState))


class EndpointMachine(RuleBasedStateMachine):
    """An endpoint beside a reference that knows only generations, a verdict and the revision waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.endpoint = NEW
        self.generations: list[int] = []
        self.revision = 0
        self.status = EndpointStatus.CREATING
        self.active: int | None = None
        self.pending: int | None = None
        self.awaited: int | None = None

    def gateways_about(self, data: st.DataObject, generations: list[int]) -> list[GatewayState]:
        report = st.builds(say, st.sampled_from(generations), st.sampled_from(["a", "b", "c"]), STATES)
        reports = st.lists(report, max_size=6).map(tuple)
        revision = st.integers(max(0, self.revision - 2), self.revision)
        return data.draw(st.lists(st.builds(GatewayState, revision, reports), max_size=3))

    @rule()
    def something_else_changes_the_store(self) -> None:
        self.revision += 1

    @precondition(lambda self: self.status is not EndpointStatus.DELETING)
    @rule(variants=VARIANTS)
    def begin(self, variants: tuple[Variant, ...]) -> None:
        self.revision += 1
        self.endpoint = self.endpoint.begin("config", variants)
        assert self.endpoint.pending is not None
        generation = self.endpoint.pending.generation
        assert generation not in self.generations
        self.generations.append(generation)
        self.pending, self.awaited = generation, None
        serves = self.status in (EndpointStatus.IN_SERVICE, EndpointStatus.UPDATING)
        self.status = EndpointStatus.UPDATING if serves else EndpointStatus.CREATING

    @precondition(lambda self: self.status is EndpointStatus.IN_SERVICE)
    @rule(weight=st.floats(0, 10))
    def scale(self, weight: float) -> None:
        assert self.endpoint.active is not None
        self.revision += 1
        variants = tuple(replace(variant, weight=weight) for variant in self.endpoint.active.variants)
        self.endpoint = self.endpoint.scale(variants, self.revision)
        self.status, self.awaited = EndpointStatus.UPDATING, self.revision

    @precondition(lambda self: self.status in (EndpointStatus.IN_SERVICE, EndpointStatus.FAILED))
    @rule()
    def remove(self) -> None:
        self.revision += 1
        self.endpoint = self.endpoint.remove(self.revision)
        self.status, self.awaited, self.pending = EndpointStatus.DELETING, self.revision, None

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        said = self.gateways_about(data, [*self.generations[-2:], 99])
        verdict = self.verdict(self.pending, said)
        awaited = self.awaited
        follows = awaited is not None and bool(said) and all(one.revision >= awaited for one in said)
        self.endpoint = self.endpoint.settle(said, self.revision + 1)
        if self.status is EndpointStatus.DELETING:
            assert self.endpoint.is_gone(said) is follows
        elif self.pending is None:
            if self.status in (EndpointStatus.CREATING, EndpointStatus.UPDATING) and follows:
                self.status, self.awaited = EndpointStatus.IN_SERVICE, None
        elif verdict is WarmState.WARM:
            self.revision += 1
            self.active, self.pending, self.awaited = self.pending, None, self.revision
        elif verdict is WarmState.FAILED and self.status is EndpointStatus.UPDATING:
            self.status, self.pending = EndpointStatus.IN_SERVICE, None
        elif verdict is WarmState.FAILED:
            self.status, self.active, self.pending = EndpointStatus.FAILED, self.pending, None

    def verdict(self, generation: int | None, said: list[GatewayState]) -> WarmState:
        fleet = self.endpoint.pending
        if fleet is None:
            return WarmState.LOADING
        told = [{r.variant: r.state for r in one.reports if r.generation == generation} for one in said]
        eager = [variant.name for variant in fleet.variants if not variant.lazy and not variant.source.multi]
        states = [answer.get(name, WarmState.LOADING) for answer in told for name in eager]
        if WarmState.FAILED in states:
            return WarmState.FAILED
        return WarmState.LOADING if not said or WarmState.LOADING in states else WarmState.WARM

    @precondition(lambda self: self.pending is not None)
    @rule(data=st.data())
    def old_news_moves_nothing(self, data: st.DataObject) -> None:
        old = [generation for generation in [0, *self.generations] if generation != self.pending]
        loud = [one for one in self.gateways_about(data, old) if one.reports]
        assert self.endpoint.pending is not None
        if any(variant.eager for variant in self.endpoint.pending.variants):
            assert self.endpoint.settle(loud, self.revision + 1) == self.endpoint

    @rule()
    def survive_the_store(self) -> None:
        known = self.endpoint
        state = json.loads(json.dumps(endpoint_to_state(known)))

        assert endpoint_from_state(known.name, known.status.value, known.failure_reason, state) == known

    @invariant()
    def agrees_with_the_reference(self) -> None:
        fleets = (self.endpoint.active, self.endpoint.pending)
        assert [fleet and fleet.generation for fleet in fleets] == [self.active, self.pending]
        assert self.endpoint.status is self.status
        assert self.endpoint.awaited == self.awaited

    @invariant()
    def what_was_in_service_serves_until_it_is_deleted(self) -> None:
        if self.endpoint.status in (EndpointStatus.IN_SERVICE, EndpointStatus.UPDATING):
            assert self.endpoint.serving is not None


TestEndpointMachine = EndpointMachine.TestCase
