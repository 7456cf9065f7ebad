import json
from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from service.domain.endpoint import (
    Endpoint,
    EndpointStatus,
    Fleet,
    ModelSource,
    Variant,
    WarmReport,
    WarmState,
    endpoint_from_state,
    endpoint_to_state,
    judge,
)

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


def in_service(*variants: Variant) -> Endpoint:
    names = [variant.name for variant in variants if variant.eager]
    return NEW.begin("config-1", variants).settle([warm(1, *names)])


def test_an_endpoint_is_creating_until_every_gateway_has_every_model_warm() -> None:
    endpoint = NEW.begin("config-1", (A, B))

    assert endpoint.status is EndpointStatus.CREATING
    assert endpoint.settle([]) == endpoint
    assert endpoint.settle([warm(1, "a")]) == endpoint
    assert endpoint.settle([warm(1, "a", "b"), []]) == endpoint
    assert endpoint.settle([warm(1, "a", "b"), [*warm(1, "b"), say(1, "a", WarmState.LOADING)]]) == endpoint

    served = endpoint.settle([warm(1, "a", "b"), warm(1, "b", "a")])

    assert served.status is EndpointStatus.IN_SERVICE
    assert served.active == Fleet("config-1", 1, (A, B))
    assert not served.busy


def test_models_that_load_on_first_use_hold_nothing_up() -> None:
    endpoint = NEW.begin("config-1", (LAZY, MULTI))

    assert endpoint.settle([[]]).status is EndpointStatus.IN_SERVICE


def test_a_lazy_model_that_fails_does_not_fail_the_endpoint() -> None:
    endpoint = NEW.begin("config-1", (A, LAZY))

    assert endpoint.settle([warm(1, "a") + failed(1, "lazy")]).status is EndpointStatus.IN_SERVICE


def test_the_first_fleet_that_fails_is_active_and_says_why() -> None:
    endpoint = NEW.begin("config-1", (A, B)).settle([warm(1, "a", "b"), failed(1, "b", "no such file")])

    assert endpoint.status is EndpointStatus.FAILED
    assert endpoint.failure_reason == "Variant b: no such file"
    assert endpoint.active is not None
    assert not endpoint.busy


def test_a_failed_endpoint_heals_when_its_model_is_mended() -> None:
    broken = NEW.begin("config-1", (A,)).settle([failed(1, "a")])

    healed = broken.settle([warm(1, "a")])

    assert healed.status is EndpointStatus.IN_SERVICE
    assert healed.failure_reason == ""
    assert broken.settle([failed(1, "a", "something else")]).failure_reason == "Variant a: something else"


def test_a_failed_endpoint_that_is_changed_is_creating_again() -> None:
    broken = NEW.begin("config-1", (A,)).settle([failed(1, "a")])

    changed = broken.begin("config-2", (B,))

    assert changed.status is EndpointStatus.CREATING
    assert changed.failure_reason == ""
    assert changed.settle([failed(2, "b")]).active == changed.pending
    assert changed.settle([warm(2, "b")]).status is EndpointStatus.IN_SERVICE


def test_the_old_fleet_serves_while_the_new_one_loads() -> None:
    endpoint = in_service(A).begin("config-2", (A, B))

    assert endpoint.status is EndpointStatus.UPDATING
    assert endpoint.busy
    assert endpoint.active == Fleet("config-1", 1, (A,))
    assert endpoint.settle([warm(2, "a", "b")]).active == Fleet("config-2", 2, (A, B))


def test_a_failed_update_leaves_the_old_fleet_serving_and_says_why() -> None:
    endpoint = in_service(A).begin("config-2", (B,)).settle([failed(2, "b")])

    assert endpoint.status is EndpointStatus.IN_SERVICE
    assert endpoint.active == Fleet("config-1", 1, (A,))
    assert endpoint.failure_reason == "Variant b: no such file"
    assert endpoint.settle([warm(1, "a")]) == endpoint


def test_the_report_of_a_failed_update_does_not_fail_the_next_one() -> None:
    given_up = in_service(A).begin("config-2", (B,)).settle([failed(2, "b")])

    again = given_up.begin("config-3", (B,))

    assert again.settle([failed(2, "b")]) == again
    assert again.settle([warm(3, "b")]).active == Fleet("config-3", 3, (B,))


def test_a_change_during_a_change_drops_the_fleet_that_was_pending() -> None:
    endpoint = in_service(A).begin("config-2", (B,)).begin("config-3", (A, B))

    assert endpoint.pending == Fleet("config-3", 3, (A, B))
    assert endpoint.settle([warm(2, "b")]) == endpoint


def test_a_model_that_breaks_in_service_leaves_the_endpoint_in_service() -> None:
    endpoint = in_service(A)

    assert endpoint.settle([failed(1, "a")]) == endpoint


def test_another_endpoints_reports_say_nothing() -> None:
    endpoint = NEW.begin("config-1", (A,))

    assert endpoint.settle([[say(1, "a", WarmState.WARM, of="other")]]) == endpoint


def test_an_endpoint_without_fleets_does_not_move() -> None:
    assert NEW.settle([warm(0, "a")]) == NEW


def test_other_weights_keep_the_models_and_the_generation() -> None:
    fleet = Fleet("config-1", 4, (A, B))

    changed = fleet.with_weights({"a": 0.0, "nobody": 5.0})

    assert changed == replace(fleet, variants=(replace(A, weight=0.0), B))


@pytest.mark.provenance("botocore")
def test_a_failure_reason_fits_awss_shape_and_any_file_name() -> None:
    verdict, reason = judge("iris", Fleet("c", 1, (A,)), [failed(1, "a", "bad \udcff name " + "x" * 2000)])

    assert verdict is WarmState.FAILED
    assert reason.startswith(r"Variant a: bad \udcff name xx")
    assert reason.endswith("…")
    assert len(reason) == 1024


VARIANTS = st.lists(
    st.builds(
        Variant,
        st.sampled_from(["a", "b", "c"]),
        st.floats(0, 10),
        st.builds(ModelSource, st.sampled_from(["file:///m/1", "file:///m/2"]), st.booleans()),
        lazy=st.booleans(),
        pin=st.booleans(),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda variant: variant.name,
).map(tuple)
STATES = st.sampled_from(list(WarmState))


class EndpointMachine(RuleBasedStateMachine):
    """An endpoint beside a reference that knows only generations and a verdict."""

    def __init__(self) -> None:
        super().__init__()
        self.endpoint = NEW
        self.generations: list[int] = []
        self.status = EndpointStatus.CREATING
        self.active: int | None = None
        self.pending: int | None = None

    def gateways_about(self, data: st.DataObject, generations: list[int]) -> list[list[WarmReport]]:
        report = st.builds(say, st.sampled_from(generations), st.sampled_from(["a", "b", "c"]), STATES)
        return data.draw(st.lists(st.lists(report, max_size=6), max_size=3))

    @rule(variants=VARIANTS)
    def begin(self, variants: tuple[Variant, ...]) -> None:
        self.endpoint = self.endpoint.begin("config", variants)
        assert self.endpoint.pending is not None
        generation = self.endpoint.pending.generation
        assert generation not in self.generations
        self.generations.append(generation)
        self.pending = generation
        serves = self.status in (EndpointStatus.IN_SERVICE, EndpointStatus.UPDATING)
        self.status = EndpointStatus.UPDATING if serves else EndpointStatus.CREATING

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        gateways = self.gateways_about(data, [*self.generations[-2:], 99])
        target = self.active if self.status is EndpointStatus.FAILED else self.pending
        verdict = self.verdict(target, gateways)
        self.endpoint = self.endpoint.settle(gateways)
        if verdict is WarmState.WARM:
            self.status, self.active, self.pending = EndpointStatus.IN_SERVICE, target, None
        elif verdict is WarmState.FAILED and self.status is EndpointStatus.UPDATING:
            self.status, self.pending = EndpointStatus.IN_SERVICE, None
        elif verdict is WarmState.FAILED:
            self.status, self.active, self.pending = EndpointStatus.FAILED, target, None

    def verdict(self, generation: int | None, gateways: list[list[WarmReport]]) -> WarmState:
        fleets = [fleet for fleet in (self.endpoint.active, self.endpoint.pending) if fleet is not None]
        fleet = next((fleet for fleet in fleets if fleet.generation == generation), None)
        if fleet is None:
            return WarmState.LOADING
        said = [{r.variant: r.state for r in reports if r.generation == generation} for reports in gateways]
        eager = [variant.name for variant in fleet.variants if not variant.lazy and not variant.source.multi]
        states = [answer.get(name, WarmState.LOADING) for answer in said for name in eager]
        if WarmState.FAILED in states:
            return WarmState.FAILED
        return WarmState.LOADING if not gateways or WarmState.LOADING in states else WarmState.WARM

    @precondition(lambda self: self.generations and self.status is not EndpointStatus.FAILED)
    @rule(data=st.data())
    def old_news_moves_nothing(self, data: st.DataObject) -> None:
        old = [generation for generation in [0, *self.generations] if generation != self.pending]
        loud = [reports for reports in self.gateways_about(data, old) if reports]
        unsaid = self.endpoint.pending is not None and any(v.eager for v in self.endpoint.pending.variants)
        if unsaid:
            assert self.endpoint.settle(loud) == self.endpoint

    @precondition(lambda self: self.endpoint.active is not None)
    @rule(weight=st.floats(0, 10))
    def reweigh(self, weight: float) -> None:
        assert self.endpoint.active is not None
        self.endpoint = replace(self.endpoint, active=self.endpoint.active.with_weights({"a": weight}))

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
        assert self.endpoint.busy is (self.pending is not None)

    @invariant()
    def what_serves_has_an_active_fleet(self) -> None:
        if self.endpoint.status in (EndpointStatus.IN_SERVICE, EndpointStatus.UPDATING):
            assert self.endpoint.active is not None


TestEndpointMachine = EndpointMachine.TestCase
