"""A closed-loop HTTP load generator: keep-alive connections, every answer checked.

The connections are those of `sagebird load`; what this adds for tests is answers that are known beforehand,
connections that come back whatever happens, and a time for every failure.

Run as a program, so that it shares no event loop with what it measures: it reads a Plan (JSON) from standard
input, writes `running` once every connection had an answer, and at the end an Outcome (JSON). SIGTERM ends it
early, after the answers that are under way. Times are those of time.monotonic(), the same in every process.
"""

import asyncio
import base64
import json
import os
import random
import signal
import subprocess
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from time import monotonic
from typing import Any

from service.load.connection import ClientConnection, Response

_RETRY_S = 0.02
_COLUMNS = {"sent_s": "d", "took_s": "d", "given": "b"}  # of an outcome's samples, and what they are made of


@dataclass(frozen=True)
class Shot:
    """One request, and the bodies that are right answers to it."""

    path: str
    body: str
    headers: Mapping[str, str]
    answers: tuple[str, ...]

    def wire(self, host: str, port: int, fresh: bool) -> bytes:
        """The request's bytes."""
        lines = [f"POST {self.path} HTTP/1.1", f"Host: {host}:{port}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += ["Connection: close"] if fresh else []
        return "\r\n".join([*lines, f"Content-Length: {len(self.body)}", "", self.body]).encode()


@dataclass(frozen=True)
class Plan:
    """What to send: `shots` at random, over `concurrency` connections, for `duration_s` or `count` requests.

    `fresh` makes a new connection for each request; `every_s` has each connection send at that pace, more or
    less, instead of as soon as it has its answer; `samples` asks for the time of every answer and for what it
    was.
    """

    port: int
    shots: tuple[Shot, ...]
    concurrency: int = 1
    duration_s: float = 3600.0
    count: int = sys.maxsize
    fresh: bool = False
    every_s: float = 0.0
    samples: bool = False
    timeout_s: float = 30.0
    host: str = "127.0.0.1"


@dataclass(frozen=True)
class Failure:
    """A request that got no answer or a wrong one; `port` is the client's own, 0 if it never connected."""

    port: int
    started_s: float
    ended_s: float
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    If samples were asked for, each right answer has its place in three columns: when its request was sent,
    seconds until it came, and which of its shot's `answers` it was.
    """

    answers: int
    elapsed_s: float
    p50_s: float
    p99_s: float
    longest_s: float
    failures: tuple[Failure, ...]
    reconnects: int
    sent_s: Sequence[float] = ()
    took_s: Sequence[float] = ()
    given: Sequence[int] = ()

    @property
    def samples(self) -> Iterator[tuple[float, float]]:
        """When each request was sent, and seconds to its answer."""
        return zip(self.sent_s, self.took_s, strict=True)

    @property
    def per_second(self) -> float:
        """Right answers per second."""
        return self.answers / self.elapsed_s

    def reasons(self) -> list[str]:
        """Why requests failed, each reason once."""
        return sorted({failure.reason for failure in self.failures})


def carry_out(plan: Plan) -> Outcome:
    """Run a plan to its end."""
    with Load(plan) as load:
        return load.wait()


class Load:
    """A load generator that runs in a process of its own; leaving the `with` block ends it."""

    def __init__(self, plan: Plan) -> None:
        """Start it; returns once every connection had an answer."""
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(asdict(plan)))
        stdin.close()
        assert stdout.readline() == "running\n"
        self._stdout = stdout

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(30)
        self._stdout.close()

    def stop(self) -> Outcome:
        """End it after the answers that are under way."""
        self._process.terminate()
        return self.wait()

    def wait(self) -> Outcome:
        """Wait for the end of its plan."""
        document = json.loads(self._stdout.read())
        self._process.wait(30)
        failures = tuple(Failure(**failure) for failure in document.pop("failures"))
        columns = {name: _unpacked(name, document.pop(name)) for name in _COLUMNS}
        return Outcome(failures=failures, **columns, **document)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values do not exceed; 0 if there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass
class _Run:
    """One run of a plan."""

    plan: Plan
    done: asyncio.Future[None]
    sent: int = 0
    open: int = 0
    first_answers: int = 0
    reconnects: int = 0
    stopping: bool = False
    starts_s: "array[float]" = field(default_factory=lambda: array(_COLUMNS["sent_s"]))
    latencies_s: "array[float]" = field(default_factory=lambda: array(_COLUMNS["took_s"]))
    given: "array[int]" = field(default_factory=lambda: array(_COLUMNS["given"]))
    failures: list[Failure] = field(default_factory=list)
    connections: set["_Caller"] = field(default_factory=set)
    connecting: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        plan = self.plan
        self.wires = [(shot.wire(plan.host, plan.port, plan.fresh), _rights(shot)) for shot in plan.shots]
        self.random = random.Random(0)
        self.end_s = monotonic() + plan.duration_s

    def next(self) -> tuple[bytes, dict[bytes, int]] | None:
        """The next request and its right answers, None when it is over."""
        if self.stopping or self.sent >= self.plan.count or monotonic() >= self.end_s:
            return None
        self.sent += 1
        return self.wires[0] if len(self.wires) == 1 else self.random.choice(self.wires)

    def connect(self) -> None:
        """Open one more connection, again and again until there is one."""
        self.open += 1
        task = asyncio.get_running_loop().create_task(self._connect())
        self.connecting.add(task)
        task.add_done_callback(self.connecting.discard)

    async def _connect(self) -> None:
        while not self.stopping:
            begun_s = monotonic()
            try:
                await asyncio.get_running_loop().create_connection(
                    lambda: _Caller(self), self.plan.host, self.plan.port
                )
                return
            except OSError as error:
                self.failures.append(Failure(0, begun_s, monotonic(), f"no connection: {error}"))
                await asyncio.sleep(_RETRY_S)
        self.leave()

    def leave(self) -> None:
        """One connection is closed for good."""
        self.open -= 1
        if not self.open and not self.done.done():
            self.done.set_result(None)

    def note_answer(self, started_s: float, which: int) -> None:
        """Count a right answer, the one of that number."""
        self.starts_s.append(started_s)
        self.latencies_s.append(monotonic() - started_s)
        self.given.append(which)

    def note_first_answer(self) -> None:
        """Count a connection that works; tell when all of the first ones do."""
        self.first_answers += 1
        if self.first_answers == self.plan.concurrency:
            sys.stdout.write("running\n")
            sys.stdout.flush()

    async def watch(self) -> None:
        """Fail what gets no answer in time; leave with whoever started this, who may have been killed."""
        parent = os.getppid()
        while True:
            await asyncio.sleep(0.2)
            self.stopping = self.stopping or os.getppid() != parent
            oldest_s = monotonic() - self.plan.timeout_s
            for connection in list(self.connections):
                if connection.waits and connection.sent_s < oldest_s:
                    connection.fail("no answer in time")
                    connection.transport.abort()

    def outcome(self, begun_s: float) -> Outcome:
        wanted = self.plan.samples
        return Outcome(
            answers=len(self.latencies_s),
            elapsed_s=monotonic() - begun_s,
            p50_s=percentile(self.latencies_s, 0.5),
            p99_s=percentile(self.latencies_s, 0.99),
            longest_s=max(self.latencies_s, default=0.0),
            failures=tuple(self.failures),
            reconnects=self.reconnects,
            sent_s=self.starts_s if wanted else (),
            took_s=self.latencies_s if wanted else (),
            given=self.given if wanted else (),
        )


class _Caller(ClientConnection):
    """Sends a request, waits for its whole answer, checks it, sends the next."""

    def __init__(self, run: _Run) -> None:
        super().__init__(self, kept_bytes=sys.maxsize)
        self._run = run
        self._rights: dict[bytes, int] = {}
        self._fresh = True
        self._port = 0
        self._over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._port = transport.get_extra_info("sockname")[1]
        self._run.connections.add(self)
        self._go_on()

    def answered(self, connection: ClientConnection, answer: Response) -> None:
        if answer.status != 200 or answer.body not in self._rights:
            self.fail(f"{answer.status}: {answer.body[:300]!r}")
        else:
            self._run.note_answer(self.sent_s, self._rights[answer.body])
        if self._fresh:
            self._fresh = False
            self._run.note_first_answer()
        if self.closing:
            self.transport.close()
        elif every_s := self._run.plan.every_s:
            # By chance, so that connections do not fall into step.
            asyncio.get_running_loop().call_later(every_s * 2 * self._run.random.random(), self._go_on)
        else:
            self._go_on()

    def lost(self, connection: ClientConnection, reason: str) -> None:
        self._run.connections.discard(self)
        if self.waits:
            self.fail(f"connection lost: {reason}")
        if not self._over:
            self._run.reconnects += 1
            self._run.connect()
        self._run.leave()

    def fail(self, reason: str) -> None:
        self.waits = False
        self._run.failures.append(Failure(self._port, self.sent_s, monotonic(), reason))

    def _go_on(self) -> None:
        if self.transport.is_closing():
            return
        shot = self._run.next()
        if shot is None:
            self._over = True
            self.transport.close()
            return
        wire, self._rights = shot
        self.sent_s = monotonic()
        self.send(wire)


def _rights(shot: Shot) -> dict[bytes, int]:
    return {answer.encode(): number for number, answer in enumerate(shot.answers)}


async def _carry_out(plan: Plan) -> Outcome:
    loop = asyncio.get_running_loop()
    run = _Run(plan, loop.create_future())
    loop.add_signal_handler(signal.SIGTERM, lambda: setattr(run, "stopping", True))
    begun_s = monotonic()
    for _ in range(plan.concurrency):
        run.connect()
    watch = asyncio.create_task(run.watch())
    await run.done
    watch.cancel()
    return run.outcome(begun_s)


def _packed(name: str, column: Sequence[float]) -> str:
    """A column as text: there are millions of samples."""
    return base64.b64encode(array(_COLUMNS[name], column).tobytes()).decode()


def _unpacked(name: str, text: str) -> Any:
    column: array[Any] = array(_COLUMNS[name])
    column.frombytes(base64.b64decode(text))
    return column


def _read_plan(document: dict[str, Any]) -> Plan:
    shots = tuple(Shot(**{**shot, "answers": tuple(shot["answers"])}) for shot in document.pop("shots"))
    return Plan(shots=shots, **document)


def main() -> None:
    """Carry out the plan that comes on standard input."""
    import uvloop

    plan = _read_plan(json.load(sys.stdin))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcome = runner.run(_carry_out(plan))
    columns = {name: _packed(name, getattr(outcome, name)) for name in _COLUMNS}
    told = json.dumps(asdict(replace(outcome, sent_s=(), took_s=(), given=())) | columns)
    sys.stdout.write(told)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
