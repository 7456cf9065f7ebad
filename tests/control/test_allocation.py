"""Traffic that follows outcomes by a policy, over a real control plane."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from service.control.history import changes_of
from service.control.resources import OperationContext, Resources
from service.control.traffic_plans import TrafficPlans, plan_traffic, plans_of
from service.errors import ValidationFault
from service.experiments.labels import Labels
from service.experiments.sums import count_up
from service.store.outcomes import ArmTally, Run
from tests.control.conftest import Control, opened, variant


class Shop:
    """An endpoint of three variants, what came of its calls, and who goes on with its plans."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.rails: list[str] = []
        self.clicks: dict[str, tuple[int, int]] = {}
        self.plans = TrafficPlans(control.store, control.context, self)
        control.serve(
            *(variant(name, InitialVariantWeight=w) for name, w in (("a", 8.0), ("b", 0.0), ("c", 2.0)))
        )

    def objections(
        self, endpoint: str, variant: str, outcome: str | None = None, *, less: bool = False
    ) -> list[str]:
        return [*self.rails, f"c of {endpoint} is worse than a by 2 to 5 points."]

    def warnings(self, _endpoint: str) -> list[str]:
        return self.rails

    def run_of(self, _endpoint: str) -> Run | None:
        if not self.clicks:
            return None
        weights = {"a": 1.0, "b": 1.0, "c": 1.0}
        arms = tuple(
            ArmTally(name, weights, n, 0, {"click": count_up(k, n)}) for name, (k, n) in self.clicks.items()
        )
        number = sum(n for _, n in self.clicks.values())
        fleet = self.control.endpoint().active
        assert fleet is not None
        return Run(fleet.generation, 0.0, arms, {"click": (number, True), "rare": (3, True)}, Labels())

    def ask(self, **document: Any) -> Mapping[str, Any]:
        with self.control.store.change() as change:
            done = plan_traffic(Resources(change, self.control.context), "iris", document)
        self.control.settle()
        return done

    def look(self, seconds: float = 2.0) -> Mapping[str, Any]:
        """What became of the policy after some time."""
        self.control.clock.advance(seconds)
        self.plans.look()
        self.control.settle()
        allocation: Mapping[str, Any] = plans_of(self.control.store, "iris")["allocation"]
        return allocation

    def weights(self) -> dict[str, float]:
        fleet = self.control.endpoint().active
        assert fleet is not None
        return dict(fleet.weights)

    def reasons(self) -> list[str]:
        return [change["reason"] for change in changes_of(self.control.store, "iris")]


@pytest.fixture
def shop(memory_path: Path) -> Iterator[Shop]:
    with opened(memory_path) as control:
        yield Shop(control)


def test_each_variant_has_its_floor_at_once_and_the_rest_when_enough_is_known(shop: Shop) -> None:
    begun = shop.ask(policy="thompson", pause_s=60, reason="new recipe")["allocation"]

    assert (begun["state"], begun["policy"], begun["floor"]) == ("running", "thompson", 1.0)
    assert shop.weights() == {"a": 78.6, "b": 1.0, "c": 20.4}
    shop.clicks = {"a": (20, 100), "b": (1, 5), "c": (20, 100)}
    assert shop.look(120)["changes"] == 0  # five outcomes of b say nothing
    shop.clicks["b"] = (4, 10)
    shop.look()
    changed = shop.weights()
    assert sum(changed.values()) == pytest.approx(100, abs=0.02)
    assert changed["b"] > 50 > changed["a"] >= 1.0
    assert shop.reasons() == [
        "new recipe: thompson begins, each variant has 1 % or more",
        f"new recipe: thompson by click: b is best with a probability of {(changed['b'] - 1) / 97:.0%}",
    ]


def test_weights_follow_when_it_is_time_and_not_for_little(shop: Shop) -> None:
    shop.ask(policy="thompson", pause_s=60, floor=2)
    shop.clicks = dict.fromkeys("abc", (200, 1000)) | {"b": (300, 1000)}
    first = shop.look()
    assert shop.weights() == first["weights"] == {"a": 2.0, "b": 96.0, "c": 2.0}

    shop.clicks["c"] = (400, 1000)
    assert shop.look(30) == first  # the next look is due in a minute
    assert shop.look(31)["weights"] == {"a": 2.0, "b": 2.0, "c": 96.0}
    shop.clicks["c"] = (405, 1000)
    assert shop.look(61)["changes"] == 2
    assert len(shop.reasons()) == 3


def test_top_two_and_an_outcome_of_which_less_is_better(shop: Shop) -> None:
    shop.ask(policy="top-two", outcome="click", less=True)
    shop.clicks = {"a": (300, 1000), "b": (200, 1000), "c": (900, 1000)}

    shop.look()

    assert shop.weights() == {"a": 49.5, "b": 49.5, "c": 1.0}
    shop.ask(policy="thompson", outcome="sold")
    assert shop.look()["changes"] == 0  # nobody has reported that one


def test_what_runs_goes_on_after_a_start(shop: Shop) -> None:
    shop.ask(policy="thompson", pause_s=60)
    shop.clicks = dict.fromkeys("abc", (200, 1000)) | {"b": (300, 1000)}
    shop.look()
    shop.clicks["c"] = (400, 1000)

    context = shop.control.context
    shop.plans = TrafficPlans(
        shop.control.store, OperationContext(context.caller, context.clock), shop
    )  # as another keeper has it

    assert shop.look(61)["weights"]["c"] == 98.0


def test_a_broken_guard_rail_takes_the_weights_back_and_a_worse_variant_does_not(shop: Shop) -> None:
    shop.ask(policy="thompson", pause_s=60)
    shop.clicks = dict.fromkeys("abc", (200, 1000)) | {"b": (300, 1000)}
    assert shop.look()["state"] == "running"
    shop.rails = ["b fails more often than a: by 2 to 5 points."]

    stopped = shop.look()

    assert (stopped["state"], stopped["why"]) == ("stopped", shop.rails[0])
    assert shop.weights() == {"a": 8.0, "b": 0.0, "c": 2.0}
    assert shop.reasons()[-1] == f"back to before: {shop.rails[0]}"
    assert shop.look(120) == stopped


def test_the_history_says_whose_policy_has_changed_the_weights(shop: Shop) -> None:
    context = shop.control.context
    shop.control.context = context.of(context.caller._replace(principal="alice"))
    shop.ask(policy="thompson", pause_s=60)
    shop.clicks = dict.fromkeys("abc", (200, 1000)) | {"b": (300, 1000)}
    shop.look()
    shop.rails = ["b fails more often than a: by 2 to 5 points."]
    shop.look()

    by = [change["by"] for change in changes_of(shop.control.store, "iris")]
    assert by == ["alice", "policy of alice", "policy of alice"]


def test_one_plan_takes_the_place_of_another_and_stop_ends_it_where_it_is(shop: Shop) -> None:
    shop.ask(variant="b", ramp=[10, 100])
    both = shop.ask(policy="thompson")
    assert (both["ramp"]["state"], both["ramp"]["why"]) == ("stopped", "thompson decides from now on.")
    assert both["allocation"]["state"] == "running"

    both = shop.ask(variant="b", ramp=[20, 100])
    assert (both["ramp"]["state"], both["allocation"]["why"]) == ("running", "b was promoted.")
    shop.ask(policy="thompson")
    weights = shop.weights()
    stopped = shop.ask(stop=True)["allocation"]
    assert (stopped["state"], stopped["why"]) == ("stopped", "It was stopped by hand.")
    shop.clicks = dict.fromkeys("abc", (200, 1000)) | {"b": (900, 1000)}
    shop.look(7200)
    assert shop.weights() == weights
    assert shop.ask(stop=True)["allocation"]["state"] == "stopped"


def test_a_policy_yields_to_whoever_changes_weights_or_models(shop: Shop) -> None:
    shop.ask(policy="thompson")
    desired = [{"VariantName": "a", "DesiredWeight": 5.0}]
    shop.control.call(
        "UpdateEndpointWeightsAndCapacities", EndpointName="iris", DesiredWeightsAndCapacities=desired
    )
    shop.control.settle()

    assert shop.look()["why"] == "Somebody else changed the weights."
    shop.ask(policy="thompson")
    shop.control.call("DeleteEndpoint", EndpointName="iris")
    assert shop.look()["why"] == "The endpoint takes no calls any more."


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"policy": "best"}, "policy must be thompson or top-two"),
        ({"policy": ["thompson"]}, "policy must be thompson or top-two"),
        ({"policy": "thompson", "variant": "b"}, "With a policy there is no variant"),
        ({"policy": "thompson", "floor": 0}, "floor must be the percent"),
        ({"policy": "thompson", "floor": True}, "floor must be the percent"),
        ({"policy": "thompson", "floor": 50}, "floor must be the percent"),
        ({"policy": "thompson", "pause_s": 0}, "pause_s must be"),
        ({"policy": "thompson", "less": 1}, "less true or false"),
        ({"policy": "thompson", "outcome": 1}, "must be texts"),
        ({"policy": "thompson", "reason": 1}, "must be texts"),
    ],
)
def test_a_policy_that_says_something_else_is_refused(
    shop: Shop, document: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValidationFault, match=complaint):
        shop.ask(**document)
    assert plans_of(shop.control.store, "iris") == {"ramp": None, "allocation": None}


def test_a_floor_that_is_too_much_and_one_variant_alone_are_refused(memory_path: Path) -> None:
    with opened(memory_path) as control:
        control.serve(variant("a"))
        alone = {"policy": "thompson"}
        with pytest.raises(ValidationFault, match="one variant"), control.store.change() as change:
            plan_traffic(Resources(change, control.context), "iris", alone)
        names = "bcdef"
        control.create_config("five", *(variant(name) for name in names))
        control.call("UpdateEndpoint", EndpointName="iris", EndpointConfigName="five")
        control.settle()
        with (
            pytest.raises(ValidationFault, match="5 variants cannot have 20 % each"),
            control.store.change() as change,
        ):
            plan_traffic(Resources(change, control.context), "iris", {"policy": "thompson", "floor": 20})
