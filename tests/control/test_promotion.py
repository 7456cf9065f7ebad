"""Promotions, ramps and the history of weights, over a real control plane."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.control.history import changes_of
from service.control.promotion import RAMPS, Ramp, Ramps, promote, ramp_of, read_wanted, stop_ramp
from service.control.resources import OperationContext, Resources
from service.control.traffic_plans import plan_traffic
from service.errors import ValidationFault
from tests.control.conftest import Control, opened, variant


class Ramped:
    """An endpoint of three variants, and who takes the steps of its ramps."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.broken: list[str] = []
        self.judged: list[tuple[str, str | None, bool]] = []
        self.ramps = Ramps(control.store, control.context, self._judge)
        control.serve(
            *(variant(name, InitialVariantWeight=w) for name, w in (("a", 8.0), ("b", 0.0), ("c", 2.0)))
        )

    def _judge(self, name: str, ramp: Ramp) -> list[str]:
        assert name == "iris"
        self.judged.append((ramp.variant, ramp.outcome, ramp.less))
        return self.broken

    def promote(self, **document: Any) -> Ramp:
        with self.control.store.change() as change:
            ramp = promote(Resources(change, self.control.context), "iris", read_wanted(document))
        self.control.settle()
        return ramp

    def plan(self, document: Any) -> dict[str, Any]:
        """The answer to what is asked for."""
        with self.control.store.change() as change:
            done = plan_traffic(Resources(change, self.control.context), "iris", document)
        self.control.settle()
        return done

    def look(self, seconds: float = 2.0) -> Ramp | None:
        """What the ramp is after some time."""
        self.control.clock.advance(seconds)
        self.ramps.look()
        self.control.settle()
        return ramp_of(self.control.store, "iris")

    def weights(self) -> dict[str, float]:
        fleet = self.control.endpoint().active
        assert fleet is not None
        return dict(fleet.weights)

    def reasons(self) -> list[str]:
        return [change["reason"] for change in changes_of(self.control.store, "iris")]


@pytest.fixture
def ramped(memory_path: Path) -> Iterator[Ramped]:
    with opened(memory_path) as control:
        yield Ramped(control)


def test_a_promoted_variant_has_all_traffic_and_the_history_says_why(ramped: Ramped) -> None:
    assert ramped.promote(variant="b", reason="it won").state == "done"

    assert ramped.weights() == {"a": 0.0, "b": 1.0, "c": 0.0}
    (change,) = changes_of(ramped.control.store, "iris")
    assert (change["weights"], change["reason"], change["by"]) == (ramped.weights(), "it won", "caller")
    assert ramped.look() == ramp_of(ramped.control.store, "iris")
    assert ramped.promote(variant="b").state == "done"  # nothing changes, and nothing is noted
    assert ramped.reasons() == ["it won"]


def test_a_ramp_is_judged_by_its_own_variant_and_outcome(ramped: Ramped) -> None:
    ramped.promote(variant="b", ramp=[10, 100], outcome="refund", less=True)
    going_on = ramped.look()
    ramped.promote(variant="c", ramp=[50, 100])
    ramped.look()

    assert ramped.judged == [("b", "refund", True), ("c", None, False)]
    assert going_on is not None
    assert going_on.shown()["outcome"] == "refund"
    assert going_on.shown()["less"] is True


def test_a_ramp_takes_its_steps_when_they_are_due_and_leaves_the_others_their_shares(ramped: Ramped) -> None:
    assert ramped.promote(variant="b", ramp=[10, 50, 100], pause_s=60).state == "running"
    assert ramped.weights() == pytest.approx({"a": 72.0, "b": 10.0, "c": 18.0})

    early = ramped.look(30)
    assert early is not None
    assert (early.step, early.state) == (0, "running")
    second = ramped.look(31)
    assert second is not None
    assert second.step == 1
    assert ramped.weights() == pytest.approx({"a": 40.0, "b": 50.0, "c": 10.0})
    last = ramped.look(61)
    assert last is not None
    assert (last.step, last.state) == (2, "done")

    assert ramped.weights() == {"a": 0.0, "b": 1.0, "c": 0.0}
    assert ramped.reasons() == [
        f"b goes to {each} %, step {n} of 3" for n, each in ((1, 10), (2, 50), (3, 100))
    ]


@pytest.mark.parametrize(
    ("ramp", "steps", "holds"),
    [
        ([5, 25, 50, 100], (80.0, 100.0), True),  # it has 80 already
        ([5, 25, 80, 90, 100], (80.0, 90.0, 100.0), True),
        ([81, 100], (81.0, 100.0), False),
    ],
)
def test_what_a_variant_has_already_is_the_first_step_of_its_ramp(
    ramped: Ramped, ramp: list[int], steps: tuple[float, ...], holds: bool
) -> None:
    begun = ramped.promote(variant="a", ramp=ramp, pause_s=60)

    assert (begun.steps, begun.step, begun.state, begun.holds) == (steps, 0, "running", holds)
    weights = ramped.weights()
    assert 100 * weights["a"] / sum(weights.values()) == pytest.approx(steps[0])


def test_a_ramp_that_holds_goes_on_after_its_pause_and_a_restart(ramped: Ramped) -> None:
    begun = ramped.promote(variant="a", ramp=[5, 90, 100], pause_s=60)
    context = ramped.control.context
    ramped.control.reopen()
    ramped.ramps = Ramps(ramped.control.store, OperationContext(context.caller, context.clock), lambda *_: [])

    assert ramped.look(30) == begun
    assert ramped.weights() == {"a": 8.0, "b": 0.0, "c": 2.0}
    later = ramped.look(31)
    assert later is not None
    assert (later.step, later.state) == (1, "running")
    assert ramped.weights() == pytest.approx({"a": 90.0, "b": 0.0, "c": 10.0})
    done = ramped.look(61)
    assert done is not None
    assert done.state == "done"
    assert ramped.reasons() == [
        "a stays at 80 % for 1 minute first, then 90 %, then 100 %",
        "a goes to 90 %, step 2 of 3",
        "a goes to 100 %, step 3 of 3",
    ]


def test_every_step_keeps_the_reason_and_says_whose_ramp_it_is(ramped: Ramped) -> None:
    context = ramped.control.context
    ramped.control.context = context.of(context.caller._replace(principal="alice"))
    ramped.promote(variant="b", ramp=[10, 50, 100], pause_s=60, reason="new prices")
    ramped.look(61)
    ramped.broken = ["b fails more often than a: by 2 to 5 points."]
    ramped.look()

    changes = changes_of(ramped.control.store, "iris")
    assert [(change["by"], change["reason"]) for change in changes] == [
        ("alice", "new prices: b goes to 10 %, step 1 of 3"),
        ("ramp of alice", "new prices: b goes to 50 %, step 2 of 3"),
        ("ramp of alice", f"back to before: {ramped.broken[0]}"),
    ]


def test_a_ramp_of_an_older_version_goes_on(ramped: Ramped) -> None:
    ramped.promote(variant="b", ramp=[10, 100], pause_s=60)
    with ramped.control.store.change() as change:
        ramps = change.fact(RAMPS)
        newer = ("holds", "reason", "by", "outcome", "less")
        kept = {name: value for name, value in ramps["iris"].items() if name not in newer}
        change.put_fact(RAMPS, {"iris": kept})

    done = ramped.look(61)

    assert done is not None
    assert done.state == "done"
    assert changes_of(ramped.control.store, "iris")[-1]["by"] == "ramp of caller"


def test_guard_rails_hold_while_a_ramp_does(ramped: Ramped) -> None:
    ramped.promote(variant="a", ramp=[50, 100], pause_s=60)
    ramped.broken = ["a fails more often than c: by 2 to 5 points."]

    stopped = ramped.look(2)

    assert stopped is not None
    assert (stopped.state, stopped.why) == ("stopped", ramped.broken[0])
    assert ramped.weights() == {"a": 8.0, "b": 0.0, "c": 2.0}
    assert ramped.reasons()[-1] == f"a stays as before: {ramped.broken[0]}"


@pytest.mark.parametrize("ramp", [[5, 50], [80]])
def test_where_no_step_is_left_nothing_changes(ramped: Ramped, ramp: list[int]) -> None:
    begun = ramped.promote(variant="a", ramp=ramp)

    assert (begun.steps, begun.state) == ((80.0,), "done")
    assert ramped.weights() == {"a": 8.0, "b": 0.0, "c": 2.0}
    assert ramped.reasons() == []


def test_the_answer_says_that_a_variant_keeps_what_it_has_at_first_or_for_good(ramped: Ramped) -> None:
    assert ramped.plan({"variant": "a", "ramp": [50, 100]})["note"] == (
        "It stays at 80 % for 1 hour first, then 100 %."
    )
    assert "note" not in ramped.plan({"variant": "a", "ramp": [90, 100]})
    assert "note" not in ramped.plan({"variant": "a"})
    for ramp in ([5, 100], [100]):
        done = ramped.plan({"variant": "a", "ramp": ramp})
        assert done["ramp"]["state"] == "done"
        assert done["note"] == "Nothing is left to do: a has 100 % already."


def test_the_answer_names_steps_that_were_skipped_and_whether_anything_was_stopped(ramped: Ramped) -> None:
    plan = ramped.plan

    assert plan({"stop": True})["stopped"] is False
    assert plan({"variant": "a", "ramp": [5, 90, 100]})["skipped"] == [5.0]
    assert [plan({"stop": True})["stopped"] for _ in range(2)] == [True, False]
    assert plan({"policy": "thompson"})["allocation"]["state"] == "running"
    assert plan({"stop": True})["stopped"] is True


def test_a_broken_guard_rail_takes_the_weights_back(ramped: Ramped) -> None:
    ramped.promote(variant="b", ramp=[10, 100], pause_s=60)
    ramped.broken = ["b fails more often than a: by 2 to 5 points."]

    stopped = ramped.look(2)

    assert stopped is not None
    assert (stopped.state, stopped.why) == ("stopped", ramped.broken[0])
    assert ramped.weights() == {"a": 8.0, "b": 0.0, "c": 2.0}
    assert ramped.reasons()[-1] == f"back to before: {ramped.broken[0]}"
    assert ramped.look(120) == stopped


def test_a_ramp_yields_to_whoever_changes_weights_or_models(ramped: Ramped) -> None:
    ramped.promote(variant="b", ramp=[10, 100], pause_s=60)
    desired = [{"VariantName": "a", "DesiredWeight": 5.0}]
    ramped.control.call(
        "UpdateEndpointWeightsAndCapacities", EndpointName="iris", DesiredWeightsAndCapacities=desired
    )
    ramped.control.settle()

    stopped = ramped.look(61)

    assert stopped is not None
    assert (stopped.state, stopped.why) == ("stopped", "Somebody else changed the weights.")
    assert ramped.reasons()[-1] == "UpdateEndpointWeightsAndCapacities"
    ramped.promote(variant="b", ramp=[60, 100], pause_s=60)
    ramped.control.create_config("other", variant("a"), variant("b"), variant("c"))
    ramped.control.call("UpdateEndpoint", EndpointName="iris", EndpointConfigName="other")
    ramped.control.settle()
    other = ramped.look(61)
    assert other is not None
    assert other.why == "The endpoint has other models now."
    ramped.promote(variant="b", ramp=[60, 100], pause_s=60)
    ramped.control.call("DeleteEndpoint", EndpointName="iris")
    gone = ramped.look(2)
    assert gone is not None
    assert gone.why == "The endpoint takes no calls any more."


def test_a_ramp_can_be_stopped_by_hand_where_it_is(ramped: Ramped) -> None:
    ramped.promote(variant="b", ramp=[10, 100], pause_s=60)
    weights = ramped.weights()
    for _ in range(2):
        with ramped.control.store.change() as change:
            stop_ramp(Resources(change, ramped.control.context), "iris", "It was stopped by hand.")

    stopped = ramped.look(120)

    assert stopped is not None
    assert stopped.shown()["why"] == "It was stopped by hand."
    assert ramped.weights() == weights


def test_what_cannot_be_promoted_is_refused_and_changes_nothing(ramped: Ramped) -> None:
    with pytest.raises(ValidationFault, match=r"^The endpoint iris has no variant none: it has a, b, c\.$"):
        ramped.promote(variant="none")

    assert ramp_of(ramped.control.store, "iris") is None
    assert ramped.weights() == {"a": 8.0, "b": 0.0, "c": 2.0}


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ([], "must be a JSON object"),
        ({"variant": 1}, "must be a JSON object"),
        ({"variant": "b", "to": 1}, "There is no to"),
        ({"variant": "b", "ramp": 5}, "ramp must be a list"),
        ({"variant": "b", "ramp": [5, True]}, "ramp must be a list"),
        ({"variant": "b", "ramp": [0, 5]}, "ramp must be a list"),
        ({"variant": "b", "ramp": [101]}, "ramp must be a list"),
        ({"variant": "b", "ramp": []}, "1 to 20 percents"),
        ({"variant": "b", "ramp": [5, 5]}, "each above the one before"),
        ({"variant": "b", "pause_s": 0}, "pause_s must be"),
        ({"variant": "b", "pause_s": "1"}, "pause_s must be"),
        ({"variant": "b", "reason": 1}, "reason and outcome must be"),
        ({"variant": "b", "outcome": 1}, "reason and outcome must be"),
        ({"variant": "b", "less": "yes"}, "less true or false"),
    ],
)
def test_a_request_that_says_something_else_is_refused(document: Any, complaint: str) -> None:
    with pytest.raises(ValidationFault, match=complaint):
        read_wanted(document)


def test_an_endpoint_of_an_old_name_has_no_history(ramped: Ramped) -> None:
    ramped.promote(variant="b")
    ramped.control.call("DeleteEndpoint", EndpointName="iris")
    ramped.control.settle()

    ramped.control.create_endpoint()

    assert not changes_of(ramped.control.store, "iris")
