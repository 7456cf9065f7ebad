"""Numbers of experiments in sentences: points, ranges, durations, rough counts."""

from collections.abc import Mapping
from math import floor, inf, log10

_UNITS = ((86_400.0, "days", "day"), (3_600.0, "hours", "hour"), (60.0, "minutes", "minute"))
_MOST_NAMED = 10


def as_size(size: float, binary: bool) -> str:
    """A difference: of shares in points, of other outcomes as a number."""
    text = _brief(size * 100 if binary else size)
    return text if not binary else f"{text} {'point' if text == '1' else 'points'}"


def as_range(near: float, far: float, binary: bool) -> str:
    """From one size to another, which may be infinite."""
    if far == inf:
        return f"at least {as_size(near, binary)}"
    return f"{_brief(near * 100 if binary else near)} to {as_size(far, binary)}"


def about(count: float) -> str:
    """A count with two digits that mean something."""
    digits = max(0, floor(log10(count)) - 1) if count >= 1 else 0
    return f"{round(count, -digits):,.0f}"


def as_duration(time_s: float) -> str:
    """A time in the unit that suits it, with at most two digits."""
    for unit_s, many, one in _UNITS:
        if time_s >= unit_s:
            text = _brief(time_s / unit_s)
            return f"{text} {one if text == '1' else many}"
    return f"{max(1, round(time_s))} s"


def say_others(endpoint: str, outcomes: Mapping[str, int], judged: str | None) -> str:
    """Which outcomes there are beside the one that is judged, and how to ask for the most frequent of them.

    `outcomes` are how many there are by name; "" where there is no other.
    """
    others = sorted(outcomes.keys() - {judged}, key=lambda name: (-outcomes[name], name))
    if judged not in outcomes or not others:
        return ""
    more = len(others) - _MOST_NAMED
    shown = [f"{name} ({outcomes[name]:,})" for name in others[:_MOST_NAMED]]
    listed = ", ".join([*shown, *([f"{more} more"] if more > 0 else [])])
    return f"Also reported: {listed}: sagebird experiment {endpoint} --outcome {others[0]}"


def _brief(number: float) -> str:
    """Two digits that mean something, more if it takes them to say the whole part."""
    if number == 0:
        return "0"
    decimals = max(0, 1 - floor(log10(abs(number))))
    return f"{number:,.{decimals}f}".rstrip("0").rstrip(".") if decimals else f"{number:,.0f}"
