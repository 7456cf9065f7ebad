"""What `sagebird load` is told in words: durations, shares, stages, limits, an earlier run."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.cli.load_target import refuse
from service.cli.refusal import fail
from service.load.plan import RateStage
from service.load.report import VERSION

_UNITS: Mapping[str, float] = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
_DURATION = re.compile(r"([0-9]*\.?[0-9]+)\s*(ms|s|m|h|)")
_MOST_STAGES = 100
_MOST_RATE = 1e6


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What a run must keep; None for what is not asked."""

    p99_s: float | None
    failed_share: float | None


def read_duration(text: str) -> float:
    """Seconds of `20ms`, `10s`, `2m`, `1h` or `10`."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or not float(found[1]):
        refuse(f"{text} is no duration, such as 20ms, 10s, 5m or 1h.")
    return float(found[1]) * _UNITS[found[2]]


def read_share(text: str) -> float:
    """A share of `0.1%` or `0.001`."""
    number = text.strip().removesuffix("%")
    try:
        share = float(number) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        refuse(f"{text} is no share of requests, such as 0.1% or 0.001.")
    return share


def read_stages(text: str | None) -> tuple[RateStage, ...]:
    """The stages of `50:10s,200:30s`: requests per second and for how long."""
    if text is None:
        return ()
    stages = tuple(map(_read_stage, text.split(",")))
    if len(stages) > _MOST_STAGES:
        refuse(f"{len(stages)} stages are too many: at most {_MOST_STAGES}.")
    return stages


def _read_stage(text: str) -> RateStage:
    rate, colon, duration = text.strip().partition(":")
    try:
        number = float(rate)
    except ValueError:
        number = 0.0
    if not colon or not 0 < number <= _MOST_RATE:
        refuse(f"{text.strip()!r} is no stage, such as 50:10s for 50 requests/s during 10 seconds.")
    return RateStage(number, read_duration(duration))


def read_limits(max_p99: str | None, max_errors: str | None) -> RunLimits:
    """The limits as numbers."""
    p99_s = None if max_p99 is None else read_duration(max_p99)
    return RunLimits(p99_s, None if max_errors is None else read_share(max_errors))


def broken_limits(report: Mapping[str, Any], limits: RunLimits) -> list[str]:
    """A sentence for each limit that the run did not keep, as a whole or in one of its stages."""
    parts = [("", report["total"]), *((f" at {stage['rate']:g}/s", stage) for stage in report["stages"])]
    broken = []
    for where, figures in parts:
        p99_s = figures["latency"]["p99_s"]
        share = figures["failed"] / figures["requests"] if figures["requests"] else 0.0
        if limits.p99_s is not None and p99_s > limits.p99_s:
            broken.append(f"p99{where} is {p99_s * 1e3:.3g} ms, more than {limits.p99_s * 1e3:g} ms.")
        if limits.failed_share is not None and share > limits.failed_share:
            broken.append(f"{share:.3%} failed{where}, more than {limits.failed_share * 100:.4g}%.")
    if not report["total"]["answers"] and limits.p99_s is not None:
        broken.append("Nothing was answered.")
    return broken


def read_earlier(file: Path | None) -> dict[str, Any] | None:
    """The document of an earlier run; what is none ends the command."""
    if file is None:
        return None
    try:
        document = json.loads(file.read_bytes())
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}.")
    except ValueError:
        document = None
    if not isinstance(document, dict) or document.get("version") != VERSION or "total" not in document:
        fail(f"{file} is no run that this version of sagebird load has saved (--save).")
    return document
