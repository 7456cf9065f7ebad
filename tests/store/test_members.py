from datetime import UTC, datetime

from service.clock import ManualClock
from service.domain.endpoint import WarmReport, WarmState
from service.store.members import GatewayReport, Lead, LeaseWatch
from service.store.store import Store

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def beats(store: Store) -> dict[str, int]:
    return {gateway.member: gateway.beat for gateway in store.gateways()}


def test_a_lease_beats_with_every_report_and_every_renewal(store: Store) -> None:
    word = WarmReport("iris", 1, "a", WarmState.WARM)
    store.report(GatewayReport("f/gateway-0", 1, (word,)))
    store.report(GatewayReport("f/gateway-1", 1, ()))
    assert store.renew("f/gateway-0")
    store.report(GatewayReport("f/gateway-1", 2, ()))
    assert store.renew("f/gateway-1")

    assert beats(store) == {"f/gateway-0": 2, "f/gateway-1": 3}
    assert store.gateways()[0].reports == (word,)


def test_what_was_forgotten_is_not_renewed_but_has_to_report_again(store: Store) -> None:
    store.report(GatewayReport("a", 1, ()))
    store.report(GatewayReport("b", 1, ()))

    store.forget_gateways(["a", "nobody"])

    assert not store.renew("a")
    assert beats(store) == {"b": 1}


def test_only_a_lease_that_is_as_it_was_seen_can_be_taken(store: Store) -> None:
    assert store.lead_of("keeper") is None
    assert store.take_lead("keeper", "a", None)
    seen = store.lead_of("keeper")

    assert seen == Lead("a", 1)
    assert not store.take_lead("keeper", "b", None)
    assert store.take_lead("keeper", "a", seen)
    assert not store.take_lead("keeper", "b", seen)
    assert store.take_lead("keeper", "b", Lead("a", 2))
    assert store.lead_of("keeper") == Lead("b", 3)


def test_a_family_that_begins_finds_nothing_of_the_one_before(store: Store) -> None:
    store.report(GatewayReport("a", 1, ()))
    store.take_lead("keeper", "a", None)

    store.forget_family()

    assert (store.gateways(), store.lead_of("keeper")) == ([], None)


def test_who_does_not_beat_is_gone_after_a_while_by_the_watchers_clock() -> None:
    clock = ManualClock(NOON)
    watch = LeaseWatch(clock, 30.0)

    assert watch.is_alive("a", 1)
    clock.advance(30)
    assert watch.is_alive("a", 1)
    clock.advance(0.5)
    assert not watch.is_alive("a", 1)
    assert watch.is_alive("b", 1)
    assert watch.is_alive("a", 2)
    clock.advance(30)
    assert watch.is_alive("a", 2)
