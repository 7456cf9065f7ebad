"""What the open pages of one gateway are sent: one looks for all of them, once a second while there are any.

Each page gets what changed, and all of it when it comes or fell behind; nothing waits for one that is slow.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import orjson

from service.errors import SagebirdError
from service.log import Trouble, get_logger

TICK_S: Final = 1.0
_NEVER: Final = -2
_NOTHING_NEW: Final = b": nothing new\n\n"

News = Mapping[str, Mapping[str, Any]]
"""Things by kind and name, fit for JSON: what is sent is those that are others than before."""


class Live:
    """Looks, as long as somebody follows, and hands each the same bytes. Belongs to one event loop."""

    def __init__(
        self, look: Callable[[], News], is_over: Callable[[], bool] = lambda: False, tick_s: float = TICK_S
    ) -> None:
        """`look` may block; it is called in a thread. Nobody is kept once it `is_over`."""
        self._look = look
        self._is_over = is_over
        self._tick_s = tick_s
        self._turned = asyncio.Condition()
        self._turn = 0
        self._news: News = {}
        self._changes = _NOTHING_NEW
        self._followers = 0
        self._producer: asyncio.Task[None] | None = None
        self._log = get_logger("sagebird.gateway")
        self._trouble = Trouble(self._log, "dashboard cannot look")

    async def follow(self, is_good: Callable[[], bool] = lambda: True) -> AsyncIterator[bytes]:
        """Server-sent events, until the server stops, nobody asks for more, or his key `is_good` no more."""
        self._followers += 1
        if self._producer is None:
            self._news = {}
            self._producer = asyncio.create_task(self._produce())
        seen = _NEVER
        try:
            while not self._is_over() and is_good():
                if not self._news or seen == self._turn:
                    async with self._turned:
                        await self._turned.wait()
                    continue
                is_behind, seen = seen != self._turn - 1, self._turn
                yield _event(self._news) if is_behind else self._changes
        finally:
            self._followers -= 1

    async def _produce(self) -> None:
        try:
            while self._followers and not self._is_over():
                await self._look_once()
                await self._tell()
                await asyncio.sleep(self._tick_s)
        finally:
            self._producer = None  # in the same step in which it was seen that nobody follows
        await self._tell()

    async def _look_once(self) -> None:
        try:
            news = await asyncio.to_thread(self._look)
            self._changes, self._news = _event(_changed(self._news, news)), news
            self._trouble.end()
        except (SagebirdError, OSError, sqlite3.Error) as error:
            self._changes = _NOTHING_NEW
            self._trouble.meet(str(error))
        except Exception:  # the edge of a loop that must outlive one bad look
            self._changes = _NOTHING_NEW
            self._log.exception("dashboard could not look")

    async def _tell(self) -> None:
        async with self._turned:
            self._turn += 1
            self._turned.notify_all()


def _changed(before: News, now: News) -> News:
    found = {
        kind: {name: thing for name, thing in things.items() if before.get(kind, {}).get(name) != thing}
        for kind, things in now.items()
    }
    return {kind: things for kind, things in found.items() if things}


def _event(news: News) -> bytes:
    return b"data: " + orjson.dumps(news) + b"\n\n" if news else _NOTHING_NEW
