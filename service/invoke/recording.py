"""Predictions that outcomes may be reported of, until they are handed on: so many at most, the rest counted.

A call is recorded where it says for which user it is or which id it has, or where all are. Nothing is written
in here: what a request pays for is one tuple in a list.
"""

from collections import Counter
from collections.abc import Callable
from typing import Literal

from service.invoke.directory import EMPTY, Directory, Route
from service.invoke.invocation import Invocation
from service.store.outcome_tables import Arm, Predicted

MOST_ANSWER_BYTES = 1024
"""Longer answers are no part of what is recorded: they can be held against no label."""

_MOST = 10_000

Which = Literal["off", "asked", "all"]
_Noted = tuple[Route, str, bool, str, bytes | None, float, bytes]


class Recorder:
    """What one gateway has recorded and not handed on."""

    def __init__(
        self,
        directory: Callable[[], Directory],
        now_s: Callable[[], float],
        which: Which = "asked",
        most: int = _MOST,
    ) -> None:
        """`which` calls are recorded: none, those that ask for it, or all; `now_s` is seconds since 1970."""
        self._directory = directory
        self._now_s = now_s
        self._most = most
        self._noted: list[_Noted] = []
        self._dropped: Counter[str] = Counter()
        self.asked = which != "off"
        self.all = which == "all"

    def wants(self, invocation: Invocation) -> bool:
        """Whether predictions of calls like this one are recorded."""
        if self.all:
            return True
        return self.asked and (invocation.user is not None or invocation.inference_id is not None)

    def note(
        self, route: Route | None, asked: Invocation, variant: str, inference_id: str, answer: bytes
    ) -> None:
        """Record the prediction of a call that a route led to a variant; None for the route of the moment."""
        if route is None or variant not in route.named:
            directory = self._directory()
            route = directory.routes.get(asked.endpoint or directory.default or "")
            if route is None or variant not in route.named:
                return  # the endpoint is gone
        if len(self._noted) >= self._most:
            self._dropped[route.endpoint] += 1
            return
        drawn = asked.target_variant is None
        body = answer if len(answer) <= MOST_ANSWER_BYTES else b""
        self._noted.append((route, variant, drawn, inference_id, asked.user, self._now_s(), body))

    def take(self, most: int = _MOST) -> tuple[list[Predicted], dict[str, int]]:
        """What was recorded and not taken yet, the oldest first, and how many were not, by endpoint."""
        noted, self._noted = self._noted[:most], self._noted[most:]
        dropped, self._dropped = dict(self._dropped), Counter()
        arms: dict[tuple[int, str, bool], Arm] = {}
        return [_predicted(each, arms) for each in noted], dropped


def nothing_recorded() -> Recorder:
    """For faces whose calls nobody asks about."""
    return Recorder(lambda: EMPTY, lambda: 0.0, "off")


def _predicted(noted: _Noted, arms: dict[tuple[int, str, bool], Arm]) -> Predicted:
    route, variant, drawn, inference_id, user, at_s, body = noted
    key = (id(route), variant, drawn)
    arm = arms.get(key)
    if arm is None:
        arm = arms[key] = _arm(route, variant, drawn)
    return Predicted(arm, inference_id, None if user is None else user.decode("latin-1"), at_s, _text(body))


def _arm(route: Route, variant: str, drawn: bool) -> Arm:
    (generation, _), *_ = route.targets
    weights = tuple((name, target.variant.weight) for name, target in route.named.items())
    return Arm(route.endpoint, generation, weights, variant, drawn)


def _text(body: bytes) -> str | None:
    try:
        return body.decode() or None
    except UnicodeDecodeError:
        return None
