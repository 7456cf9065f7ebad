"""What gateways have done from one look to the next, and which part of it is a model's."""

import time
from pathlib import Path

from service.observe.counts import Registry
from service.observe.gateway_work import GatewayWatch, GatewayWork

ONE, OTHER = ("e", "one"), ("e", "other")


def test_a_look_tells_what_was_done_since_the_last_one(tmp_path: Path) -> None:
    registry, watch = Registry(tmp_path, "g0"), GatewayWatch(tmp_path)
    registry.invocation(*ONE).count(0.5, 0.25)
    registry.flush()
    watch.look()

    registry.invocation(*ONE).count(0.5, 0.25, 2)
    registry.invocation(*OTHER, 7).count(0.5, 0.125)
    registry.flush()
    used_s = time.process_time()
    while time.process_time() < used_s + 0.1:
        pass
    work = watch.look()

    assert work.model_s == {ONE: 0.5, OTHER: 0.125}
    assert work.cpu_s >= 0.07  # the system counts it by hundredths of a second, of two kinds
    assert watch.look().model_s == {}


def test_a_gateway_that_counts_anew_is_no_loss(tmp_path: Path) -> None:
    watch = GatewayWatch(tmp_path)
    before = Registry(tmp_path, "g0")
    before.invocation(*ONE).count(1.0, 1.0)
    before.flush()
    watch.look()
    (tmp_path / "g0.json").unlink()

    after = Registry(tmp_path, "g0")
    after.invocation(*ONE).count(0.5, 0.5)
    after.flush()

    assert watch.look().model_s == {ONE: 0.5}


def test_models_have_used_no_more_than_their_gateways() -> None:
    waited = GatewayWork(2.0, {ONE: 6.0, OTHER: 2.0, ("e", "contained"): 100.0})
    assert waited.cpu_of({ONE, OTHER}) == {ONE: 1.5, OTHER: 0.5}


def test_models_have_used_no_more_than_requests_were_at_them() -> None:
    assert GatewayWork(9.0, {ONE: 0.5}).cpu_of({ONE, OTHER}) == {ONE: 0.5}
    assert GatewayWork(9.0, {}).cpu_of({ONE}) == {}
