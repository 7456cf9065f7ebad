"""What promoting a variant would do: in words, and as the very request that does it, before it is done."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import orjson

from service.control.promotion import ramp_weights, steps_from
from service.domain.traffic import Traffic
from service.faces.people.dashboard.experiment import is_planned
from service.invoke.catalogue import EndpointCard

STEPS: Final = (5.0, 25.0, 50.0, 100.0)
"""The percents of a ramp, which begins with what the variant has where that is more than one of them."""

PAUSES: Final[Mapping[str, str]] = MappingProxyType(
    {"60": "1 minute", "600": "10 minutes", "3600": "1 hour", "86400": "1 day"}
)
"""Seconds between two steps, as words."""

_LEAST: Final = 1e-9


def preview(
    card: EndpointCard | None, found: Mapping[str, Any] | None, variant: str, pause_s: str
) -> dict[str, Any]:
    """What the template says; `found` is the experiment, `pause_s` "" for all traffic at once."""
    serving = [] if card is None else [each for each in card.variants if not each.pending]
    before = {each.name: each.share for each in serving}
    if variant not in before or (pause_s and pause_s not in PAUSES):
        return {"problem": "The endpoint has other variants by now.", "request": ""}
    weights = {each.name: each.weight for each in serving}
    (first, *later), holds = steps_from(STEPS if pause_s else (100.0,), weights, variant)
    after = Traffic([*(weights if holds else ramp_weights(weights, variant, first)).items()]).shares()
    moves = [
        {"name": name, "before": share, "after": after[name]}
        for name, share in before.items()
        if abs(share - after[name]) > _LEAST
    ]
    request: dict[str, Any] = {"variant": variant}
    if later:
        request |= {"ramp": STEPS, "pause_s": int(pause_s)}
    return {
        "problem": "",
        "request": orjson.dumps(request).decode() if moves or later else "",
        "moves": moves,
        "held": first / 100 if holds else None,
        "variant": variant,
        "later": [step / 100 for step in later],
        "pause": PAUSES.get(pause_s, ""),
        "sentence": "" if found is None else found["sentence"],
        "is_sure": found is not None and found["better"] == variant,
        "is_beaten": found is not None and found["better"] not in (None, variant),
        "ends": found is not None and is_planned(found),
    }
