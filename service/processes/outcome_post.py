"""What one gateway hands in of predictions and outcomes, and has answered: the keeper's desk does the work.

A gateway reads no outcome and opens no file: it passes bodies on. Those that come while one waits for its
answer are handed in together, so that many small reports cost one transaction. Reporters take turns: one who
has a lot to report makes nobody else wait for all of it.
"""

import asyncio
import json
import random
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import time
from typing import NamedTuple

from service.domain.caller import Caller
from service.errors import SagebirdError, Unavailable
from service.http.asgi import Headers
from service.http.reply import Asked, Reply
from service.invoke.directory import Directory
from service.invoke.recording import Recorder
from service.invoke.settling import Settling
from service.invoke.shadow_calls import ShadowCalls
from service.log import Trouble, get_logger
from service.processes.desk import Desk
from service.processes.outcome_clerk import AGREEMENTS, ASK_BOTH, EXPERIMENT, PREDICTIONS, PROMOTE, REPORTS
from service.store.outcome_messages import pack_predictions
from service.store.outcome_tables import Predicted

_FLUSH_S = 0.25
_AT_ONCE = 500  # predictions: it takes a millisecond to pack them
_MOST_BYTES = 1 << 16  # of reports that are handed in together; more makes others wait longer
_MOST_WAITING_BYTES = 16 << 20
_MOST_OF_ONE_BYTES = 8 << 20  # of one reporter at one endpoint
_PATIENCE_S = 30.0  # of a report until it is kept
_LAST_S = 2.0
_JSON: Headers = [(b"Content-Type", b"application/json")]
_STOPPING = "The server is stopping: try again."
_BUSY = "More outcomes are reported than can be kept at once: try again."


class _Waiting(NamedTuple):
    endpoint: str
    content_type: str
    body: bytes
    answer: asyncio.Future[Reply]
    reporter: str

    @property
    def whose(self) -> tuple[str, str]:
        """Whose turn it is in."""
        return self.endpoint, self.reporter


class OutcomePost:
    """Hands in at a desk."""

    def __init__(self, desk: Desk, recorder: Recorder, caller: Caller) -> None:
        """`caller` is in whose name predictions are handed in."""
        self.recorder = recorder
        self._desk = desk
        self._caller = caller
        self._left: tuple[list[Predicted], dict[str, int]] | None = None  # what nobody has taken yet
        self._waiting: dict[tuple[str, str], deque[_Waiting]] = {}  # whose turn is next comes first
        self._waiting_bytes = Counter[tuple[str, str]]()  # of those on their way, too
        self._sending: asyncio.Task[None] | None = None
        self._shadow: ShadowCalls | None = None
        self._trouble = Trouble(get_logger("sagebird.outcomes"), "predictions not handed in")

    def shadow(
        self, directory: Callable[[], Directory], in_flight: Callable[[], int], settling: Settling
    ) -> None:
        """Have live calls asked of second variants, too, where that is wanted. For the event loop.

        `in_flight` calls are served at the moment, `settling` tells which are over.
        """
        draw = random.Random().random  # noqa: S311 - picks a sample, keeps no secret
        self._shadow = ShadowCalls(directory, draw, time, in_flight, settling)

    async def report(self, endpoint: str, content_type: str, body: bytes, reporter: str = "") -> Reply:
        """Have outcomes kept; whoever has a 200 has them kept for good."""
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(endpoint, content_type, body, answer, reporter)
        own, size = waiting.whose, self._waiting_bytes
        if size[own] + len(body) > _MOST_OF_ONE_BYTES or size.total() + len(body) > _MOST_WAITING_BYTES:
            return _unavailable(_BUSY)
        self._waiting.setdefault(own, deque()).append(waiting)
        size[own] += len(body)
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await answer
        except TimeoutError:
            return _unavailable(_BUSY)
        finally:
            size[own] -= len(body)
            if not size[own]:
                del size[own]

    async def experiment(self, endpoint: str, asked: Mapping[str, str]) -> Reply:
        """The document of an endpoint's experiment."""
        body = json.dumps(dict(asked)).encode()
        return await self._ask(self._caller, [(EXPERIMENT, endpoint.encode())], body)

    async def promote(self, caller: Caller, endpoint: str, body: bytes) -> Reply:
        """Have a variant promoted on behalf of a caller."""
        return await self._ask(caller, [(PROMOTE, endpoint.encode())], body)

    async def ask_both(self, caller: Caller, endpoint: str, body: bytes) -> Reply:
        """Have a share of calls asked of a second variant on behalf of a caller."""
        return await self._ask(caller, [(ASK_BOTH, endpoint.encode())], body)

    async def run(self) -> None:
        """Hand in what is recorded, again and again, until cancelled."""
        asking = None if self._shadow is None else asyncio.create_task(self._shadow.run())
        try:
            while True:
                await asyncio.sleep(_FLUSH_S)
                await self.flush()
                await self._flush_agreements()
        finally:
            if asking is not None:
                asking.cancel()

    async def _flush_agreements(self) -> None:
        if self._shadow is None:
            return
        self._shadow.follow()
        if found := self._shadow.take():
            told = {name: agreement.told() for name, agreement in found.items()}
            reply = await self._ask(self._caller, [(AGREEMENTS, b"")], json.dumps(told).encode())
            if reply.status != 200:
                self._trouble.meet(reply.body.decode("utf-8", "replace"))
                self._shadow.put_back(found)

    async def flush(self) -> None:
        """Hand in what is recorded, some at a time: so long as that takes, calls wait."""
        while True:
            if self._left is None:
                self._left = self.recorder.take(_AT_ONCE)
            if not any(self._left):
                self._left = None
                self._trouble.end()
                return
            reply = await self._ask(self._caller, [(PREDICTIONS, b"")], pack_predictions(*self._left))
            if reply.status != 200:
                self._trouble.meet(reply.body.decode("utf-8", "replace"))
                return
            self._left = None

    async def close(self) -> None:
        """Hand in the last of it, if somebody is there to take it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_S):
                await self.flush()

    async def _send(self) -> None:
        try:
            while some := self._take_some():
                for each, reply in zip(some, await self._hand_in(some), strict=True):
                    if not each.answer.done():
                        each.answer.set_result(reply)
        finally:
            self._sending = None

    def _take_some(self) -> list[_Waiting]:
        """What is handed in next: one report of each who waits, and again, as long as there is room."""
        some: list[_Waiting] = []
        size = 0
        while self._waiting:
            whose, line = next(iter(self._waiting.items()))
            first = line[0]
            if some and size + len(first.body) > _MOST_BYTES:
                break
            del self._waiting[whose]
            line.popleft()
            if line:
                self._waiting[whose] = line  # at the end
            if not first.answer.done():  # else nobody waits for it any more
                some.append(first)
                size += len(first.body)
        return some

    async def _hand_in(self, some: list[_Waiting]) -> list[Reply]:
        parts = [
            (
                each.endpoint.encode(),
                b"%d %b %b"
                % (len(each.body), each.reporter.encode(), each.content_type.encode("latin-1", "replace")),
            )
            for each in some
        ]
        body = b"".join(each.body for each in some)
        reply = await self._ask(self._caller, [(REPORTS, b""), *parts], body)
        if reply.status != 200:
            return [reply] * len(some)
        return [
            _unavailable(document["message"])
            if status == 503
            else Reply(status, [*_JSON], json.dumps(document).encode())
            for status, document in json.loads(reply.body)
        ]

    async def _ask(self, caller: Caller, headers: Headers, body: bytes) -> Reply:
        """The desk's answer, or that there is none. Raises nothing."""
        try:
            if not self._desk.is_open:
                raise Unavailable(_STOPPING)
            return await self._desk.hand_in(caller, Asked(headers, body, ""))
        except SagebirdError as error:
            return _unavailable(error.message)


def _unavailable(message: str) -> Reply:
    return Reply(503, [*_JSON, (b"Retry-After", b"1")], json.dumps({"message": message}).encode())
