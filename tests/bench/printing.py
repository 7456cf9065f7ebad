"""What a model that prints much costs those beside it, and how soon its lines are found.

A model with code prints so many lines a second, in ten calls, while `iris` beside it is under load at a
concurrency of 16. Rounds take turns: the same calls that print, and that print nothing. Right is:

beside   `iris` fails nobody, and its p99 in a round with lines is, in the median, at most 1.1 times that of
         the round without beside it
found    while it prints, the last line of a call is found by its request id through boto3 within 2 seconds

    python tests/bench/printing.py
    python tests/bench/printing.py --seconds 5 --rounds 2
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from threading import Event, Thread
from time import monotonic
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import boto3

from tests.bench.beside import CONCURRENCY, ask, load_iris, prepare, report, start
from tests.harness.load import Outcome

_SCRIPT = """
def model_fn(model_dir):
    return None

def transform_fn(model, body, content_type, accept):
    lines = int(body)
    for number in range(lines):
        print(f"line {number} of {lines}: what a model tells of what it does, eighty characters or so")
    return "0", "text/csv"
"""
_CALLS_PER_S: Final = 10
_MOST_RATIO: Final = 1.1
_MOST_FOUND_S: Final = 2.0
_GIVEN_UP_S: Final = 30.0
_GROUP: Final = "/aws/sagemaker/Endpoints/loud"


class LoudCaller:
    """Calls the model ten times a second, each time for as many lines, until it is stopped."""

    def __init__(self, port: int, lines_per_s: int) -> None:
        self._port = port
        self._body = str(lines_per_s // _CALLS_PER_S)
        self._over = Event()
        self.calls = 0
        self.failed = 0
        self.called_s = 0.0

    def run(self) -> None:
        """Do it; a call that is late is not made up for."""
        begun_s = monotonic()
        while not self._over.wait(1 / _CALLS_PER_S - monotonic() % (1 / _CALLS_PER_S)):
            self.calls += 1
            self.failed += ask(self._port, "loud", self._body).status != 200
            self.called_s = monotonic() - begun_s

    def stop(self) -> None:
        """Call no more."""
        self._over.set()


@contextmanager
def called(port: int, lines_per_s: int) -> Iterator[LoudCaller]:
    """Somebody who calls the model meanwhile."""
    caller = LoudCaller(port, lines_per_s)
    thread = Thread(target=caller.run)
    thread.start()
    try:
        yield caller
    finally:
        caller.stop()
        thread.join()


def try_beside(port: int, asked: argparse.Namespace) -> bool:
    """Rounds with and without lines, in turn."""
    p99s: dict[int, list[float]] = {0: [], asked.lines: []}
    failed = 0
    _round(port, 0, 2.0)
    for turn in range(asked.rounds):
        for lines, of_rounds in [*p99s.items()][:: -1 if turn % 2 else 1]:
            outcome, caller = _round(port, lines, asked.seconds)
            of_rounds.append(outcome.p99_s)
            failed += len(outcome.failures) + caller.failed
            printed = caller.calls * lines / _CALLS_PER_S / caller.called_s
            rate, p99_ms = outcome.per_second, outcome.p99_s * 1e3
            print(
                f"       {lines:6} lines/s asked, {printed:6.0f} printed; iris at {CONCURRENCY}: "
                f"{rate:6.0f}/s, p99 {p99_ms:6.2f} ms",
                flush=True,
            )
    # By pairs of rounds: a machine that others use as well is not the same a minute later.
    ratio = median(loud / silent for silent, loud in zip(*p99s.values(), strict=True))
    line = (
        f"beside: p99 {median(p99s[asked.lines]) * 1e3:.2f} ms with {asked.lines} lines/s, "
        f"{median(p99s[0]) * 1e3:.2f} ms without ({ratio:.2f} x, at most {_MOST_RATIO} x), {failed} failed"
    )
    return report(ratio <= _MOST_RATIO and not failed, line)


def _round(port: int, lines_per_s: int, seconds: float) -> tuple[Outcome, LoudCaller]:
    with called(port, lines_per_s) as caller, load_iris(port, seconds) as load:
        return load.wait(), caller


def try_found(port: int, asked: argparse.Namespace) -> bool:
    """Look for what calls have printed, one after the other, while the model prints and `iris` is called."""
    runtime, logs = _client("sagemaker-runtime", port), _client("logs", port)
    found_s: list[float] = []
    end_s = monotonic() + asked.seconds
    with called(port, asked.lines), load_iris(port):
        while not found_s or monotonic() < end_s:
            answer = runtime.invoke_endpoint(EndpointName="loud", Body=b"3", ContentType="text/csv")
            found_s.append(_until_found(logs, answer["ResponseMetadata"]["RequestId"]))
    line = f"found: {len(found_s)} calls by request id, the last after {max(found_s):.2f} s at most"
    return report(max(found_s) <= _MOST_FOUND_S, line)


def _until_found(logs: Any, request_id: str) -> float:
    """Seconds until the last line of a call is there; no more than anybody waits."""
    begun_s = monotonic()
    while (passed_s := monotonic() - begun_s) < _GIVEN_UP_S:
        events = logs.filter_log_events(logGroupName=_GROUP, filterPattern=f'"{request_id}"')["events"]
        if any(event["message"].startswith("line 2 of 3") for event in events):
            return monotonic() - begun_s
    return passed_s


def _client(service: str, port: int) -> Any:
    return boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="y",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line per figure; the exit code is 1 if anything is not as it should be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=1000, help="a second (1000)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each round (10)")
    parser.add_argument("--rounds", type=int, default=5, help="of each kind (5)")
    parser.add_argument("--gateways", type=int, default=2, help="of the server (2)")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sagebird-printing-") as name:
        prepare(Path(name) / "models", loud=_SCRIPT)
        with start(Path(name), Path(name) / "models", asked.gateways) as server:
            rights = [try_beside(server.port, asked), try_found(server.port, asked)]
    print("all right" if all(rights) else "wrong", flush=True)
    return int(not all(rights))


if __name__ == "__main__":
    sys.exit(main())
