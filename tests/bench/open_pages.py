"""What open pages of the dashboard cost those who call meanwhile.

An endpoint is under load at a concurrency of 16. Rounds take turns: with so many pages open, each of which is
sent what changes, and with none. Right is: nobody fails, every page stays open and is sent something every
other second, and the calls answered with pages are, in the median, at least 0.98 of those of the round beside
it.

    python tests/bench/open_pages.py
    python tests/bench/open_pages.py --pages 50 --seconds 5 --rounds 3
"""

import argparse
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from statistics import median
from threading import Event
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench.beside import CONCURRENCY, load_iris, prepare, report, start
from tests.harness.load import Outcome

_LEAST_RATIO: Final = 0.98
_ASKS: Final = b"GET /dashboard/live HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
_LOOK_S: Final = 0.2


class Pages:
    """So many open pages, as far as the server sees them: streams of events that are read."""

    def __init__(self, port: int, number: int, stack: ExitStack) -> None:
        self._over = Event()
        self._selector = stack.enter_context(DefaultSelector())
        self.events = [0] * number
        for each in range(number):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            connection.sendall(_ASKS)
            self._selector.register(connection, EVENT_READ, each)

    def run(self) -> None:
        """Read what they are sent, until it is over."""
        while not self._over.is_set():
            for key, _ in self._selector.select(_LOOK_S):
                received = key.fileobj.recv(1 << 18)  # type: ignore[union-attr]
                self.events[key.data] += received.count(b"\ndata:")
                if not received:
                    raise ConnectionError("a page was closed")

    def close(self) -> None:
        """Look no more."""
        self._over.set()


@contextmanager
def opened(port: int, number: int) -> Iterator[Pages]:
    """Pages that are open meanwhile."""
    with ExitStack() as stack:
        pages = Pages(port, number, stack)
        running = stack.enter_context(ThreadPoolExecutor(1)).submit(pages.run)
        try:
            yield pages
        finally:
            pages.close()
        running.result()


def try_beside(port: int, asked: argparse.Namespace) -> bool:
    """Rounds with and without pages, in turn."""
    rounds: dict[int, list[Outcome]] = {0: [], asked.pages: []}
    least = None
    _load(port, 2.0)
    for turn in range(asked.rounds):
        for number, outcomes in [*rounds.items()][:: -1 if turn % 2 else 1]:
            with opened(port, number) as pages:
                outcomes.append(_load(port, asked.seconds))
            if number:
                fewest = min(pages.events)
                least = fewest if least is None else min(least, fewest)
            print(
                f"       {number:3} pages: {outcomes[-1].per_second:7.0f}/s at {CONCURRENCY}, "
                f"p99 {outcomes[-1].p99_s * 1e3:6.2f} ms",
                flush=True,
            )
    # By pairs of rounds: a machine that others use as well is not the same a minute later.
    pairs = [*zip(*rounds.values(), strict=True)]
    ratio = median(beside.per_second / alone.per_second for alone, beside in pairs)
    failed = sum(len(each.failures) for pair in pairs for each in pair)
    line = (
        f"{ratio:.3f} x as many calls beside {asked.pages} pages (at least {_LEAST_RATIO} x), "
        f"{failed} failed, each page was sent {least} events or more"
    )
    is_sent = least is not None and least >= asked.seconds / 2
    return report(ratio >= _LEAST_RATIO and not failed and is_sent, line)


def _load(port: int, seconds: float) -> Outcome:
    with load_iris(port, seconds) as load:
        return load.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line per round and one that judges; the exit code is 1 if it is not as it should be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pages", type=int, default=20, help="that are open (20)")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each round (6)")
    parser.add_argument("--rounds", type=int, default=9, help="of each kind (9)")
    parser.add_argument("--gateways", type=int, default=2, help="of the server (2)")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sagebird-pages-") as name:
        models = Path(name) / "models"
        prepare(models)
        with start(Path(name), models, asked.gateways) as server:
            return int(not try_beside(server.port, asked))


if __name__ == "__main__":
    sys.exit(main())
