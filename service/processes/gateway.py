"""The life of one gateway process: from its first model to its last answer, over parts that it is handed."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from service.faces.front_door import Gateway
from service.hosting.inline import InlineHost
from service.hosting.memory import keep_big_arrays_apart, keep_trimmed, set_apart
from service.hosting.runtimes.preload import reseed
from service.http.accepting import Place
from service.http.edge import speaker
from service.http.server import Server
from service.invoke.failed import FailureLog
from service.invoke.follow import Follower
from service.invoke.round import Round
from service.observe.counts import Registry
from service.observe.failures import RecentFailures
from service.observe.flushing import keep_flushed
from service.processes.key_watch import KeyWatch
from service.processes.outcome_post import OutcomePost
from service.processes.slices import ask_for_short_slices
from service.settings import Settings
from service.store.store import Store

_new_event_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
with suppress(ImportError):  # not on every platform; here, so that forked processes share it
    import uvloop

    _new_event_loop = uvloop.new_event_loop

# How long a thread that burns CPU in Python (a model being loaded, or a slow one) may hold up the event loop.
# Each system call of a request waits anew: with Python's own 5 ms a request takes tens of them.
_SWITCH_S = 0.0005


@dataclass(frozen=True, slots=True)
class GatewayParts:
    """What one gateway process is made of."""

    store: Store
    registry: Registry
    host: InlineHost
    follower: Follower
    gateway: Gateway
    rounds: Round
    post: OutcomePost | None = None
    failures: FailureLog | None = None

    def begin_draining(self) -> None:
        """Have every answer close its connection."""
        self.gateway.draining = True


def run_gateway(settings: Settings, place: Place, parent_pid: int, build: Callable[[], GatewayParts]) -> int:
    """One gateway process, until SIGTERM or until the parent is gone. `build` is called on its event loop."""
    keep_big_arrays_apart()
    reseed()
    sys.setswitchinterval(_SWITCH_S)
    ask_for_short_slices()  # callers wait for it, and models compute beside it
    with asyncio.Runner(loop_factory=_new_event_loop) as runner:
        return runner.run(_live(settings, place, parent_pid, build))


async def _live(settings: Settings, place: Place, parent_pid: int, build: Callable[[], GatewayParts]) -> int:
    parts = build()
    set_apart()  # before models are loaded: they come and go
    speaks = speaker(settings, parts.gateway, parts.rounds)
    server = Server(parts.gateway, settings.drain_s, parts.begin_draining, speaks, place)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    failures = RecentFailures(settings.data / "metrics", place.slot)
    logging.getLogger().addHandler(failures)
    keys = None if parts.gateway.follow_keys is None else KeyWatch(parts.store, parts.gateway.follow_keys)
    if keys is not None:
        keys.begin()
    parts.host.compiler.pause()  # the processors are for what callers wait for
    await parts.follower.begin()
    tasks = [
        asyncio.create_task(parts.follower.run()),
        asyncio.create_task(keep_flushed(parts.registry.flush, failures.write)),
        asyncio.create_task(keep_trimmed(connections=lambda: len(server.server_state.connections))),
        asyncio.create_task(server.leave_with(parent_pid)),
    ]
    if parts.post is not None:
        tasks.append(asyncio.create_task(parts.post.run()))
    await _warm_up(parts, settings.warmup_grace_s)
    await server.serve([place.listener])
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if keys is not None:
        keys.close()
    await _close(parts)
    return 0


async def _warm_up(parts: GatewayParts, grace_s: float) -> None:
    """Wait until what is declared has loaded, but no longer than the grace."""
    settled = asyncio.create_task(parts.follower.settle())
    await asyncio.wait([settled], timeout=grace_s)
    settled.cancel()  # calls waited in the socket's queue meanwhile, instead of on a model
    parts.host.compiler.resume()
    # What was settled before the keeper heard of this gateway must not be missed by its first call.
    await parts.follower.catch_up()


async def _close(parts: GatewayParts) -> None:
    if parts.post is not None:
        await parts.post.close()
    await parts.follower.close()
    await asyncio.to_thread(parts.registry.flush)
    await parts.host.close()
    if parts.failures is not None:
        await asyncio.to_thread(parts.failures.close)
    parts.store.close()
