import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from service.control.reconcile import Reconciler
from service.domain import sentences
from service.domain.endpoint import WarmReport, WarmState
from service.domain.kinds import Kind
from service.store.members import GatewayReport
from service.store.store import Store
from tests.control.conftest import NOON, Control


@pytest.fixture(autouse=True)
def _model(control: Control) -> None:
    control.create_model()
    control.create_config()
    control.clock.advance(3600)


def report(
    control: Control, pid: int, state: WarmState, reason: str = "", name: str = "iris", revision: int = 0
) -> None:
    known = control.endpoint(name)
    fleet = known.pending or known.active
    assert fleet is not None
    word = WarmReport(name, fleet.generation, "a", state, reason)
    control.store.report(GatewayReport(str(pid), revision, (word,)))


def follow(control: Control, *pids: int) -> None:
    for pid in pids:
        control.store.report(GatewayReport(str(pid), control.store.revision(), ()))


def status(control: Control, name: str = "iris") -> str:
    return control.endpoint(name).status.value


def test_an_endpoint_is_in_service_when_every_gateway_has_it_warm_and_follows(control: Control) -> None:
    control.create_endpoint()
    report(control, 1, WarmState.WARM)
    report(control, 2, WarmState.LOADING)
    assert control.keep([1, 2]) == 0
    assert status(control) == "Creating"

    report(control, 2, WarmState.WARM)
    assert control.keep([1, 2]) == 1
    assert status(control) == "Creating"
    assert control.endpoint().serving is not None
    assert control.endpoint().awaited == control.store.revision()

    follow(control, 1)
    assert control.keep([1, 2]) == 0
    follow(control, 2)
    assert control.keep([1, 2]) == 1

    resource = control.store.get(Kind.ENDPOINT, "iris")
    assert resource is not None
    assert resource.status == "InService"
    assert resource.modified_at == NOON + timedelta(hours=1)


def test_nothing_to_settle_leaves_the_revision_alone(control: Control) -> None:
    control.create_endpoint()
    control.settle()
    before = control.store.revision()

    assert control.keep() == 0
    assert control.keep([]) == 0
    assert control.store.revision() == before


def test_a_dead_gateways_word_does_not_count_and_is_forgotten(control: Control) -> None:
    control.create_endpoint()
    report(control, 1, WarmState.FAILED, "out of memory")
    report(control, 2, WarmState.WARM)

    assert control.keep([2]) == 1

    assert control.endpoint().active is not None
    assert [gateway.member for gateway in control.store.gateways()] == ["2"]


def test_a_gateway_that_died_is_not_waited_for(control: Control) -> None:
    control.create_endpoint()
    report(control, 1, WarmState.WARM)
    report(control, 2, WarmState.WARM)
    control.keep()
    follow(control, 2)

    assert control.keep([2]) == 1
    assert status(control) == "InService"


def test_without_gateways_nothing_moves(control: Control) -> None:
    control.create_endpoint()
    report(control, 1, WarmState.WARM)

    assert control.keep([]) == 0
    assert status(control) == "Creating"
    control.settle()
    control.call("DeleteEndpoint", EndpointName="iris")
    assert control.keep([]) == 0
    assert status(control) == "Deleting"


def test_what_settled_is_logged_with_its_reason(control: Control, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    control.create_endpoint("bad")
    control.create_endpoint("good")
    report(control, 1, WarmState.FAILED, "no such file", name="bad")
    assert control.keep() == 1
    report(control, 1, WarmState.WARM, name="good")
    assert control.keep() == 1
    follow(control, 1)
    assert control.keep() == 1

    bad, ready, good = (record for record in caplog.records if "endpoint" in record.getMessage())
    assert bad.levelname == "WARNING"
    assert sentences.variant_failed("a", "no such file") in bad.getMessage()
    assert "endpoint settled" in bad.getMessage()
    assert "endpoint ready, gateways go over to it" in ready.getMessage()
    assert "Creating" in ready.getMessage()
    assert good.levelname == "INFO"
    assert "endpoint settled" in good.getMessage()
    assert "InService" in good.getMessage()
    assert status(control, "bad") == "Failed"


@pytest.mark.parametrize("reason", ["x" * 5000, "bad name \udcff", "nul \0"])
def test_a_reason_of_any_length_and_spelling_settles_once(control: Control, reason: str) -> None:
    control.create_endpoint()
    report(control, 1, WarmState.FAILED, reason)

    assert control.keep() == 1
    before = control.store.revision()
    assert control.keep() == 0

    assert control.store.revision() == before
    assert status(control) == "Failed"
    assert 0 < len(control.endpoint().failure_reason) <= 1024


def test_several_endpoints_settle_in_one_change(control: Control) -> None:
    for name in ("one", "two", "three"):
        control.create_endpoint(name)
    words = [
        WarmReport(name, fleet.generation, "a", WarmState.WARM)
        for name in ("one", "two")
        if (fleet := control.endpoint(name).pending) is not None
    ]
    control.store.report(GatewayReport("1", 1, tuple(words)))
    before = control.store.revision()

    assert control.keep() == 2
    assert control.store.revision() == before + 1
    follow(control, 1)
    assert control.keep() == 2
    assert control.store.revision() == before + 2
    assert [status(control, name) for name in ("one", "two", "three")] == [
        "InService",
        "InService",
        "Creating",
    ]


def test_endpoints_that_are_gone_are_removed_in_the_same_round(control: Control) -> None:
    control.create_endpoint("gone")
    control.settle()
    control.create_endpoint("new")
    control.call("DeleteEndpoint", EndpointName="gone")
    control.report()
    before = control.store.revision()

    assert control.keep() == 2
    assert control.store.revision() == before + 1
    assert control.names(Kind.ENDPOINT) == ["new"]


def test_what_another_keeper_settled_meanwhile_is_left_alone(control: Control) -> None:
    control.create_endpoint()
    report(control, 1, WarmState.WARM)
    other = Store(control.folder / "state.db")
    asked: list[int] = []

    def is_alive(member: str, beat: int) -> bool:
        if not asked:  # the other one is quicker, between this one's reading and writing
            asked.append(int(member))
            Reconciler(other, control.context, lambda _member, _beat: True).look()
        return True

    before = control.store.revision()
    assert Reconciler(control.store, control.context, is_alive).look() == 0
    assert control.store.revision() == before + 1
    other.close()


def test_endpoints_of_the_api_that_failed_are_not_even_read(control: Control) -> None:
    """However many there are, the keeper's rounds stay short."""
    control.create_endpoint()
    report(control, 1, WarmState.FAILED, "broken")
    assert control.keep([1]) == 1
    assert status(control) == "Failed"
    resource = control.store.get(Kind.ENDPOINT, "iris")
    assert resource is not None
    with control.store.change() as change:
        change.put(replace(resource, state={"unreadable": True}))

    assert control.keep([1]) == 0
