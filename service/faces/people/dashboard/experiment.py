"""The experiment of an endpoint as its card draws it: verdict, intervals now and over time, confusion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Any, Final

from service.experiments.words import say_others

WIDTH: Final = 300
HEIGHT: Final = 90
MOST_CLASSES: Final = 12
"""A matrix of more is not shown."""

_MOST_CHANGES: Final = 5
_HEADROOM: Final = 1.15


@dataclass(frozen=True, slots=True)
class Band:
    """A challenger's difference to the control over time: points of a polygon around it, and of its line."""

    name: str
    place: int
    area: str
    line: str


@dataclass(frozen=True, slots=True)
class Course:
    """Bands within a frame of 300 by 90 whose middle is no difference; `reach` is what its edges are."""

    bands: tuple[Band, ...]
    reach: float
    began: str
    ended: str


@dataclass(frozen=True, slots=True)
class ConfusionTable:
    """How often what was said of which label; `words` name the cells of two classes."""

    variant: str
    figures: tuple[tuple[str, float], ...]
    classes: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[int, str], ...]], ...]


def drawn(found: Mapping[str, Any]) -> dict[str, Any]:
    """What the template needs of an experiment's document."""
    names = [variant["name"] for variant in found["variants"]]
    verdict = found["verdict"] or {"comparisons": (), "binary": False}
    qualities = [(variant["name"], variant["quality"]) for variant in found["variants"]]
    return {
        "found": found,
        "others": say_others(found["endpoint"], found["outcomes"], found["outcome"]),
        "plan": "running" if is_planned(found) else "",
        "binary": verdict["binary"],
        "counted": _counted(found["variants"]),
        "comparisons": {comparison["challenger"]: comparison for comparison in verdict["comparisons"]},
        "course": course_of(found["timeline"], names, binary=verdict["binary"]),
        "matrices": [_matrix(name, quality) for name, quality in qualities if quality],
        "changes": [_in_shares(change) for change in reversed(found["changes"][-_MOST_CHANGES:])],
    }


def _in_shares(change: Mapping[str, Any]) -> dict[str, Any]:
    """A change with parts of the traffic: weights sum up to anything, here to 1 and there to 100."""
    whole = sum(change["weights"].values()) or 1.0
    return {**change, "shares": {name: weight / whole for name, weight in change["weights"].items()}}


def _counted(variants: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The columns that say of whom calls were recorded, by title: those alone in which there is anything."""
    columns = {"Users": "users", "Calls without a user": "calls"}
    return {title: member for title, member in columns.items() if any(each[member] for each in variants)}


def is_planned(found: Mapping[str, Any]) -> bool:
    """Whether a ramp or a policy is under way."""
    return any(
        found[name] is not None and found[name]["state"] == "running" for name in ("ramp", "allocation")
    )


def course_of(timeline: Sequence[Mapping[str, Any]], names: Sequence[str], *, binary: bool) -> Course | None:
    """The intervals over time; None while there are not two of them. Differences of shares reach to 1."""
    marks = [mark for mark in timeline if any(each["lower"] is not None for each in mark["comparisons"])]
    if len(marks) < 2:
        return None
    times = [datetime.fromisoformat(mark["at"]) for mark in marks]
    whole_s = (times[-1] - times[0]).total_seconds() or 1.0
    across = [WIDTH * (each - times[0]).total_seconds() / whole_s for each in times]
    reach = min(_reach(marks), 1.0 if binary else inf)
    bands = [
        band
        for place, name in enumerate(names)
        if (band := _band(name, place, list(zip(across, marks, strict=True)), reach)) is not None
    ]
    return Course(tuple(bands), reach, times[0].strftime("%H:%M:%S"), times[-1].strftime("%H:%M:%S"))


def _reach(marks: Sequence[Mapping[str, Any]]) -> float:
    """What is far enough from the middle to hold the newer half; intervals of few outcomes are cut off."""
    newer = marks[len(marks) // 2 :]
    bounds = [
        abs(bound)
        for mark in newer
        for each in mark["comparisons"]
        for bound in (each["lower"], each["upper"])
        if bound is not None
    ]
    return _HEADROOM * max(bounds, default=0.0) or 1.0


def _band(
    name: str, place: int, marks: Sequence[tuple[float, Mapping[str, Any]]], reach: float
) -> Band | None:
    spans = [
        (x, each["lower"], each["difference"], each["upper"])
        for x, mark in marks
        for each in mark["comparisons"]
        if each["challenger"] == name and None not in (each["lower"], each["upper"], each["difference"])
    ]
    if not spans:
        return None

    def point(x: float, value: float) -> str:
        y = HEIGHT / 2 * (1 - max(-2.0, min(2.0, value / reach)))
        return f"{x:.0f},{y:.1f}"

    upper = [point(x, high) for x, _, _, high in spans]
    lower = [point(x, low) for x, low, _, _ in reversed(spans)]
    return Band(name, place, " ".join([*upper, *lower]), " ".join(point(x, mid) for x, _, mid, _ in spans))


def _matrix(variant: str, quality: Mapping[str, Any]) -> ConfusionTable:
    classes = tuple(map(str, quality.get("classes") or ()))
    if len(classes) > MOST_CLASSES:
        classes = ()
    counts = {(each["label"], each["predicted"]): each["count"] for each in quality.get("confusion") or ()}
    positive = quality.get("positive")
    rows = tuple(
        (label, tuple((counts.get((label, said), 0), _word(label, said, positive)) for said in classes))
        for label in classes
    )
    return ConfusionTable(variant, tuple(_figures(quality)), classes, rows)


def _word(label: str, said: str, positive: str | None) -> str:
    if positive is None:
        return ""
    return f"{'true' if label == said else 'false'} {'positives' if said == positive else 'negatives'}"


_FIGURES: Final = (
    ("accuracy", "accuracy"),
    ("roc_auc", "ROC AUC"),
    ("log_loss", "log loss"),
    ("calibration_error", "calibration error"),
    ("mean_absolute_error", "mean absolute error"),
    ("root_mean_squared_error", "RMSE"),
    ("r2", "R²"),
)


def _figures(quality: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The numbers that say how good a variant is; of two classes those of the positive one."""
    found = [(word, quality[name]) for name, word in _FIGURES if quality.get(name) is not None]
    positive, classes = quality.get("positive"), quality.get("classes") or {}
    whole = classes.get(positive) if positive is not None else quality.get("macro")
    for name, word in (("precision", "precision"), ("recall", "recall"), ("f1", "F1")):
        if whole and whole.get(name) is not None:
            found.append((word, whole[name]))
    return found
