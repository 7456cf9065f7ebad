"""How variants answered the same live rows, in lines for a terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

_MOST_PAIRS = 3
_MOST_EXAMPLES = 3


def agreement_lines(agreement: Mapping[str, Any] | None) -> Iterator[str]:
    """What a document says of it; nothing where no call was asked of two variants, nor is to be."""
    if agreement is None:
        return
    if agreement["ask_both"]:
        yield f"{agreement['ask_both']:g} % of calls are asked of a second variant, too."
    for pair in agreement["pairs"]:
        yield from _pair_lines(pair)
    if agreement["dropped"]:
        yield f"{agreement['dropped']:,} calls were not asked of two: others were served, or they are large."


def _pair_lines(pair: Mapping[str, Any]) -> Iterator[str]:
    names = f"{pair['variant']} and {pair['control']}"
    if pair["rows"]:
        yield (
            f"{names} differ on {pair['differing']:,} of {pair['rows']:,} live rows: {pair['share']:.1%} "
            f"({pair['lower']:.1%} to {pair['upper']:.1%} at any time, 95 %)."
        )
    if pair["mean_distance"] is not None:
        mean, largest = pair["mean_distance"], pair["largest_distance"]
        yield f"  They are {mean:.4g} apart on average, {largest:.4g} at most."
    for each in pair["pairs"][:_MOST_PAIRS]:
        said = f"{pair['control']} says {each['control']}, {pair['variant']} {each['challenger']}"
        yield f"  {said}: {each['rows']:,}"
    for each in pair["examples"][:_MOST_EXAMPLES]:
        yield (
            f"  {each['at']} {each['inference_id'] or 'a call without an id'}, row {each['row']}: "
            f"{each['control']} against {each['challenger']}"
        )
    if pair["failed"] or pair["unclear"]:
        failed, unclear = pair["failed"], pair["unclear"]
        yield f"  {failed:,} failed at the second one, {unclear:,} pairs of answers are unclear."
