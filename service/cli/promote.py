"""The command that gives traffic to a variant, or to whichever is better by its outcomes: promote."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote

import typer

from service.cli.refusal import fail
from service.cli.server import Url, call
from service.cli.told import told

_HEADERS = {"Content-Type": "application/json"}


class FollowedBy(StrEnum):
    """How traffic follows outcomes."""

    THOMPSON = "thompson"
    TOP_TWO = "top-two"


_Ramp = Annotated[
    str | None,
    typer.Option(
        metavar="PERCENTS", help="In steps, as 5,25,50,100.  \\[default: all at once]", show_default=False
    ),
]
_Policy = Annotated[
    FollowedBy | None,
    typer.Option(help="No VARIANT: traffic follows outcomes, until --stop.", show_default=False),
]
_Outcome = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Which outcome decides.  \\[default: the most frequent]",
        show_default=False,
    ),
]
_Pause = Annotated[
    float | None,
    typer.Option(
        min=1,
        metavar="SECONDS",
        help="Pause after each step of a ramp, or look of a policy at outcomes.  \\[default: 3600]",
        show_default=False,
    ),
]
_Floor = Annotated[
    float | None,
    typer.Option(
        metavar="PERCENT", help="What a policy leaves each variant.  \\[default: 1]", show_default=False
    ),
]


def promote(
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT", help="Name of the endpoint.")],
    variant: Annotated[str | None, typer.Argument(metavar="VARIANT", help="Who gets the traffic.")] = None,
    ramp: _Ramp = None,
    policy: _Policy = None,
    outcome: _Outcome = None,
    less: Annotated[bool, typer.Option("--less", help="Less of that outcome is better.")] = False,
    floor: _Floor = None,
    pause: _Pause = None,
    reason: Annotated[str, typer.Option(help="Kept in the history of weights.")] = "",
    stop: Annotated[bool, typer.Option("--stop", help="End a ramp or a policy where it is.")] = False,
    url: Url = "",
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Give a variant all traffic, at once or in steps, or have traffic follow outcomes.

    Ramps and policies end, and weights go back to those of before, where a guard rail is broken.
    """
    asked = [stop, variant is not None, policy is not None].count(True)
    if asked != 1:
        both = ": one of them, not both" if asked else ""
        fail(f"Name the variant to promote, a --policy, or --stop to end what is under way{both}.")
    wanted: dict[str, Any] = {"stop": True}
    chosen = {"outcome": outcome, "less": less or None, "floor": floor, "pause_s": pause}
    given = {name: value for name, value in chosen.items() if value is not None}
    if variant is not None:
        steps = {} if ramp is None else {"ramp": _percents(ramp)}
        wanted = {"variant": variant, "reason": reason, **steps, **given}
    elif policy is not None:
        wanted = {"policy": policy.value, "reason": reason, **given}
    if variant is None and ramp is not None:
        fail("--ramp goes with the VARIANT that it is for.")
    if policy is None and floor is not None:
        fail("--floor goes with --policy.")
    if policy is None and ramp is None and pause is not None:
        fail("--pause goes with --ramp or --policy: without them there is one step, at once.")
    if stop and (outcome is not None or less):
        fail("--outcome and --less say how a VARIANT or a --policy is judged.")
    path = f"/endpoints/{quote(endpoint, safe='')}/promote"
    found = call(url, "POST", path, content=json.dumps(wanted), headers=_HEADERS).json()
    if as_json:
        typer.echo(json.dumps(found))
        return
    for line in _answer_lines(endpoint, found):
        typer.echo(told(line))


def _answer_lines(endpoint: str, found: Mapping[str, Any]) -> list[str]:
    """What was done, and what becomes of the endpoint's traffic."""
    if found.get("stopped") is False:
        return [f"{endpoint} keeps its weights: nothing was under way"]
    lines = plan_lines(found) or [f"{endpoint} has no ramp and no policy"]
    if skipped := found.get("skipped"):
        percents = ", ".join(f"{step:g}" for step in skipped)
        lines.append(f"Left out, since {found['ramp']['variant']} had as much already: {percents} %")
    if note := found.get("note"):  # servers of before say none
        lines.append(note)
    return lines


def plan_lines(document: Mapping[str, Any]) -> list[str]:
    """What became of an endpoint's ramp and of its policy; the policy alone while it decides."""
    ramp, allocation = document["ramp"], document["allocation"]
    lines = [] if ramp is None else [_ramp_line(ramp)]
    if allocation is not None:
        lines.append(_allocation_line(allocation))
        if allocation["state"] == "running":
            return lines[-1:]
    return lines


def _ramp_line(ramp: Mapping[str, Any]) -> str:
    percent = ramp["steps"][ramp["step"]]
    if ramp["state"] == "running":
        has = "stays at" if ramp.get("holds") and ramp["step"] == 0 else "has"  # servers of before never hold
        return f"{ramp['variant']} {has} {percent:g} %, the next step is due at {_time(ramp['next_at'])}"
    if ramp["state"] == "stopped":
        return f"The ramp of {ramp['variant']} was stopped at {percent:g} %: {ramp['why']}"
    return f"{ramp['variant']} has {percent:g} % of the traffic"


def _allocation_line(allocation: Mapping[str, Any]) -> str:
    weights = traffic_shares(allocation["weights"])
    which = allocation["outcome"] or "the most frequent outcome"
    if allocation["state"] == "running":
        return (
            f"Traffic follows {which} by {allocation['policy']}: {weights}; changed "
            f"{allocation['changes']:,} times, the next look is due at {_time(allocation['next_at'])}"
        )
    left = f"and was left at {weights}: {allocation['why']}"
    return f"Traffic followed {which} by {allocation['policy']}, {left}"


def traffic_shares(weights: Mapping[str, float]) -> str:
    """Parts of the traffic, whatever the weights sum up to."""
    whole = sum(weights.values()) or 1.0
    return ", ".join(f"{name} {weight / whole:.1%}" for name, weight in weights.items())


def _time(at: str) -> str:
    """A time of ours to the second, in UTC."""
    return datetime.fromisoformat(at).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _percents(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        fail(f"--ramp {text} is no list of percents, as 5,25,50,100.")
