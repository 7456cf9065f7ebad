"""By how much gateways have worked from one look to the next: for which variants, and of how much CPU."""

from pathlib import Path
from typing import NamedTuple

import psutil

from service.observe.counts import Pair, Snapshot, read_all


class GatewayWork(NamedTuple):
    """What gateways have done between two looks, in seconds.

    `cpu_s` is what their processes have used of CPUs, for whatever; `model_s`, by variant, how long requests
    were at its model: of requests that were answered together each counts all of that time.
    """

    cpu_s: float
    model_s: dict[Pair, float]

    def cpu_of(self, pairs: set[Pair]) -> dict[Pair, float]:
        """What models of these variants, which gateways run themselves, have used of the CPUs at most.

        No more than requests were at them, and together no more than gateways have used.
        """
        model_s = {pair: seconds for pair, seconds in self.model_s.items() if pair in pairs}
        total_s = sum(model_s.values())
        share = min(1.0, self.cpu_s / total_s) if total_s else 0.0
        return {pair: seconds * share for pair, seconds in model_s.items()}


class GatewayWatch:
    """Sees to what gateways have done, who write their counts into the folder `metrics`."""

    def __init__(self, metrics: Path) -> None:
        self._metrics = metrics
        self._known: dict[str, Snapshot] = {}
        self._cpu_s: dict[int, float] = {}

    def look(self) -> GatewayWork:
        """What they have done since the last look; the first one is told what they have done so far."""
        model_s: dict[Pair, float] = {}
        cpu_s: dict[int, float] = {}
        for snapshot in read_all(self._metrics):
            known = self._known.get(snapshot.slot)
            before = known.counts.invocations if known is not None and known.born == snapshot.born else {}
            for pair, counter in snapshot.counts.invocations.items():
                grown_s = counter.model_seconds - (before[pair].model_seconds if pair in before else 0.0)
                if grown_s > 0.0:
                    model_s[pair] = model_s.get(pair, 0.0) + grown_s
            self._known[snapshot.slot] = snapshot
            if snapshot.live:
                cpu_s[snapshot.pid] = _cpu_s(snapshot.pid)
        grown = (max(0.0, used_s - self._cpu_s.get(pid, 0.0)) for pid, used_s in cpu_s.items())
        work = GatewayWork(sum(grown), model_s)
        self._cpu_s = cpu_s
        return work


def _cpu_s(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:  # it has just ended
        return 0.0
    return float(times.user + times.system)
