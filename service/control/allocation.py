"""Traffic that follows outcomes, again and again, until it is stopped: by Thompson sampling or top-two.

An allocation is a fact, as a ramp is, and ends as one does: where a guard rail is broken it goes back to the
weights of before. Weights stay as they are until enough is known of every variant, or where little would
change: each change of them is kept in the history, and costs verdicts a little.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from service.control.endpoints import endpoint_of
from service.control.experiment import meaning_of, outcomes_of, usual_outcome
from service.control.history import MOST_REASON_CHARS, Facts
from service.control.ownership import check_editable
from service.control.resources import OperationContext, Resources
from service.control.weighing import hindrance, on_behalf, reasoned, weigh
from service.domain import sentences
from service.domain.caller import ANONYMOUS
from service.domain.kinds import Kind
from service.errors import CallerError, ValidationFault
from service.experiments.allotment import Allotment, Policy, allot, with_floor
from service.store.outcomes import Run
from service.store.store import Store

ALLOCATIONS = "allocations"
"""The name of the fact that has the allocation of each endpoint that ever had one, the newest."""

_LEAST_CHANGE = 1.0  # percent
_LOOK_S = 1.0
_LEAST_PAUSE_S = 1.0
_MOST_PAUSE_S = 30 * 86_400.0
_LEAST_FLOOR = 0.1
_MOST_FLOOR = 25.0
_POLICIES = get_args(Policy)
_MEMBERS = ("policy", "outcome", "less", "floor", "pause_s", "reason")


@dataclass(frozen=True, slots=True)
class Allocation:
    """How an endpoint's traffic follows its outcomes, and how far that is.

    `floor` is in percent, and what every variant has at least; without an `outcome` it is the most frequent
    one. `weights` are those of now, `before` those that the endpoint goes back to if something is wrong. `by`
    is who began it.
    """

    policy: Policy
    outcome: str | None
    less: bool
    floor: float
    pause_s: float
    generation: int
    weights: Mapping[str, float]
    before: Mapping[str, float]
    next_at: str
    changes: int = 0
    state: Literal["running", "stopped"] = "running"
    why: str = ""
    reason: str = ""
    by: str = ANONYMOUS

    def shown(self) -> dict[str, Any]:
        """What people are told of it."""
        hidden = ("generation", "before")
        return {name: value for name, value in asdict(self).items() if name not in hidden}


@dataclass(frozen=True, slots=True)
class WantedPolicy:
    """What is asked for: whom traffic follows, which outcome says so, and how often that is looked at."""

    policy: Policy
    outcome: str | None = None
    less: bool = False
    floor: float = 1.0
    pause_s: float = 3600.0
    reason: str = ""


def read_policy(document: Mapping[str, Any]) -> WantedPolicy:
    """What a document asks for. Raises ValidationFault."""
    unknown = document.keys() - {*_MEMBERS}
    if unknown:
        there = f"{', '.join(_MEMBERS[:-1])} and {_MEMBERS[-1]}"
        raise ValidationFault(f"With a policy there is no {', '.join(sorted(unknown))}: {there} are.")
    policy, outcome, less = document["policy"], document.get("outcome"), document.get("less", False)
    floor, pause_s = document.get("floor", 1), document.get("pause_s", 3600)
    reason = document.get("reason", "")
    if policy not in _POLICIES:
        raise ValidationFault(f"policy must be {' or '.join(_POLICIES)}.")
    if not isinstance(reason, str) or not isinstance(outcome, str | None) or not isinstance(less, bool):
        raise ValidationFault("reason and outcome must be texts, less true or false.")
    if not _is_within(floor, _LEAST_FLOOR, _MOST_FLOOR):
        raise ValidationFault(
            f"floor must be the percent that each variant keeps, from {_LEAST_FLOOR} to {_MOST_FLOOR:g}."
        )
    if not _is_within(pause_s, _LEAST_PAUSE_S, _MOST_PAUSE_S):
        raise ValidationFault("pause_s must be the seconds between two changes, from 1 to 30 days.")
    return WantedPolicy(policy, outcome or None, less, float(floor), float(pause_s), reason)


def _is_within(value: Any, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def begin_allocation(resources: Resources, name: str, wanted: WantedPolicy) -> Allocation:
    """Give each variant its floor at least, and have the traffic follow outcomes from now on.

    Raises:
        ValidationFault: as UpdateEndpointWeightsAndCapacities, or the floor is too much for so many variants.
    """
    resource = resources.get(Kind.ENDPOINT, name)
    check_editable(resources, resource)
    fleet = endpoint_of(resource).active
    if fleet is None:
        raise ValidationFault(sentences.endpoint_failed(resources.arn(Kind.ENDPOINT, name)))
    before = dict(fleet.weights)
    if len(before) < 2:
        raise ValidationFault(f"{name} has one variant: there is nothing to share out.")
    if len(before) * wanted.floor >= 100:
        raise ValidationFault(f"{len(before)} variants cannot have {wanted.floor:g} % each.")
    weights = _begun(before, wanted.floor)
    begun = Allocation(
        wanted.policy,
        wanted.outcome,
        wanted.less,
        wanted.floor,
        wanted.pause_s,
        fleet.generation,
        weights,
        before,
        resources.clock.now().isoformat(),
        reason=wanted.reason[:MOST_REASON_CHARS],
        by=resources.context.caller.principal,
    )
    if weights != before:
        said = f"{wanted.policy} begins, each variant has {wanted.floor:g} % or more"
        weigh(resources, name, weights, reasoned(begun.reason, said))
    return _keep(resources, name, begun)


def stop_allocation(resources: Resources, name: str, why: str) -> Allocation | None:
    """Leave the weights of an endpoint where they are; None if they follow no outcomes."""
    allocation = allocation_of(resources, name)
    if allocation is None or allocation.state != "running":
        return None
    return _keep(resources, name, replace(allocation, state="stopped", why=why))


def allocation_of(facts: Facts, name: str) -> Allocation | None:
    """The newest allocation of an endpoint."""
    found = (facts.fact(ALLOCATIONS) or {}).get(name)
    return None if found is None else Allocation(**found)


def _begun(before: Mapping[str, float], floor: float) -> dict[str, float]:
    """The weights of before, or as near to them as each has its floor."""
    whole = sum(before.values())
    shares = {name: weight / whole if whole else 1 / len(before) for name, weight in before.items()}
    if min(shares.values()) * 100 >= floor:
        return dict(before)
    return _percents(with_floor(shares, floor / 100))


def _percents(shares: Mapping[str, float]) -> dict[str, float]:
    return {name: round(100 * share, 2) for name, share in shares.items()}


def _keep(resources: Resources, name: str, allocation: Allocation) -> Allocation:
    resources.put_fact(ALLOCATIONS, {**(resources.fact(ALLOCATIONS) or {}), name: asdict(allocation)})
    return allocation


class Allocations:
    """Has the weights of all allocations follow outcomes when it is time."""

    def __init__(
        self,
        store: Store,
        context: OperationContext,
        warnings_of: Callable[[str], Sequence[str]],
        run_of: Callable[[str], Run | None],
    ) -> None:
        """`warnings_of` says in sentences which guard rails an endpoint breaks, `run_of` what came of it."""
        self._store = store
        self._context = context
        self._warnings_of = warnings_of
        self._run_of = run_of
        self._next_s = 0.0

    def look(self) -> None:
        """Change what is to be changed; to be called again and again."""
        now_s = self._context.clock.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + _LOOK_S
        for name, found in (self._store.fact(ALLOCATIONS) or {}).items():
            if found["state"] == "running":
                broken = self._warnings_of(name)
                run = self._run_of(name) if self._is_due(found["next_at"]) else None
                context = on_behalf(self._context, "policy", found.get("by", ANONYMOUS))
                with self._store.change() as change:
                    self._look(Resources(change, context), name, broken, run)

    def _is_due(self, next_at: str) -> bool:
        return self._context.clock.now() >= datetime.fromisoformat(next_at)

    def _look(self, resources: Resources, name: str, broken: Sequence[str], run: Run | None) -> None:
        allocation, resource = allocation_of(resources, name), resources.find(Kind.ENDPOINT, name)
        if allocation is None or allocation.state != "running":
            return
        endpoint = None if resource is None else endpoint_of(resource)
        why = hindrance(endpoint, allocation)
        if why:
            stop_allocation(resources, name, why)
        elif endpoint is not None and not endpoint.busy:
            try:
                self._move(resources, name, allocation, broken, run)
            except CallerError as error:
                stop_allocation(resources, name, error.message)

    def _move(
        self,
        resources: Resources,
        name: str,
        allocation: Allocation,
        broken: Sequence[str],
        run: Run | None,
    ) -> None:
        if broken:
            if allocation.weights != allocation.before:
                weigh(resources, name, allocation.before, f"back to before: {broken[0]}")
            ended = replace(allocation, weights=allocation.before, state="stopped", why=broken[0])
            _keep(resources, name, ended)
        elif self._is_due(allocation.next_at):
            outcome = allocation.outcome or usual_outcome(run)
            found = None if outcome is None else _allot(allocation, run, outcome)
            if found is not None and outcome is not None:
                _follow(resources, name, allocation, outcome, found)


def _allot(allocation: Allocation, run: Run | None, outcome: str) -> Allotment | None:
    if run is None or run.generation != allocation.generation:
        return None
    binary, more_is_better = meaning_of(run, outcome, less=allocation.less)
    sums = outcomes_of(run, [*allocation.weights], outcome)
    return allot(
        allocation.policy, sums, binary=binary, more_is_better=more_is_better, floor=allocation.floor / 100
    )


def _follow(resources: Resources, name: str, allocation: Allocation, outcome: str, found: Allotment) -> None:
    weights, now = _percents(found.shares), allocation.weights
    whole = sum(now.values())
    next_at = resources.clock.now() + timedelta(seconds=allocation.pause_s)
    later = replace(allocation, next_at=next_at.isoformat())
    if max(abs(weight - 100 * now[each] / whole) for each, weight in weights.items()) >= _LEAST_CHANGE:
        best = max(found.best, key=lambda each: found.best[each])
        chance = f"{best} is best with a probability of {found.best[best]:.0%}"
        said = f"{allocation.policy} by {outcome}: {chance}"
        weigh(resources, name, weights, reasoned(allocation.reason, said))
        later = replace(later, weights=weights, changes=allocation.changes + 1)
    _keep(resources, name, later)
