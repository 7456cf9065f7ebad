"""How far a share of random picks may be from its probability: quantiles of the binomial distribution."""

from math import exp, lgamma, log, sqrt

_TAIL = 0.025
_REACH = 10.0


def bounds(count: int, probability: float) -> tuple[int, int]:
    """The counts between which 95 % of draws of `count` picks lie: the 2.5 % and 97.5 % quantiles.

    Args:
        count: picks, at least 0.
        probability: of each pick, 0 to 1.
    """
    if probability <= 0 or count == 0:
        return 0, 0
    if probability >= 1:
        return count, count
    mean, deviation = count * probability, sqrt(count * probability * (1 - probability))
    # Ten deviations and a few picks more hold all but 1e-20 of the probability, however few the picks are.
    first = max(0, int(mean - _REACH * deviation) - 20)
    last = min(count, int(mean + _REACH * deviation) + 20)
    passed, lower = 0.0, first
    found_lower = False
    for picks in range(first, last + 1):
        passed += exp(_log_chance(count, picks, probability))
        if not found_lower and passed >= _TAIL:
            lower, found_lower = picks, True
        if passed >= 1 - _TAIL:
            return lower, picks
    return lower, last


def _log_chance(count: int, picks: int, probability: float) -> float:
    ways = lgamma(count + 1) - lgamma(picks + 1) - lgamma(count - picks + 1)
    return ways + picks * log(probability) + (count - picks) * log(1 - probability)
