"""Whether traffic is shared out as the weights say, looked at any time, over changes of the weights.

For one variant of share w the alternatives are that the odds of its being picked are another's: e^tilt as
high. The evidence of each is a likelihood ratio, and a martingale whatever the weights do, as each pick is
held against the weights of its moment; their mean by a prior is one, too. Exact from the first pick on.

Sources: Lindon, Malek, "Anytime-Valid Inference for Multinomial Count Data" (2022), which has a Dirichlet
mixture for weights that never change; a mixture over tilts has one alternative for all periods instead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, log, log1p

ALARM = 0.01
"""Of all experiments whose weights are kept, so many are ever told that they are not."""

_SIZES = tuple(0.01 * 1.5**power for power in range(14))
_USUAL = 0.2
TILTS = tuple(sign * size for size in _SIZES for sign in (1, -1))
_PRIOR = tuple(size * exp(-((size / _USUAL) ** 2) / 2) + 0.02 for size in _SIZES for _ in (1, -1))
LOG_PRIOR = tuple(log(weight / sum(_PRIOR)) for weight in _PRIOR)
"""Of each tilt: most of it near those that a few lost or repeated requests make."""


@dataclass(frozen=True, slots=True)
class Picks:
    """Requests that the weights shared out while none of them changed, by the variant."""

    weights: Mapping[str, float]
    counts: Mapping[str, int]


def mismatch_p_value(periods: Sequence[Picks]) -> float:
    """Below `ALARM` at any time in one of a hundred experiments at most, if weights are kept."""
    names = sorted({name for period in periods for name in (*period.weights, *period.counts)})
    if not names:
        return 1.0
    logs = [
        prior + _log_evidence(name, tilt, periods)
        for name in names
        for tilt, prior in zip(TILTS, LOG_PRIOR, strict=True)
    ]
    return exp(log(len(names)) - max(log(len(names)), _log_sum(logs)))


def _log_evidence(name: str, tilt: float, periods: Sequence[Picks]) -> float:
    total = 0.0
    for period in periods:
        share = _share(period.weights, name)
        picked, count = period.counts.get(name, 0), sum(period.counts.values())
        if share <= 0 and picked:
            return inf
        if 0 < share < 1:
            total += picked * tilt - count * log1p(share * (exp(tilt) - 1))
    return total


def _share(weights: Mapping[str, float], name: str) -> float:
    whole = sum(weights.values())
    return weights.get(name, 0.0) / whole if whole else 0.0


def _log_sum(logs: Sequence[float]) -> float:
    most = max(logs)
    return most if most == inf else most + log(sum(exp(each - most) for each in logs))
