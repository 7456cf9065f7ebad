"""The process that sends: reads a plan from standard input, writes JSON lines of how it goes and how it went.

It says `{"ready": true}`, waits for a second line with the time to start at, and ends early when its input
ends: because it was told to, or because whoever started it is gone.
"""

import asyncio
import gc
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from itertools import cycle
from time import monotonic
from typing import Any

import uvloop

from service.load import plan as plans
from service.load.aws import Signer
from service.load.engine import Engine
from service.load.loops import ClosedLoop, OpenLoop
from service.load.plan import Plan

_GLANCE_S = 0.5
_SIGNATURE_LASTS_S = 60.0


def main() -> None:
    """Carry out the plan that comes on standard input."""
    order = json.loads(sys.stdin.buffer.readline())
    plan = plans.load(order["plan"])
    next_request = _make_requests(plan)
    _say({"ready": True})
    line = sys.stdin.buffer.readline()
    if not line:
        return
    start_s = json.loads(line)["start_s"]
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(plan, start_s, next_request, order["part"], order["parts"]))


async def _run(plan: Plan, start_s: float, next_request: Callable[[], bytes], part: int, parts: int) -> None:
    engine: Engine
    if plan.rate is None:
        engine = ClosedLoop(plan, start_s, next_request)
    else:
        engine = OpenLoop(plan, start_s, next_request, part, parts)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_reader(sys.stdin)
        engine.stop()

    loop.add_reader(sys.stdin, stop)
    glances = asyncio.create_task(_tell(engine))
    await engine.run()
    glances.cancel()
    loop.remove_reader(sys.stdin)
    _say({"tally": engine.tally.dump(), "counted_s": engine.counted_s, "cpu_s": engine.cpu_s})


async def _tell(engine: Engine) -> None:
    while True:
        await asyncio.sleep(_GLANCE_S)
        _say({"glance": asdict(engine.glance())})


def _make_requests(plan: Plan) -> Callable[[], bytes]:
    """What gives the next request's bytes; bodies take turns."""
    if plan.region is not None:
        signer = Signer(plan.region)
        return SignedRequests(plan, lambda body: signer.sign(plan, body), monotonic)
    return cycle([plans.wire(plan, body) for body in plan.bodies]).__next__


class SignedRequests:
    """Requests that are signed once a minute: a signature is good for five, and costs more than a request."""

    def __init__(
        self, plan: Plan, sign: Callable[[plans.RequestBody], bytes], clock: Callable[[], float]
    ) -> None:
        """`sign` gives a body's signed request, `clock` the time in seconds."""
        self._sign = sign
        self._clock = clock
        self._bodies = cycle(enumerate(plan.bodies))
        self._signed: list[tuple[float, bytes]] = [(-_SIGNATURE_LASTS_S, b"")] * len(plan.bodies)

    def __call__(self) -> bytes:
        """The next request's bytes."""
        number, body = next(self._bodies)
        signed_s, request = self._signed[number]
        now_s = self._clock()
        if now_s - signed_s >= _SIGNATURE_LASTS_S:
            request = self._sign(body)
            self._signed[number] = (now_s, request)
        return request


def _say(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
