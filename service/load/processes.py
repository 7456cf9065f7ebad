"""The parent's side of a run: starts the processes that send, hears how it goes, joins what came of it."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any

from service.errors import LoadRefused
from service.load import plan as plans
from service.load import tally as tallies
from service.load.engine import Glance
from service.load.plan import Plan
from service.load.tally import Tally

_HEAD_START_S = 0.05
_LEAVES_S = 10.0


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What came of a run: counts, how long they were counted, and each process's part of a CPU (1 is all)."""

    tally: Tally
    counted_s: float
    cpu_shares: tuple[float, ...]


class LoadProcesses:
    """Processes that carry a plan out together; leaving the `with` block ends them."""

    def __init__(self, plan: Plan, processes: int) -> None:
        """Start them; they wait. There are never more of them than connections."""
        self._plan = plan
        self._stopped = False
        self._heard: SimpleQueue[tuple[int, dict[str, Any] | None]] = SimpleQueue()
        parts = min(processes, plan.connections)
        self._processes = [self._start(part, parts) for part in range(parts)]

    def __enter__(self) -> "LoadProcesses":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for process, listener in self._processes:
            process.kill()
            process.wait(_LEAVES_S)
            listener.join(_LEAVES_S)

    def stop(self) -> None:
        """End the run early; `run` returns what came of it until then. Signal handlers may call this."""
        self._stopped = True
        for process, _ in self._processes:
            if process.stdin is not None:
                process.stdin.close()

    def run(self, watch: Callable[[Glance], object]) -> LoadResult:
        """Carry the plan out; `watch` is told twice a second how it goes.

        Raises:
            LoadRefused: a process ended on its own.
        """
        glances: dict[int, Glance] = {}
        results: list[dict[str, Any]] = []
        missing = len(self._processes)
        while len(results) < len(self._processes):
            part, document = self._hear()
            if "ready" in document:
                missing -= 1
                if not missing:
                    self._begin()
            elif "glance" in document:
                glances[part] = Glance(**document["glance"])
                watch(_join(glances))
            else:
                results.append(document)
        return _result(self._plan, results)

    def _begin(self) -> None:
        start = json.dumps({"start_s": monotonic() + _HEAD_START_S}) + "\n"
        for process, _ in self._processes:
            _write(process, start)

    def _hear(self) -> tuple[int, dict[str, Any]]:
        part, document = self._heard.get()
        if document is None and self._stopped:
            return part, {"tally": Tally(self._plan.interval_s).dump(), "counted_s": 0.0, "cpu_s": 0.0}
        if document is None:
            raise LoadRefused("A process of the load tester ended on its own; what it said stands above.")
        return part, document

    def _start(self, part: int, parts: int) -> tuple["subprocess.Popen[bytes]", Thread]:
        order = {"plan": plans.dump(_share(self._plan, part, parts)), "part": part, "parts": parts}
        process = subprocess.Popen(
            [sys.executable, "-m", "service.load.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # Ctrl-C is the parent's to hear: it wants their results
        )
        listener = Thread(target=self._relay, args=(part, process), daemon=True)
        listener.start()
        _write(process, json.dumps(order) + "\n")
        return process, listener

    def _relay(self, part: int, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None  # noqa: S101  # it is a pipe
        with process.stdout as lines:
            ended = False
            for line in lines:
                document = json.loads(line)
                ended = "tally" in document
                self._heard.put((part, document))
        if not ended:
            self._heard.put((part, None))


def _write(process: "subprocess.Popen[bytes]", text: str) -> None:
    """Tell a process something; one that is gone, or was told to stop, is noticed where it is listened to."""
    stream = process.stdin
    if stream is None or stream.closed:
        return
    try:
        stream.write(text.encode())
        stream.flush()
    except BrokenPipeError:
        return


def _share(plan: Plan, part: int, parts: int) -> Plan:
    """One process's share of connections and requests; the rate is shared out by taking turns."""
    most = plan.most_requests
    return replace(
        plan,
        connections=_part_of(plan.connections, part, parts),
        most_requests=None if most is None else _part_of(most, part, parts),
    )


def _part_of(number: int, part: int, parts: int) -> int:
    return number // parts + (part < number % parts)


def _join(glances: Mapping[int, Glance]) -> Glance:
    every = glances.values()
    return Glance(
        sum(each.answered for each in every),
        sum(each.failed for each in every),
        sum(each.in_flight for each in every),
        sum(each.backlog for each in every),
        max(each.p50_s for each in every),
        max(each.p99_s for each in every),
    )


def _result(plan: Plan, documents: list[dict[str, Any]]) -> LoadResult:
    whole = Tally(plan.interval_s)
    for document in documents:
        whole.merge(tallies.load(document["tally"]))
    counted_s = max(document["counted_s"] for document in documents)
    whole.coarsen(counted_s)
    elapsed_s = plan.warm_up_s + counted_s
    shares = tuple(document["cpu_s"] / elapsed_s if elapsed_s else 0.0 for document in documents)
    return LoadResult(whole, counted_s, shares)
