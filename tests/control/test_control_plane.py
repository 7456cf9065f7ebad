"""The control plane against a small reference: any sequence of calls, reports, rounds and restarts."""

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from service.domain.endpoint import WarmState
from service.domain.kinds import Kind
from tests.control.conftest import Control, arn, opened, variant

CONFIGS = {  # the weights that each begins with
    "one": {"a": 1.0},
    "two": {"a": 3.0, "b": 0.0},
    "bad": {"a": 1.0, "x": 1.0},  # the image of x cannot run
}
GATEWAYS = [1, 2]

names = st.sampled_from(["iris", "iris", "rose"])
configs = st.sampled_from(sorted(CONFIGS))
weights = st.sampled_from([0.0, 0.5, 2.0])
states = st.sampled_from([WarmState.WARM, WarmState.WARM, WarmState.LOADING, WarmState.FAILED])


@dataclass
class Fleet:
    """What the reference knows of a fleet; `said` is each gateway's last word on it."""

    config: str
    weights: dict[str, float]
    said: dict[int, WarmState] = field(default_factory=dict)


@dataclass
class Known:
    """What the reference knows of an endpoint."""

    status: str
    pending: Fleet | None = None
    active: Fleet | None = None
    awaited: int | None = None
    before: dict[str, float] = field(default_factory=dict)
    failed: bool = False

    @property
    def busy(self) -> bool:
        return self.status in ("Creating", "Updating", "Deleting")


class ControlPlane(RuleBasedStateMachine):
    """Statuses, refusals and the store's revision are exactly those that the reference foretells."""

    def __init__(self) -> None:
        super().__init__()
        self.cleanup = ExitStack()
        folder = self.cleanup.enter_context(tempfile.TemporaryDirectory())
        self.control: Control = self.cleanup.enter_context(opened(Path(folder)))
        self.endpoints: dict[str, Known] = {}
        self.configs: set[str] = set()
        self.follows: dict[int, int] = {}
        self.revision = 0

    @initialize(served=st.booleans())
    def begin(self, served: bool) -> None:
        self.control.create_model("good")
        self.control.create_model("bad", Image="pytorch:2")
        self.revision = self.control.store.revision()
        for config in CONFIGS:
            self.create_config(config)
        self.create("iris", "two")
        if served:
            self.all_is_well(2)

    def teardown(self) -> None:
        self.cleanup.close()

    # Calls

    def ask(self, refused: str, operation: str, **fields: Any) -> bool:
        """Call; whether it was done. If `refused`, its refusal begins so."""
        if refused:
            sentence = self.control.refusal(operation, **fields)
            assert sentence.startswith(refused), (sentence, refused)
            return False
        self.control.call(operation, **fields)
        self.revision += 1
        return True

    def not_changeable(self, name: str, *, also_failed: bool = False) -> str:
        known = self.endpoints.get(name)
        if known is None:
            return f'Could not find endpoint "{arn(Kind.ENDPOINT, name)}".'
        if known.busy:
            return f'Cannot update in-progress endpoint "{arn(Kind.ENDPOINT, name)}".'
        return "Cannot update failed endpoint" if also_failed and known.status == "Failed" else ""

    def no_config(self, config: str) -> str:
        return "" if config in self.configs else "Could not find endpoint configuration"

    @precondition(lambda self: len(self.configs) < len(CONFIGS))
    @rule(config=configs)
    def create_config(self, config: str) -> None:
        refused = "Cannot create already existing" if config in self.configs else ""
        variants = [
            variant(name, "bad" if name == "x" else "good", InitialVariantWeight=weight)
            for name, weight in CONFIGS[config].items()
        ]
        if self.ask(refused, "CreateEndpointConfig", EndpointConfigName=config, ProductionVariants=variants):
            self.configs.add(config)

    @precondition(lambda self: len(self.configs) == len(CONFIGS))  # or there were seldom one to use
    @rule(config=configs)
    def delete_config(self, config: str) -> None:
        if self.ask(self.no_config(config), "DeleteEndpointConfig", EndpointConfigName=config):
            self.configs.remove(config)

    @rule(
        what=st.sampled_from(["create", "update", "update", "weigh", "weigh", "delete"]),
        name=names,
        config=configs,
        named=st.sampled_from(["a", "b"]),
        weight=weights,
        retain=st.booleans(),
        waits=st.booleans(),
    )
    def change(
        self, what: str, name: str, config: str, named: str, weight: float, retain: bool, waits: bool
    ) -> None:
        """Any change of an endpoint, by a caller that waits for what is under way or one that does not.

        One rule, so that hypothesis never leaves one of them out for a whole run.
        """
        if waits:
            self.all_is_well(3)
        match what:
            case "create":
                self.create(name, config)
            case "update":
                self.update(name, config, retain)
            case "weigh":
                self.weigh(name, named, weight)
            case _:
                self.delete(name)

    def create(self, name: str, config: str) -> None:
        taken = "Cannot create already existing endpoint" if name in self.endpoints else ""
        refused = self.no_config(config) or taken
        if self.ask(refused, "CreateEndpoint", EndpointName=name, EndpointConfigName=config):
            self.endpoints[name] = Known("Creating", Fleet(config, dict(CONFIGS[config])))

    def update(self, name: str, config: str, retain: bool) -> None:
        refused = self.not_changeable(name, also_failed=True) or self.no_config(config)
        more = {"RetainAllVariantProperties": retain}
        if self.ask(refused, "UpdateEndpoint", EndpointName=name, EndpointConfigName=config, **more):
            known = self.endpoints[name]
            assert known.active is not None
            kept = known.active.weights if retain else {}
            shares = {one: kept.get(one, weight) for one, weight in CONFIGS[config].items()}
            known.status, known.failed, known.pending = "Updating", False, Fleet(config, shares)

    def weigh(self, name: str, named: str, weight: float) -> None:
        refused = self.not_changeable(name, also_failed=True)
        known = self.endpoints.get(name)
        if not refused and known and known.active and named not in known.active.weights:
            refused = f'The variant name(s) "{named}" is/are not present within'
        desired = [{"VariantName": named, "DesiredWeight": weight}]
        if self.ask(
            refused,
            "UpdateEndpointWeightsAndCapacities",
            EndpointName=name,
            DesiredWeightsAndCapacities=desired,
        ):
            assert known is not None
            assert known.active is not None
            known.before = dict(known.active.weights)
            known.active.weights[named] = weight
            known.status, known.failed, known.awaited = "Updating", False, self.revision

    def delete(self, name: str) -> None:
        if self.ask(self.not_changeable(name), "DeleteEndpoint", EndpointName=name):
            known = self.endpoints[name]
            known.status, known.awaited = "Deleting", self.revision

    # What happens meanwhile

    @rule(pid=st.sampled_from(GATEWAYS), state=states, late=st.booleans())
    def report(self, pid: int, state: WarmState, late: bool) -> None:
        """One gateway's word on all that it is asked for, perhaps with a revision that it saw long ago."""
        seen = self.follows.get(pid, 1) if late else self.revision
        self.control.report(state, "broken", pid, seen)
        self.follows[pid] = seen
        for known in self.endpoints.values():
            for fleet in (known.active, known.pending):
                if fleet is not None:
                    fleet.said[pid] = state

    @rule(rounds=st.integers(1, 3))
    def all_is_well(self, rounds: int) -> None:
        """All gateways have what they are asked for, and the keeper makes its rounds."""
        for _ in range(rounds):
            for pid in GATEWAYS:
                self.report(pid, WarmState.WARM, late=False)
            self.keep(set())

    @rule(lags=st.sampled_from(GATEWAYS))
    def one_lags(self, lags: int) -> None:
        """As when all is well, but one gateway has not looked at the store for a while."""
        for pid in GATEWAYS:
            self.report(pid, WarmState.WARM, late=pid == lags)
        self.keep(set())

    @rule(dead=st.sets(st.sampled_from(GATEWAYS), max_size=1))
    def keep(self, dead: set[int]) -> None:
        """A round of the keeper, after a gateway's death perhaps."""
        for pid in dead:
            self.follows.pop(pid, None)
        moved = [name for name in list(self.endpoints) if self.settle(name)]

        assert self.control.keep([pid for pid in GATEWAYS if pid not in dead]) == len(moved)

        self.revision += bool(moved)

    def settle(self, name: str) -> bool:
        known = self.endpoints[name]
        followed = bool(self.follows) and all(
            seen >= known.awaited for seen in self.follows.values() if known.awaited is not None
        )
        if known.pending is not None:
            return self.settle_pending(known, known.pending)
        if known.awaited is None or not followed:
            return False
        if known.status == "Deleting":
            del self.endpoints[name]
        else:
            known.status, known.awaited, known.before = "InService", None, {}
        return True

    def settle_pending(self, known: Known, fleet: Fleet) -> bool:
        said = [fleet.said.get(pid, WarmState.LOADING) for pid in self.follows]
        if fleet.config == "bad" or WarmState.FAILED in said:
            known.failed, known.pending = True, None
            if known.status == "Updating":
                known.status = "InService"
            else:
                known.status, known.active = "Failed", fleet
        elif said and set(said) == {WarmState.WARM}:
            known.active, known.pending, known.awaited = fleet, None, self.revision + 1
        else:
            return False
        return True

    @rule()
    def restart(self) -> None:
        self.control.reopen()
        assert set(self.control.names(Kind.ENDPOINT_CONFIG)) == self.configs

    @rule(status=st.sampled_from(["Creating", "Updating", "InService", "Failed", "Deleting"]))
    def list_one_status(self, status: str) -> None:
        found = self.control.call("ListEndpoints", StatusEquals=status, SortBy="Name")["Endpoints"]

        wanted = sorted(
            (name for name, known in self.endpoints.items() if known.status == status), reverse=True
        )
        assert [one["EndpointName"] for one in found] == wanted

    # What always holds

    @invariant()
    def the_store_has_what_the_reference_has(self) -> None:
        if not self.revision:
            return
        assert self.control.store.revision() == self.revision
        listed = self.control.call("ListEndpoints", SortBy="Name", SortOrder="Ascending")["Endpoints"]
        assert {one["EndpointName"]: one["EndpointStatus"] for one in listed} == {
            name: known.status for name, known in self.endpoints.items()
        }

    @invariant()
    def endpoints_are_described_as_the_reference_has_them(self) -> None:
        for name, known in self.endpoints.items():
            said = self.control.describe(name)
            fleet = known.active or known.pending
            assert fleet is not None
            current = {one: known.before.get(one, weight) for one, weight in fleet.weights.items()}
            shown = said["ProductionVariants"]
            assert said["EndpointStatus"] == known.status
            assert said["EndpointConfigName"] == fleet.config
            assert {one["VariantName"]: one["DesiredWeight"] for one in shown} == fleet.weights
            if known.active is not None:
                assert {one["VariantName"]: one["CurrentWeight"] for one in shown} == current
            assert ("FailureReason" in said) is known.failed
            both = known.active is not None and known.pending is not None
            assert ("PendingDeploymentSummary" in said) is both

    @invariant()
    def what_takes_requests_is_what_served_last(self) -> None:
        for name, known in self.endpoints.items():
            serving = self.control.endpoint(name).serving
            if known.status in ("Failed", "Deleting") or known.active is None:
                assert serving is None
            else:
                assert serving is not None
                assert serving.config_name == known.active.config


TestControlPlane = ControlPlane.TestCase
TestControlPlane.settings = settings(max_examples=30, stateful_step_count=30)
