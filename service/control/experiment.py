"""What an endpoint's variants are worth, as one document: how they answer, what came of it, and what follows.

`docs/reference/experiments.md` describes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from types import MappingProxyType
from typing import Any

import orjson

from service.domain.endpoint import Endpoint, Fleet
from service.domain.traffic import Traffic
from service.errors import ValidationFault
from service.experiments.guards import failure_warnings, latency_warnings
from service.experiments.reports import LABEL
from service.experiments.shares import ALARM, Picks, mismatch_p_value
from service.experiments.sums import Sums, count_up
from service.experiments.verdict import Question, judge
from service.observe.counter import BOUNDS_S, InvocationCounter
from service.observe.series import quantile_s
from service.store.outcomes import ArmTally, Lately, Run

WINDOWS: Mapping[str, float] = MappingProxyType({"hour": 3600.0, "day": 86_400.0, "week": 604_800.0})
"""How many seconds the last hour has, and the like."""

_QUANTILES = (("p50_ms", 0.5), ("p90_ms", 0.9), ("p99_ms", 0.99))
_MOST_NAMED = 10
_QUIET_S, _QUIET_GAPS = 60.0, 10.0
"""Nothing comes any more after a minute without an outcome, and ten times as long as is between two."""
_NOTHING = InvocationCounter()
_NO_TALLIES: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Wish:
    """How a reader wants outcomes to be judged.

    Args:
        outcome: the name of those that decide; None for the one of which there are most.
        less: whether less is better.
        worth: the smallest difference that matters, None for the usual one.
        control: the variant that others are compared with, None for the one that had most weight at first.
        window: how good predictions were of late is told, too, for this name of `WINDOWS`.
    """

    outcome: str | None = None
    less: bool = False
    worth: float | None = None
    control: str | None = None
    window: str | None = None


def describe_experiment(
    endpoint: Endpoint,
    run: Run | None,
    counters: Mapping[str, InvocationCounter],
    changes: Sequence[Mapping[str, Any]],
    now_s: float,
    wish: Wish,
    lately: Lately | None = None,
    tallies: Mapping[str, int] = _NO_TALLIES,
    quiet_s: float = 0.0,
) -> dict[str, Any]:
    """The document; `counters` are those of each variant of the fleet, `changes` those of its weights.

    `lately` is about the window that the wish names, None if that is empty; `tallies` are of the endpoint,
    whatever its models are. `quiet_s` is how long ago the last outcome was reported, inf if nobody knows.

    Raises:
        ValidationFault: the wish names a control that there is not.
    """
    fleet = looked_at(endpoint)
    weights = dict(fleet.weights) if fleet is not None else {}
    if run is not None and (fleet is None or run.generation != fleet.generation):
        run = None  # of other models
    if lately is not None and (fleet is None or lately.generation != fleet.generation):
        lately = None
    names = [*weights]
    control = _control(weights, run) if wish.control is None else _known(wish.control, endpoint, names)
    outcome = wish.outcome or usual_outcome(run)
    verdict = _judge(run, names, control, outcome, _rate(run, outcome, now_s, quiet_s), wish)
    guards = _guard_warnings(names, control, counters)
    warnings = [*_share_warnings(run), *(sentence for _, sentence in guards)]
    variants = [_variant(name, weights, run, counters.get(name, _NOTHING), verdict) for name in names]
    return {
        "endpoint": endpoint.name,
        "status": endpoint.status.value,
        "generation": None if fleet is None else fleet.generation,
        "since": None if run is None else _moment(run.begun_s),
        "control": control,
        "outcome": outcome,
        "outcomes": {} if run is None else {name: count for name, (count, _) in sorted(run.outcomes.items())},
        "variants": [_warned(each, guards) for each in variants],
        "verdict": verdict,
        "sentence": _sentence(names, run, outcome, verdict),
        "warnings": warnings,
        "share_p_value": None if run is None else mismatch_p_value(_picks(run)),
        "better": _better(verdict, warnings),
        "tallies": _tallies(tallies),
        "window": _window(names, lately, now_s, wish),
        "changes": list(changes),
    }


def objections(document: Mapping[str, Any], variant: str) -> list[str]:
    """What speaks against giving a variant more traffic, in sentences.

    That traffic is not shared out as it should be, guard rails that it breaks, or a verdict against it: what
    others do is no reason to take traffic from it.
    """
    others = {
        sentence for each in document["variants"] if each["name"] != variant for sentence in each["warnings"]
    }
    bad = {"better"} if document["control"] == variant else {"worse"}
    against = [
        each["sentence"]
        for each in (document["verdict"] or {}).get("comparisons", ())
        if variant in (document["control"], each["challenger"]) and each["decision"] in bad
    ]
    return [*(sentence for sentence in document["warnings"] if sentence not in others), *against]


def looked_at(endpoint: Endpoint) -> Fleet | None:
    """The fleet that an experiment is about, with its models and all that came of these."""
    return endpoint.serving or endpoint.pending


def write_experiment(document: Mapping[str, Any]) -> bytes:
    """The document as JSON: bounds without end are null."""
    return orjson.dumps(document)


def _control(weights: Mapping[str, float], run: Run | None) -> str | None:
    """The variant that had most weight when the fleet was new: it stays the same while others are raised."""
    first = dict(run.arms[0].weights) if run is not None and run.arms else weights
    known = [name for name in weights if name in first]
    return max(known, key=lambda name: first[name], default=None)


def _known(control: str, endpoint: Endpoint, names: Sequence[str]) -> str:
    """The control that was asked for. Raises ValidationFault where it is no variant."""
    if control not in names:
        raise ValidationFault(f"{endpoint.name} has no variant {control[:64]!r}: it has {_few(names)}.")
    return control


def _judge(
    run: Run | None,
    names: Sequence[str],
    control: str | None,
    outcome: str | None,
    per_second: float | None,
    wish: Wish,
) -> dict[str, Any] | None:
    """None where there is nothing to compare, or no such outcome: how many it takes nobody knows then."""
    if run is None or control is None or len(names) < 2 or outcome is None or outcome not in run.outcomes:
        return None
    binary, more_is_better = meaning_of(run, outcome, less=wish.less)
    question = Question(
        control,
        binary,
        more_is_better=more_is_better,
        worth=wish.worth,
        per_second=per_second,
        noun="users with an outcome" if any(arm.users for arm in run.arms) else "outcomes",
    )
    sums = outcomes_of(run, [control, *(name for name in names if name != control)], outcome)
    return judge(question, sums)


def _rate(run: Run | None, outcome: str | None, now_s: float, quiet_s: float) -> float | None:
    """How many outcomes come per second, on average; None where none comes any more, or nobody knows."""
    count = 0 if run is None or outcome is None else _sums(run, outcome).count
    if run is None or not count or now_s <= run.begun_s:
        return None
    gap_s = (now_s - run.begun_s) / count
    return None if quiet_s > max(_QUIET_S, _QUIET_GAPS * gap_s) else 1 / gap_s


def outcomes_of(run: Run, names: Sequence[str], outcome: str) -> dict[str, list[Sums]]:
    """The sums of variants' outcomes by period of unchanged weights, as many of each."""
    periods = _periods(run)
    return {
        name: [
            sum((arm.sums.get(outcome, Sums()) for arm in period if arm.variant == name), Sums())
            for period in periods
        ]
        for name in names
    }


def meaning_of(run: Run, outcome: str, *, less: bool) -> tuple[bool, bool]:
    """Whether outcomes are 0 or 1, and whether more of them is better: a label's are hits, or distances."""
    if outcome == LABEL:
        return run.labels.binary, run.labels.binary
    _, binary = run.outcomes.get(outcome, (0, True))
    return binary, not less


def usual_outcome(run: Run | None) -> str | None:
    """The outcome of which there are most."""
    outcomes = {} if run is None else run.outcomes
    return max(sorted(outcomes), key=lambda name: outcomes[name][0], default=None)


def _sums(run: Run, outcome: str) -> Sums:
    return sum((arm.sums.get(outcome, Sums()) for arm in run.arms), Sums())


def _periods(run: Run) -> list[list[ArmTally]]:
    """The arms by the weights that they had."""
    periods: dict[tuple[tuple[str, float], ...], list[ArmTally]] = {}
    for arm in run.arms:
        periods.setdefault(tuple(sorted(arm.weights.items())), []).append(arm)
    return list(periods.values())


def _picks(run: Run) -> list[Picks]:
    return [
        Picks(period[0].weights, {arm.variant: arm.calls + arm.users for arm in period})
        for period in _periods(run)
    ]


def _share_warnings(run: Run | None) -> list[str]:
    p_value = 1.0 if run is None else mismatch_p_value(_picks(run))
    if p_value >= ALARM:
        return []
    return [
        f"Traffic is not shared out as the weights say (p = {p_value:.2g}): find out why before you trust a "
        "comparison."
    ]


def _guard_warnings(
    names: Sequence[str], control: str | None, counters: Mapping[str, InvocationCounter]
) -> list[tuple[str, str]]:
    """Which variant breaks a guard rail, and a sentence about that."""
    known = {name: counters[name] for name in names if name in counters and counters[name].requests}
    if control is None or control not in known:
        return []
    failures = {name: [count_up(_errors(each, 5), each.requests)] for name, each in known.items()}
    latencies = {name: _buckets(each) for name, each in known.items()}
    return [*failure_warnings(control, failures).items(), *latency_warnings(control, latencies).items()]


def _warned(variant: Mapping[str, Any], guards: Sequence[tuple[str, str]]) -> dict[str, Any]:
    return {**variant, "warnings": [sentence for name, sentence in guards if name == variant["name"]]}


def _errors(counter: InvocationCounter, status_class: int) -> int:
    return sum(number for (_, kind), number in counter.errors.items() if kind == status_class)


def _buckets(counter: InvocationCounter) -> list[tuple[float, float, int]]:
    lows, highs = (0.0, *BOUNDS_S), (*BOUNDS_S, inf)
    return [each for each in zip(lows, highs, counter.buckets, strict=True) if each[2]]


def _variant(
    name: str,
    weights: Mapping[str, float],
    run: Run | None,
    counter: InvocationCounter,
    verdict: Mapping[str, Any] | None,
) -> dict[str, Any]:
    arms = [] if run is None else [arm for arm in run.arms if arm.variant == name]
    quality = None if run is None else run.labels.quality.get(name)
    judged = [] if verdict is None else [each for each in verdict["variants"] if each["name"] == name]
    return {
        "name": name,
        "weight": weights[name],
        "share": Traffic([*weights.items()]).shares()[name],
        "requests": counter.requests,
        "client_errors": _errors(counter, 4),
        "server_errors": _errors(counter, 5),
        "latency": {key: _quantile_ms(counter, share) for key, share in _QUANTILES},
        "calls": sum(arm.calls for arm in arms),
        "users": sum(arm.users for arm in arms),
        "outcome": {key: value for key, value in judged[0].items() if key != "name"} if judged else None,
        "quality": None if quality is None else quality.document(),
    }


def _quantile_ms(counter: InvocationCounter, share: float) -> float | None:
    """A quantile in milliseconds, in three digits as the dashboard has it; None without any request."""
    found = quantile_s(counter.latency, share)
    return None if found is None else float(f"{found * 1e3:.3g}")


def _sentence(
    names: Sequence[str], run: Run | None, outcome: str | None, verdict: Mapping[str, Any] | None
) -> str:
    if len(names) < 2:
        return "There is one variant: nothing to compare it with."
    if run is None:
        return "No call was recorded yet: one that names a user or an inference id is."
    if outcome is None:
        return "No outcome was reported yet."
    if verdict is None:
        return say_unheard(outcome, run)
    return " ".join(comparison["sentence"] for comparison in verdict["comparisons"])


def say_unheard(outcome: str, run: Run | None) -> str:
    """That nothing of this name is among the outcomes, and which there are: "" where it is among them."""
    known = {} if run is None else run.outcomes
    if outcome in known:
        return ""
    others = f": there {'is' if len(known) == 1 else 'are'} {_few(sorted(known))}" if known else ""
    return f"No outcome named {outcome[:40]!r} was reported and counted yet{others}."


def _few(names: Sequence[str]) -> str:
    """Names for a sentence: the first ten."""
    more = len(names) - _MOST_NAMED
    shown = [*names[:_MOST_NAMED], *([f"{more} more"] if more > 0 else [])]
    return " and ".join(part for part in (", ".join(shown[:-1]), *shown[-1:]) if part) or "none"


def _better(verdict: Mapping[str, Any] | None, warnings: Sequence[str]) -> str | None:
    """The variant that should have all traffic, None where that is not sure, or something is wrong."""
    if verdict is None or warnings:
        return None
    better = [each for each in verdict["comparisons"] if each["decision"] == "better"]
    return max(better, key=lambda each: abs(each["difference"]))["challenger"] if better else None


def _tallies(tallies: Mapping[str, int]) -> dict[str, int]:
    names = ("counted", "waiting", "unknown", "repeated", "contradicting", "refused", "dropped")
    return {name: tallies.get(name, 0) for name in names}


def _window(names: Sequence[str], lately: Lately | None, now_s: float, wish: Wish) -> dict[str, Any] | None:
    """How good predictions of the last hour, day or week were whose labels are known; None if nobody asks."""
    if wish.window is None:
        return None
    quality = {} if lately is None else lately.labels.quality
    return {
        "last": wish.window,
        "since": _moment(now_s - WINDOWS[wish.window]),
        "labels": 0 if lately is None else lately.count,
        "whole": lately is None or lately.is_whole,
        "quality": {name: quality[name].document() if name in quality else None for name in names},
    }


def _moment(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")
