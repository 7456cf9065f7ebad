"""kill -9 of everything while the control plane is called: what is left must be what was acknowledged.

A client makes, changes and deletes models, configurations and endpoints. At a random moment every process of
the family is killed; the next one starts on the same data, must hold exactly what was acknowledged (the call
that was under way may have been done or not, but wholly), and bring every endpoint back by itself. Prints its
figures; they are also part of `make bench ARGS='--crashes'`.
"""

import argparse
import http.client
import random
import signal
import sys
import tempfile
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench.figures import show_figures
from tests.bench.speed import Note
from tests.harness.control import Control, Refused, put_model
from tests.harness.family import serve
from tests.harness.world import Call, Calls, World, observe, statuses

SEED = 20
LEGAL = {"Creating", "Updating", "InService", "Deleting"}
"""The statuses that an endpoint whose models are sound can be found in."""

_MODELS = 3
_LONGEST_S = 1.5


class Client:
    """Makes random calls until the server is gone; knows what was acknowledged and which call was open."""

    def __init__(self, port: int, world: World, calls: Calls) -> None:
        self.world = world
        self.open: Call | None = None
        self.done: Counter[str] = Counter()
        self.refused = 0
        self._control = Control(port)
        self._calls = calls
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Client":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Wait until it has noticed that the server is gone."""
        self._thread.join()
        self._control.close()
        if self._fault is not None:
            raise self._fault

    def possible(self) -> list[World]:
        """The worlds that may be found: the acknowledged one, and the one that the open call leads to."""
        return [self.world] if self.open is None else [self.world, self.world.after(self.open)]

    def _run(self) -> None:
        try:
            with suppress(OSError, http.client.HTTPException):
                while True:
                    for call in self._calls.some(self.world):
                        if not self._make(call):
                            break
        except BaseException as fault:  # for the thread that waits
            self._fault = fault

    def _make(self, call: Call) -> bool:
        self.open = call
        try:
            self._control.call(call.operation, **call.members)
        except Refused as refused:  # another change is under way: nothing was done
            if refused.status >= http.client.INTERNAL_SERVER_ERROR:
                raise
            self.refused += 1
            self.open = None
            return False
        self.world = self.world.after(call)
        self.open = None
        self.done[call.operation] += 1
        return True


def put_models(data: Path) -> tuple[str, ...]:
    """Models that answer 1, 2, 3 in a data folder's bucket; where they are."""
    return tuple(put_model(data, f"answers-{number + 1}", number + 1) for number in range(_MODELS))


def kill_all(pid: int, draw: random.Random) -> None:
    """kill -9 a family, in any order, and wait until nothing of it is left."""
    supervisor = psutil.Process(pid)
    everyone = [supervisor, *supervisor.children(recursive=True)]
    draw.shuffle(everyone)
    for process in everyone:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    for child in supervisor.children(recursive=True):  # forked in between by a supervisor that died last
        child.kill()
    psutil.wait_procs(everyone, timeout=30)


def check(port: int, possible: list[World], locations: tuple[str, ...]) -> World:
    """Hold what a server that was just started has against what it may have; returns what it has."""
    with Control(port) as control:
        found = set(statuses(control).values())
        assert found <= LEGAL, found
        world = observe(control, port, locations)
    assert world in possible, f"found {world}, not one of {possible}"
    return world


def measure_crashes(folder: Path, note: Note, moments: int = 50, seed: int = SEED) -> dict[str, Any]:
    """Kill everything at random moments; returns what was done meanwhile and how fast it came back."""
    note(f"kill -9 of everything at {moments} random moments, seed {seed}")
    draw = random.Random(seed)
    models = folder / "no-models"
    models.mkdir(exist_ok=True)
    locations = put_models(folder / "crashes" / "data")
    calls, possible = Calls(draw, locations), [World()]
    operations: Counter[str] = Counter()
    refused = in_the_middle = 0
    returns_s = []
    for moment in range(moments + 1):
        begun_s = monotonic()
        with serve(folder / "crashes", models, 2, ready_path="/healthz") as family:
            world = check(family.port, possible, locations)
            returns_s.append(monotonic() - begun_s)
            if moment == moments:
                break
            with Client(family.port, world, calls) as client:
                threading.Event().wait(draw.uniform(0.0, _LONGEST_S))
                kill_all(family.process.pid, draw)
        possible = client.possible()
        operations += client.done
        refused += client.refused
        in_the_middle += client.open is not None
        note(f"{moment + 1}: {client.done.total()} calls, then {client.open and client.open.operation}")
    returns_s.sort()
    return {
        f"{moments} moments, seed {seed}": {
            "restarts whose state was right": moments,
            "acknowledged calls": operations.total(),
            "refused calls": refused,
            "killed in the middle of a call": in_the_middle,
            **{f"acknowledged {name}": count for name, count in sorted(operations.items())},
            "median s from start to everything checked": returns_s[len(returns_s) // 2],
            "longest": returns_s[-1],
        }
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=50, help="how often everything is killed (50)")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the calls and moments ({SEED})")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sagebird-bench-") as name:
        figures = measure_crashes(
            Path(name), lambda text: print(text, file=sys.stderr), options.moments, options.seed
        )
    show_figures("kill -9 of everything", figures)


if __name__ == "__main__":
    main()
