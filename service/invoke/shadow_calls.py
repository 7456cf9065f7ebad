"""Asks a second variant the rows of some live calls, in the background, and notes how its answers differ.

No caller waits for it: a call is noted once it is over, in a short line beyond which nothing is taken, and
asked again while the process has nothing else to do, one call at a time. What a variant answers here is in no
count of requests, and rows are let go of as soon as both answers are there.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from service.errors import SagebirdError, UnclearAnswer
from service.experiments.live_agreement import LiveAgreement, VariantPair, rows_of_both
from service.hosting.host import Answer, invoke_whole
from service.http.failures import log_bug
from service.invoke.directory import Directory, Route, Target
from service.invoke.settling import Settled, Settling

MOST_BYTES: Final = 16_384
"""Of a request and its answer: reading more of them would hold up others."""

MOST_WAITING: Final = 100

_PAUSE_S: Final = 0.02  # between two calls, which bounds what they cost
_BUSY_S: Final = 0.05
_PATIENCE: Final = 20  # looks for a moment in which nobody else is served


class _Asked(NamedTuple):
    """A call that is to be asked of another variant: its route, the variant that answered, and when."""

    route: Route
    settled: Settled
    at_s: float


class ShadowCalls:
    """Those of one gateway."""

    def __init__(
        self,
        directory: Callable[[], Directory],
        draw: Callable[[], float],
        now_s: Callable[[], float],
        in_flight: Callable[[], int],
        settling: Settling,
    ) -> None:
        """`draw` gives numbers in [0, 1), `now_s` seconds since 1970; `in_flight` calls are served now."""
        self._directory = directory
        self._draw = draw
        self._now_s = now_s
        self._in_flight = in_flight
        self._settling = settling
        self._waiting: deque[_Asked] = deque()
        self._there = asyncio.Event()
        self._found: dict[str, LiveAgreement] = {}

    def follow(self) -> None:
        """Listen to calls only where some are wanted: others are answered in fewer steps."""
        wanted, listens = bool(self._directory().shadow_shares), self.note in self._settling.taps
        if wanted and not listens:
            self._settling.taps = (*self._settling.taps, self.note)
        elif listens and not wanted:
            self._settling.taps = tuple(tap for tap in self._settling.taps if tap != self.note)

    def note(self, settled: Settled) -> None:
        """Take a call that is over, if it is one of the share that is wanted."""
        asked, directory = settled.invocation, self._directory()
        name = asked.endpoint or directory.default or ""
        share = directory.shadow_shares.get(name)
        if share is None or self._draw() >= share.share or not isinstance(settled.outcome, Answer):
            return
        route = directory.routes.get(name)
        if route is None or not _may_be_asked(route, settled) or _generation(route) != share.generation:
            return
        size = len(asked.call.body) + len(settled.outcome.body)
        if len(self._waiting) >= MOST_WAITING or size > MOST_BYTES:
            self._agreement(route).dropped += 1
            return
        self._waiting.append(_Asked(route, settled, self._now_s()))
        self._there.set()

    def take(self) -> dict[str, LiveAgreement]:
        """What was found out since this was asked last, by endpoint."""
        found, self._found = self._found, {}
        return found

    def put_back(self, found: Mapping[str, LiveAgreement]) -> None:
        """Have what was taken be taken again: nobody heard of it."""
        for name, agreement in found.items():
            newer = self._found.get(name)
            if newer is None:
                self._found[name] = agreement
            elif newer.generation == agreement.generation:
                agreement.add(newer)
                self._found[name] = agreement

    async def run(self) -> None:
        """Ask, one call after the other, until cancelled."""
        while True:
            await self._there.wait()
            asked = self._waiting.popleft()
            if not self._waiting:
                self._there.clear()
            await asyncio.sleep(_PAUSE_S)
            try:
                await self._ask(asked)
            except Exception as error:  # the next one is asked all the same
                log_bug("shadow call failed", error)

    async def _ask(self, asked: _Asked) -> None:
        variant, invocation = asked.settled.variant, asked.settled.invocation
        others = [
            target for name, target in asked.route.named.items() if name != variant and _is_free(target)
        ]
        if not others or not await self._is_quiet():
            self._agreement(asked.route).dropped += 1
            return
        other = others[int(self._draw() * len(others))]
        swapped = other.variant.name < variant
        pair = (other.variant.name, variant) if swapped else (variant, other.variant.name)
        try:
            answer = await invoke_whole(other.replica, invocation.call.of_nobody())
        except SagebirdError:
            self._agreement(asked.route).tally(pair).failed += 1
            return
        self._compare(asked, pair, answer, swapped=swapped)

    def _compare(self, asked: _Asked, pair: VariantPair, answer: Answer, *, swapped: bool) -> None:
        first = asked.settled.outcome
        if not isinstance(first, Answer):
            return
        one, two = (answer.body, first.body) if swapped else (first.body, answer.body)
        tally, invocation = self._agreement(asked.route).tally(pair), asked.settled.invocation
        if len(answer.body) > MOST_BYTES:
            tally.unclear += 1
            return
        try:
            said = rows_of_both(invocation.call.body, invocation.call.content_type, one, two)
        except UnclearAnswer:
            tally.unclear += 1
            return
        tally.meet(said, asked.at_s, invocation.inference_id)

    async def _is_quiet(self) -> bool:
        """Wait for a moment in which nobody else is served; False if there is none for a while."""
        for _ in range(_PATIENCE):
            if not self._in_flight():
                return True
            await asyncio.sleep(_BUSY_S)
        return False

    def _agreement(self, route: Route) -> LiveAgreement:
        generation = _generation(route)
        found = self._found.get(route.endpoint)
        if found is None or found.generation != generation:
            found = self._found[route.endpoint] = LiveAgreement(generation)
        return found


def _may_be_asked(route: Route, settled: Settled) -> bool:
    """Whether others may be asked the same: no call of a session, which others do not know."""
    asked = settled.invocation
    return not route.multi and not route.direct and asked.target_variant is None and not asked.call.session_id


def _is_free(target: Target) -> bool:
    """Whether a variant may be asked beside its callers: it is loaded, and refuses nobody for it."""
    return target.variant.eager and target.variant.most_calls is None


def _generation(route: Route) -> int:
    (generation, _), *_ = route.targets
    return generation
