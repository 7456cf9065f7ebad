import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.arn import Arns
from service.clock import ManualClock
from service.control.endpoints import create_endpoint, endpoint_of
from service.control.reconcile import reconcile
from service.control.resources import Resources
from service.domain.endpoint import Endpoint, WarmReport, WarmState
from service.domain.kinds import Kind
from service.store.store import GatewayReport, Store

ARNS = Arns("000000000000", "us-east-1")
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "state.db")
    yield opened
    opened.close()


def declare(store: Store, *names: str) -> None:
    with store.change() as change:
        resources = Resources(change, ARNS, ManualClock(NOON))
        container = {"ModelDataUrl": "file:///m/one"}
        resources.create(Kind.MODEL, {"ModelName": "one", "PrimaryContainer": container})
        variants = [{"VariantName": "a", "ModelName": "one"}]
        config = {"EndpointConfigName": "config", "ProductionVariants": variants}
        resources.create(Kind.ENDPOINT_CONFIG, config)
        for name in names:
            create_endpoint(resources, {"EndpointName": name, "EndpointConfigName": "config"})


def endpoint(store: Store, name: str = "iris") -> Endpoint:
    resource = store.get(Kind.ENDPOINT, name)
    assert resource is not None
    return endpoint_of(resource)


def report(store: Store, pid: int, state: WarmState, reason: str = "", name: str = "iris") -> None:
    known = endpoint(store, name)
    fleet = known.pending or known.active
    assert fleet is not None
    store.report(GatewayReport(pid, 1, (WarmReport(name, fleet.generation, "a", state, reason),)))


def look(store: Store, *alive: int) -> int:
    return reconcile(store, ARNS, ManualClock(NOON + timedelta(hours=1)), lambda pid: pid in alive)


def test_an_endpoint_is_in_service_when_every_living_gateway_has_it_warm(store: Store) -> None:
    declare(store, "iris")
    report(store, 1, WarmState.WARM)
    report(store, 2, WarmState.LOADING)
    assert look(store, 1, 2) == 0
    assert endpoint(store).status == "Creating"

    report(store, 2, WarmState.WARM)
    assert look(store, 1, 2) == 1

    resource = store.get(Kind.ENDPOINT, "iris")
    assert resource is not None
    assert resource.status == "InService"
    assert resource.modified_at == NOON + timedelta(hours=1)


def test_nothing_to_settle_leaves_the_revision_alone(store: Store) -> None:
    declare(store, "iris")
    report(store, 1, WarmState.WARM)
    look(store, 1)
    before = store.revision()

    assert look(store, 1) == 0
    assert look(store) == 0
    assert store.revision() == before


def test_a_dead_gateways_word_does_not_count_and_is_forgotten(store: Store) -> None:
    declare(store, "iris")
    report(store, 1, WarmState.FAILED, "out of memory")
    report(store, 2, WarmState.WARM)

    assert look(store, 2) == 1

    assert endpoint(store).status == "InService"
    assert [gateway.pid for gateway in store.gateways()] == [2]


def test_without_gateways_nothing_moves(store: Store) -> None:
    declare(store, "iris")
    report(store, 1, WarmState.WARM)

    assert look(store) == 0
    assert endpoint(store).status == "Creating"


def test_what_settled_is_logged_with_its_reason(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    declare(store, "bad", "good")
    report(store, 1, WarmState.FAILED, "no such file", name="bad")
    assert look(store, 1) == 1
    report(store, 1, WarmState.WARM, name="good")
    assert look(store, 1) == 1

    bad, good = caplog.records
    assert bad.levelname == "WARNING"
    assert "Variant a: no such file" in bad.getMessage()
    assert good.levelname == "INFO"
    assert endpoint(store, "bad").status == "Failed"


@pytest.mark.parametrize("reason", ["x" * 5000, "bad name \udcff", "nul \0"])
def test_a_reason_of_any_length_and_spelling_settles_once(store: Store, reason: str) -> None:
    declare(store, "iris")
    report(store, 1, WarmState.FAILED, reason)

    assert look(store, 1) == 1
    before = store.revision()
    assert look(store, 1) == 0

    assert store.revision() == before
    assert endpoint(store).status == "Failed"
    assert 0 < len(endpoint(store).failure_reason) <= 1024


def test_several_endpoints_settle_in_one_change(store: Store) -> None:
    declare(store, "one", "two", "three")
    words = [
        WarmReport(name, fleet.generation, "a", WarmState.WARM)
        for name in ("one", "two")
        if (fleet := endpoint(store, name).pending) is not None
    ]
    store.report(GatewayReport(1, 1, tuple(words)))
    before = store.revision()

    assert look(store, 1) == 2
    assert store.revision() == before + 1
    assert [endpoint(store, name).status for name in ("one", "two", "three")] == [
        "InService",
        "InService",
        "Creating",
    ]


def test_what_another_keeper_settled_meanwhile_is_left_alone(store: Store, tmp_path: Path) -> None:
    declare(store, "iris")
    report(store, 1, WarmState.WARM)
    other = Store(tmp_path / "state.db")
    asked: list[int] = []

    def is_alive(pid: int) -> bool:
        if not asked:  # the other one is quicker, between this one's reading and writing
            asked.append(pid)
            look(other, 1)
        return True

    before = store.revision()
    assert reconcile(store, ARNS, ManualClock(NOON), is_alive) == 0
    assert store.revision() == before + 1
    other.close()
