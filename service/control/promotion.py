"""Giving a variant all traffic, at once or in steps: by the same function as AWS's operation changes weights.

A ramp is a fact. Whoever leads takes its steps, and ends it where a guard rail is broken, where somebody else
changes weights, or where the endpoint is no longer the same. It takes nothing away: what the variant has is
its first step, which is held for a pause as the others are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Literal

from service.control.endpoints import endpoint_of
from service.control.history import MOST_REASON_CHARS, Facts, note_decision
from service.control.resources import OperationContext, Resources
from service.control.weighing import hindrance, on_behalf, reasoned, weigh
from service.domain import sentences
from service.domain.caller import ANONYMOUS
from service.domain.endpoint import unknown_variants
from service.domain.kinds import Kind
from service.domain.traffic import Traffic
from service.errors import CallerError, ValidationFault
from service.experiments.words import as_duration
from service.store.store import Store

RAMPS = "ramps"
"""The name of the fact that has the ramp of each endpoint that ever had one, the newest."""

_MEMBERS = ("variant", "ramp", "pause_s", "reason", "outcome", "less")
_MOST_STEPS = 20
_LEAST_PAUSE_S = 1.0
_LOOK_S = 1.0
_ROUNDING = 1e-9  # of shares


@dataclass(frozen=True, slots=True)
class Ramp:
    """Percents that a variant is to have one after the other, and how far that is.

    Where it `holds`, the first of them is what the variant had already, and the weights stay for a pause.
    `weights` are those of now, `before` those that the endpoint goes back to if something is wrong, which the
    verdict by an `outcome` says, too: the most frequent one if it is None, of which `less` may be better.
    `by` is who began it.
    """

    variant: str
    steps: tuple[float, ...]
    pause_s: float
    generation: int
    weights: Mapping[str, float]
    before: Mapping[str, float]
    next_at: str
    step: int = 0
    state: Literal["running", "done", "stopped"] = "running"
    why: str = ""
    outcome: str | None = None
    less: bool = False
    holds: bool = False
    reason: str = ""
    by: str = ANONYMOUS

    def shown(self) -> dict[str, Any]:
        """What people are told of it."""
        hidden = ("generation", "weights", "before")
        return {name: value for name, value in asdict(self).items() if name not in hidden}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for: a variant, percents on the way to all traffic, and the pause after each.

    `outcome` and `less` are as those of a ramp.
    """

    variant: str
    steps: tuple[float, ...] = (100.0,)
    pause_s: float = 3600.0
    reason: str = ""
    outcome: str | None = None
    less: bool = False


def read_wanted(document: Any) -> Wanted:
    """What a document asks for. Raises ValidationFault."""
    if not isinstance(document, dict) or not isinstance(document.get("variant"), str):
        raise ValidationFault("The request must be a JSON object that names a variant.")
    unknown = document.keys() - {*_MEMBERS}
    if unknown:
        there = f"{', '.join(_MEMBERS[:-1])} and {_MEMBERS[-1]}"
        raise ValidationFault(f"There is no {', '.join(sorted(unknown))}: {there} are.")
    steps, pause_s = document.get("ramp", [100]), document.get("pause_s", 3600)
    if not isinstance(steps, list) or not all(_is_number(each) and 0 < each <= 100 for each in steps):
        raise ValidationFault("ramp must be a list of percents above 0, as [5, 25, 50, 100].")
    if not 1 <= len(steps) <= _MOST_STEPS or any(one >= two for one, two in pairwise(steps)):
        raise ValidationFault(f"ramp must have 1 to {_MOST_STEPS} percents, each above the one before.")
    if not _is_number(pause_s) or not _LEAST_PAUSE_S <= pause_s <= 30 * 86_400:
        raise ValidationFault("pause_s must be the seconds between two steps, from 1 to 30 days.")
    reason, outcome, less = document.get("reason", ""), document.get("outcome"), document.get("less", False)
    if not isinstance(reason, str) or not isinstance(outcome, str | None) or not isinstance(less, bool):
        raise ValidationFault("reason and outcome must be texts, less true or false.")
    percents = tuple(map(float, steps))
    return Wanted(document["variant"], percents, float(pause_s), reason, outcome or None, less)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def promote(resources: Resources, name: str, wanted: Wanted) -> Ramp:
    """Take the first step of a ramp, which may be the only one, or none where nothing is left to do.

    Raises:
        ValidationFault: as UpdateEndpointWeightsAndCapacities, or there is no such variant.
    """
    endpoint = endpoint_of(resources.get(Kind.ENDPOINT, name))
    fleet = endpoint.active
    if fleet is None:
        raise ValidationFault(sentences.endpoint_failed(resources.arn(Kind.ENDPOINT, name)))
    unknown = unknown_variants(fleet, [wanted.variant])
    if unknown:
        there = ", ".join(dict(fleet.weights))
        raise ValidationFault(f"The endpoint {name} has no variant {wanted.variant[:63]}: it has {there}.")
    before = dict(fleet.weights)
    steps, holds = steps_from(wanted.steps, before, wanted.variant)
    begun = Ramp(wanted.variant, steps, wanted.pause_s, fleet.generation, before, before, "", step=-1)
    ramp = replace(
        begun,
        outcome=wanted.outcome,
        less=wanted.less,
        holds=holds,
        reason=wanted.reason[:MOST_REASON_CHARS],
        by=resources.context.caller.principal,
    )
    return _keep(resources, name, _step(resources, name, ramp))


def steps_from(
    steps: Sequence[float], weights: Mapping[str, float], variant: str
) -> tuple[tuple[float, ...], bool]:
    """The percents of a ramp from the weights of now on, and whether the first is what the variant has.

    It is where that is a step or more; those above it follow.
    """
    has = 100 * Traffic([*weights.items()]).shares()[variant]
    above = tuple(step for step in steps if step > has + _ROUNDING)
    return (above, False) if len(above) == len(steps) else ((round(has, 6), *above), True)


def say_beginning(ramp: Ramp) -> str:
    """What a ramp does before it gives anything, without its subject; "" where it gives at once."""
    first, *later = (f"{step:g} %" for step in ramp.steps)
    if not ramp.holds or not later:
        return ""
    return f"stays at {first} for {as_duration(ramp.pause_s)} first, then {', then '.join(later)}"


def say_nothing_left(ramp: Ramp) -> str:
    """That the variant had all that was wanted already; "" where there was anything to do."""
    if not ramp.holds or len(ramp.steps) > 1:
        return ""
    return f"Nothing is left to do: {ramp.variant} has {ramp.steps[0]:g} % already."


def stop_ramp(resources: Resources, name: str, why: str) -> Ramp | None:
    """End the ramp of an endpoint where it is; None if none is under way."""
    ramp = ramp_of(resources, name)
    if ramp is None or ramp.state != "running":
        return None
    return _keep(resources, name, replace(ramp, state="stopped", why=why))


def ramp_of(facts: Facts, name: str) -> Ramp | None:
    """The newest ramp of an endpoint."""
    found = (facts.fact(RAMPS) or {}).get(name)
    return None if found is None else _read(found)


def _read(found: Mapping[str, Any]) -> Ramp:
    return Ramp(**{**found, "steps": tuple(found["steps"])})


def _step(resources: Resources, name: str, ramp: Ramp) -> Ramp:
    """Take the next step."""
    step = ramp.step + 1
    is_held = ramp.holds and step == 0
    weights = ramp.before if is_held else ramp_weights(ramp.before, ramp.variant, ramp.steps[step])
    said = _say_step(ramp, step)
    weigh(resources, name, weights, said)  # what is held, too: it is refused where a change would be
    if is_held and len(ramp.steps) > 1:
        note_decision(resources, name, weights, said)
    state: Literal["running", "done"] = "done" if step + 1 == len(ramp.steps) else "running"
    next_at = resources.clock.now() + timedelta(seconds=ramp.pause_s)
    return replace(ramp, step=step, weights=weights, state=state, next_at=next_at.isoformat())


def _say_step(ramp: Ramp, step: int) -> str:
    if len(ramp.steps) == 1:
        return ramp.reason or f"{ramp.variant} is promoted"
    if ramp.holds and step == 0:
        return reasoned(ramp.reason, f"{ramp.variant} {say_beginning(ramp)}")
    to = f"{ramp.variant} goes to {ramp.steps[step]:g} %, step {step + 1} of {len(ramp.steps)}"
    return reasoned(ramp.reason, to)


def ramp_weights(before: Mapping[str, float], variant: str, percent: float) -> dict[str, float]:
    """The variant has so many percent, the others the rest, as they shared it before."""
    others = {name: weight for name, weight in before.items() if name != variant}
    whole = sum(others.values())
    if percent >= 100 or not others:
        return {name: float(name == variant) for name in before}
    rest = 100 - percent
    shares = {name: weight / whole if whole else 1 / len(others) for name, weight in others.items()}
    return {name: percent if name == variant else rest * shares[name] for name in before}


def _go_back(resources: Resources, name: str, ramp: Ramp, why: str) -> None:
    if ramp.weights == ramp.before:  # it was held until now: that it goes no further is worth a line
        note_decision(resources, name, ramp.before, f"{ramp.variant} stays as before: {why}")
    else:
        weigh(resources, name, ramp.before, f"back to before: {why}")


def _keep(resources: Resources, name: str, ramp: Ramp) -> Ramp:
    resources.put_fact(RAMPS, {**(resources.fact(RAMPS) or {}), name: asdict(ramp)})
    return ramp


class Ramps:
    """Takes the steps of all ramps when they are due."""

    def __init__(
        self,
        store: Store,
        context: OperationContext,
        objections_to: Callable[[str, Ramp], Sequence[str]],
    ) -> None:
        """`objections_to` says in sentences what speaks against going on with a ramp of an endpoint."""
        self._store = store
        self._context = context
        self._objections_to = objections_to
        self._next_s = 0.0

    def look(self) -> None:
        """Take what is due; to be called again and again."""
        now_s = self._context.clock.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + _LOOK_S
        ramps = {name: _read(found) for name, found in (self._store.fact(RAMPS) or {}).items()}
        for name, ramp in ramps.items():
            if ramp.state != "running":
                continue
            against = self._objections_to(name, ramp)
            context = on_behalf(self._context, "ramp", ramp.by)
            with self._store.change() as change:
                self._look(Resources(change, context), name, ramp, against)

    def _look(self, resources: Resources, name: str, judged: Ramp, against: Sequence[str]) -> None:
        ramp, resource = ramp_of(resources, name), resources.find(Kind.ENDPOINT, name)
        if ramp != judged:  # another one was begun meanwhile: its turn comes
            return
        endpoint = None if resource is None else endpoint_of(resource)
        why = hindrance(endpoint, ramp)
        if why:
            stop_ramp(resources, name, why)
        elif endpoint is not None and not endpoint.busy:
            self._move(resources, name, ramp, against)

    def _move(self, resources: Resources, name: str, ramp: Ramp, against: Sequence[str]) -> None:
        try:
            if against:
                _go_back(resources, name, ramp, against[0])
                _keep(resources, name, replace(ramp, weights=ramp.before, state="stopped", why=against[0]))
            elif resources.clock.now() >= datetime.fromisoformat(ramp.next_at):
                _keep(resources, name, _step(resources, name, ramp))
        except CallerError as error:
            stop_ramp(resources, name, error.message)
