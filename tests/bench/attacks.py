"""Attacks a server over loopback, one way after the other, and says what others noticed of it.

Each attack is made by a process of its own, at a concurrency of 64, while callers that keep their connections
and callers that bring new ones are answered. Right is: their p99 is at most three times what it is alone,
none of them fails, and the memory of the whole family grows by at most 100 MiB and comes back.

    python tests/bench/attacks.py --seconds 60
    python tests/bench/attacks.py --attacks silence --descriptors 1024
"""

import argparse
import asyncio
import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.harness.family import Family
from tests.harness.gateways import declare, make_model, variants
from tests.harness.load import Load, Outcome, Plan, Shot

PATH = "/endpoints/one/invocations"
SHOT = Shot(PATH, "1", {"Content-Type": "text/csv"}, ("[1.0]",))
MOST_RATIO = 3.0
MOST_MEMORY_BYTES = 100 << 20
_BACK_S = 30.0
_SAMPLE_S = 0.25
_PIECE = b"a" * 65_536
_SILENT_EACH = 40  # connections that each of the silent holds


class Attacker(asyncio.Protocol):
    """One connection: sends `first`, then `more` again and again, and reads everything."""

    def __init__(self, first: bytes, more: bytes, gone: "asyncio.Future[None]") -> None:
        self._first = first
        self._more = more
        self._gone = gone
        self._may_write = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._first)
        if self._more:
            asyncio.get_running_loop().call_soon(self._go_on)

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._gone.done():
            self._gone.set_result(None)

    def _go_on(self) -> None:
        if self._may_write and self._more and not self._transport.is_closing():
            self._transport.write(self._more)
            asyncio.get_running_loop().call_soon(self._go_on)


_numbers = itertools.count()


def _pipelining() -> tuple[bytes, bytes]:
    return b"", SHOT.wire("localhost", 80, fresh=False) * 100


def _endless() -> tuple[bytes, bytes]:
    number = next(_numbers)
    if number % 2:
        return b"POST /x/%d" % number, _PIECE
    return b"POST %b HTTP/1.1\r\nHost: localhost\r\nX-%d: " % (PATH.encode(), number), _PIECE


def _silence() -> tuple[bytes, bytes]:
    half = b"POST %b HTTP/1.1\r\nHost: localhost\r\n" % PATH.encode()
    return (half if next(_numbers) % 2 else b""), b""


def _refused() -> tuple[bytes, bytes]:
    head = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
    known, unknown = head % PATH.encode(), head % b"/endpoints/nobody/invocations"
    asks, long = b"Expect: 100-continue\r\n", b"Content-Length: 7000000000\r\n\r\n"
    kinds = (
        (known + asks + long, b""),
        (unknown + asks + b"Content-Length: 10\r\n\r\n", b""),
        (known + long, _PIECE),
        (known + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + _PIECE + b"\r\n"),
        (known + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 10_000),
    )
    return kinds[next(_numbers) % len(kinds)]


ATTACKS: dict[str, Callable[[], tuple[bytes, bytes]]] = {
    "pipelining": _pipelining,
    "endless heads": _endless,
    "silence": _silence,
    "refused bodies": _refused,
}


async def attack(kind: str, port: int, concurrency: int, seconds: float) -> int:
    """Attack for so long; how many connections were made."""
    loop = asyncio.get_running_loop()
    made = 0
    number = concurrency * _SILENT_EACH if kind == "silence" else concurrency

    async def hold() -> None:
        nonlocal made
        while True:
            gone: asyncio.Future[None] = loop.create_future()
            first, more = ATTACKS[kind]()
            try:
                await loop.create_connection(partial(Attacker, first, more, gone), "127.0.0.1", port)
                made += 1
                await gone
            except OSError:
                await asyncio.sleep(0.05)

    tasks = [loop.create_task(hold()) for _ in range(number)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    return made


@dataclass(frozen=True)
class Seen:
    """What others had of the server for a while: those that keep their connections, and those that do not."""

    kept: Outcome
    fresh: Outcome
    peak_bytes: int

    @property
    def failed(self) -> int:
        """How many of their requests failed."""
        return len(self.kept.failures) + len(self.fresh.failures)


def watch(server: Family, seconds: float, others: int, attacking: str | None, concurrency: int) -> Seen:
    """Call the server for so long, attacked or not, and look at its memory."""
    peak = [server.memory_bytes()]
    over = threading.Event()

    def sample() -> None:
        while not over.wait(_SAMPLE_S):
            peak.append(server.memory_bytes())

    with ExitStack() as stack:
        if attacking is not None:
            program = [sys.executable, __file__, "--as", attacking, "--port", str(server.port)]
            options = ["--seconds", str(seconds + 2), "--concurrency", str(concurrency)]
            process = subprocess.Popen([*program, *options], stdout=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.kill)
            time.sleep(1.0)
        plans = [
            Plan(server.port, (SHOT,), others, seconds, host="localhost"),
            Plan(server.port, (SHOT,), max(1, others // 4), seconds, fresh=True, host="localhost"),
        ]
        sampler = threading.Thread(target=sample)
        sampler.start()
        stack.callback(sampler.join)
        stack.callback(over.set)
        kept, fresh = [stack.enter_context(Load(plan)) for plan in plans]
        return Seen(kept.wait(), fresh.wait(), max(peak))


def comes_back(server: Family, before_bytes: int) -> int:
    """How much more memory than before the family holds once it had time to give it back."""
    end_s = time.monotonic() + _BACK_S
    grown = server.memory_bytes() - before_bytes
    while grown > MOST_MEMORY_BYTES // 4 and time.monotonic() < end_s:
        time.sleep(_SAMPLE_S)
        grown = server.memory_bytes() - before_bytes
    return grown


def compare(server: Family, asked: argparse.Namespace) -> bool:
    """Measure alone and under each attack; whether all was right."""
    watch(server, 2.0, asked.others, None, 0)  # it has seen each kind of caller
    alone = watch(server, asked.seconds, asked.others, None, 0)
    before = server.memory_bytes()
    print(_line("alone", alone, alone, 0, 0), flush=True)
    right = True
    for kind in asked.attacks:
        seen = watch(server, asked.seconds, asked.others, kind, asked.concurrency)
        grown, left = seen.peak_bytes - before, comes_back(server, before)
        print(_line(kind, seen, alone, grown, left), flush=True)
        for failure in [*seen.kept.failures, *seen.fresh.failures][:3]:
            print(f"    {failure.reason}", flush=True)
        right &= max(_ratios(seen, alone)) <= MOST_RATIO and seen.failed == 0
        right &= grown <= MOST_MEMORY_BYTES and left <= MOST_MEMORY_BYTES // 4
    return right


def _ratios(seen: Seen, alone: Seen) -> tuple[float, float]:
    return seen.kept.p99_s / alone.kept.p99_s, seen.fresh.p99_s / alone.fresh.p99_s


def _line(name: str, seen: Seen, alone: Seen, grown: int, left: int) -> str:
    kept, fresh = _ratios(seen, alone)
    return (
        f"{name:15} kept {seen.kept.per_second:7.0f}/s p99 {seen.kept.p99_s * 1e3:7.2f} ms ({kept:4.1f} x)"
        f"  new {seen.fresh.per_second:6.0f}/s p99 {seen.fresh.p99_s * 1e3:7.2f} ms ({fresh:4.1f} x)"
        f"  failed {seen.failed}  memory {grown >> 20:+d} MiB, afterwards {left >> 20:+d} MiB"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line per attack; the exit code is 1 if others noticed more of one than they may."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--attacks", nargs="+", choices=ATTACKS, default=list(ATTACKS), help="which (all)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each attack (60)")
    parser.add_argument("--concurrency", type=int, default=64, help="of the attackers (64)")
    parser.add_argument("--others", type=int, default=16, help="callers that keep their connections (16)")
    parser.add_argument("--gateways", type=int, default=2, help="of the server (2)")
    parser.add_argument("--descriptors", type=int, default=1024, help="open files of each process (1024)")
    parser.add_argument("--as", dest="kind", choices=ATTACKS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.kind is not None:
        print(json.dumps(asyncio.run(attack(asked.kind, asked.port, asked.concurrency, asked.seconds))))
        return 0
    with tempfile.TemporaryDirectory(prefix="sagebird-attacks-") as name:
        folder = Path(name)
        make_model(folder / "models" / "one", 1)
        declare(folder / "models", variants("one", one=1))
        limited = f'ulimit -n {asked.descriptors}; exec "$0" -m service.cli serve'
        with Family(
            lambda _port: ["/bin/sh", "-c", limited, sys.executable],
            folder / "log",
            "/readyz",
            SAGEBIRD_MODELS=str(folder / "models"),
            SAGEBIRD_DATA=str(folder / "data"),
            SAGEBIRD_GATEWAYS=str(asked.gateways),
            SAGEBIRD_WORKERS="0",
        ) as server:
            return 0 if compare(server, asked) else 1


if __name__ == "__main__":
    sys.exit(main())
