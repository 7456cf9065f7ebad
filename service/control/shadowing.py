"""Having a share of an experiment's calls asked of a second variant, too, as long as models stay."""

from typing import Any

from service.control.endpoints import endpoint_of
from service.control.experiment import looked_at
from service.control.history import Facts
from service.control.resources import Resources
from service.domain.endpoint import Endpoint
from service.domain.kinds import Kind
from service.domain.shadow import SHADOW_SHARES, ShadowShare, read_shadow_shares
from service.errors import ValidationFault
from service.experiments.live_agreement import LiveAgreement


def ask_both(resources: Resources, name: str, document: Any) -> dict[str, Any]:
    """Have so many percent of calls asked of a second variant, 0 for none, and say what holds now.

    Raises:
        ValidationFault: the document asks for nothing that can be done, or there is no second variant.
    """
    share = _read(document) / 100
    fleet = endpoint_of(resources.get(Kind.ENDPOINT, name)).serving
    if share and (fleet is None or len(fleet.variants) < 2):
        raise ValidationFault(f"The endpoint {name} has no second variant that could be asked.")
    known = read_shadow_shares(resources.fact(SHADOW_SHARES))
    kept = {each: known[each] for each in known if resources.find(Kind.ENDPOINT, each) is not None}
    kept.pop(name, None)
    if share and fleet is not None:
        kept[name] = ShadowShare(share, fleet.generation)
    resources.put_fact(SHADOW_SHARES, {each: list(found) for each, found in kept.items()})
    return {"endpoint": name, "ask_both": 100 * share}


def shadow_share(facts: Facts, endpoint: Endpoint) -> float:
    """The share of an endpoint's calls that is asked of a second variant, 0 for none."""
    found = read_shadow_shares(facts.fact(SHADOW_SHARES)).get(endpoint.name)
    fleet = endpoint.serving
    return (
        found.share
        if found is not None and fleet is not None and found.generation == fleet.generation
        else 0.0
    )


def describe_agreement(
    endpoint: Endpoint, share: float, found: LiveAgreement | None, control: str | None
) -> dict[str, Any] | None:
    """How the variants of a fleet answer the same live rows; None if none was asked of two, nor is to be."""
    fleet = looked_at(endpoint)
    if found is not None and (fleet is None or found.generation != fleet.generation):
        found = None  # of other models
    if found is None and not share:
        return None
    known = found or LiveAgreement(0)
    pairs = sorted(known.tallies.items(), key=lambda each: (control not in each[0], each[0]))
    return {
        "ask_both": 100 * share,
        "dropped": known.dropped,
        "pairs": [tally.document(names, control or names[0]) for names, tally in pairs],
    }


def _read(document: Any) -> float:
    """The percents that are asked for. Raises ValidationFault."""
    percent = document.get("ask_both") if isinstance(document, dict) else None
    unknown = document.keys() - {"ask_both"} if isinstance(document, dict) else ()
    if (
        unknown
        or isinstance(percent, bool)
        or not isinstance(percent, int | float)
        or not 0 <= percent <= 100
    ):
        raise ValidationFault('The request must be {"ask_both": PERCENT}, from 0, which ends it, to 100.')
    return float(percent)
