"""What is to become of an endpoint's traffic, as callers ask: one plan at a time, a ramp or a policy."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from service.control.allocation import (
    Allocations,
    allocation_of,
    begin_allocation,
    read_policy,
    stop_allocation,
)
from service.control.history import Facts
from service.control.promotion import (
    Ramps,
    promote,
    ramp_of,
    read_wanted,
    say_beginning,
    say_nothing_left,
    stop_ramp,
)
from service.control.resources import OperationContext, Resources
from service.store.outcomes import Run
from service.store.store import Store


class Judge(Protocol):
    """Who knows what endpoints are worth."""

    def objections(
        self, endpoint: str, variant: str, outcome: str | None = None, *, less: bool = False
    ) -> Sequence[str]:
        """What speaks against a variant, in sentences: a guard rail, or the verdict by an outcome."""
        ...

    def warnings(self, endpoint: str) -> Sequence[str]:
        """Those of guard rails alone: that a variant is worse is what a policy is there for."""
        ...

    def run_of(self, endpoint: str) -> Run | None:
        """What came of the calls of an endpoint's newest fleet."""
        ...


def plan_traffic(resources: Resources, name: str, document: Any) -> dict[str, Any]:
    """Do what a document asks for, in place of what was under way; the plans of now, and what was done.

    `skipped` are the steps of a ramp that would have taken traffic away from the variant, and a `note` says
    that it keeps what it has at first, or for good; `stopped` is whether anything was under way.

    Raises:
        ValidationFault: it asks for nothing that can be done.
    """
    act = _read(document)
    done = act(resources, name)
    return {"endpoint": name, **plans_of(resources, name), **done}


def plans_of(facts: Facts, name: str) -> dict[str, Any]:
    """The newest ramp and the newest allocation of an endpoint, as people are told of them."""
    ramp, allocation = ramp_of(facts, name), allocation_of(facts, name)
    return {
        "ramp": None if ramp is None else ramp.shown(),
        "allocation": None if allocation is None else allocation.shown(),
    }


def _read(document: Any) -> Callable[[Resources, str], Mapping[str, Any]]:
    """What is to be done. Raises ValidationFault."""
    if isinstance(document, dict) and document.get("stop") is True:
        return lambda resources, name: _stop(resources, name, "It was stopped by hand.")
    if isinstance(document, dict) and "policy" in document:
        policy = read_policy(document)

        def follow(resources: Resources, name: str) -> Mapping[str, Any]:
            begin_allocation(resources, name, policy)
            stop_ramp(resources, name, f"{policy.policy} decides from now on.")
            return {}

        return follow
    wanted = read_wanted(document)

    def give(resources: Resources, name: str) -> Mapping[str, Any]:
        ramp = promote(resources, name, wanted)
        stop_allocation(resources, name, f"{wanted.variant} was promoted.")
        first = say_beginning(ramp)
        note = f"It {first}." if first else say_nothing_left(ramp)
        skipped = [step for step in wanted.steps if step not in ramp.steps]
        return {"skipped": skipped, **({"note": note} if note else {})}

    return give


def _stop(resources: Resources, name: str, why: str) -> Mapping[str, Any]:
    ended = (stop_ramp(resources, name, why), stop_allocation(resources, name, why))
    return {"stopped": any(each is not None for each in ended)}


class TrafficPlans:
    """Goes on with all plans."""

    def __init__(self, store: Store, context: OperationContext, judge: Judge) -> None:
        self._ramps = Ramps(
            store,
            context,
            lambda name, ramp: judge.objections(name, ramp.variant, ramp.outcome, less=ramp.less),
        )
        self._allocations = Allocations(store, context, judge.warnings, judge.run_of)

    def look(self) -> None:
        """Do what is due; to be called again and again."""
        self._ramps.look()
        self._allocations.look()
