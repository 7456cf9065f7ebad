"""How fast and for how long `sagebird load` is to send, as it was asked or as is useful."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from service.cli.load_target import LoadTarget, refuse
from service.load.plan import Plan, RateStage, RequestBody, invocations_path
from service.load.tally import SHORT_S, interval_for

LONGEST_S = 86_400.0
_USUAL_S = 10.0
_QUICK_CALLERS, _QUICK_S = 4, 5.0


@dataclass(frozen=True, slots=True)
class AskedPace:
    """The options of the command; None for what was not said."""

    rate: float | None
    concurrency: int | None
    stages: tuple[RateStage, ...]
    duration_s: float | None
    requests: int | None
    poisson: bool

    def check(self, aws: bool) -> None:
        """Refuse what makes no sense together."""
        if [self.rate is None, self.concurrency is None, not self.stages].count(False) > 1:
            refuse("Give either --rate or --stages (open loop) or --concurrency (closed loop).")
        if aws and self._is_unsaid:
            refuse("Give --rate or --concurrency: what AWS bills is said on purpose.")
        if self.poisson and self.rate is None and not self.stages:
            refuse("--poisson goes with --rate or --stages.")
        if self.stages and (self.duration_s is not None or self.requests is not None):
            refuse("--stages say how long: leave --duration and --requests out.")
        if sum(stage.duration_s for stage in self.stages) > LONGEST_S:
            refuse("--stages take at most a day together.")

    @property
    def _is_unsaid(self) -> bool:
        return self.rate is None and self.concurrency is None and not self.stages

    def choose(self, example: RequestBody | None) -> "Pace":
        """The pace that was asked for, or a quick useful one, which is then told: nobody asked for it.

        `example` is the endpoint's, if that is what is sent.
        """
        if self.stages:
            most_s = sum(stage.duration_s for stage in self.stages)
            rate = max(stage.rate for stage in self.stages)
            return Pace(rate, None, most_s, interval_for(most_s), None, self.poisson, self.stages)
        if self.duration_s is not None or self.requests is None:
            most_s = self.duration_s or (_QUICK_S if self._is_unsaid else _USUAL_S)
            interval_s = interval_for(most_s)
        else:
            most_s = LONGEST_S
            interval_s = SHORT_S if self.rate is None else interval_for(max(self.requests / self.rate, 0.1))
        if self._is_unsaid:
            _tell_quick(most_s, self.requests, example)
        callers = _QUICK_CALLERS if self._is_unsaid else self.concurrency
        return Pace(self.rate, callers, most_s, interval_s, self.requests, self.poisson)


@dataclass(frozen=True, slots=True)
class Pace:
    """How many wait for answers (None in an open loop), how long at most, and how finely time is kept."""

    rate: float | None
    callers: int | None
    most_s: float
    interval_s: float
    requests: int | None
    poisson: bool
    stages: tuple[RateStage, ...] = ()

    def plan(
        self,
        target: LoadTarget,
        bodies: tuple[RequestBody, ...],
        headers: Mapping[str, str],
        connections: int,
    ) -> Plan:
        """A plan that sends these bodies to the target at this pace, with no warm-up."""
        return Plan(
            place=target.place,
            path=invocations_path(target.place, target.endpoint),
            headers=headers,
            bodies=bodies,
            rate=self.rate,
            connections=self.callers or connections,
            duration_s=self.most_s,
            interval_s=self.interval_s,
            poisson=self.poisson,
            most_requests=self.requests,
            region=target.region,
            stages=self.stages,
        )


def _tell_quick(most_s: float, requests: int | None, example: RequestBody | None) -> None:
    ends = [f"{most_s:g} s"] if most_s < LONGEST_S else []
    ends += [f"{requests:,} requests"] if requests else []
    text = f"Neither --rate nor --concurrency is given: {_QUICK_CALLERS} callers, {' or '.join(ends)}"
    what = "" if example is None else f", with the endpoint's example ({example.content_type})"
    sys.stderr.write(f"{text}{what}.\n")
