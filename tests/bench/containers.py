"""Puts models with code of their own to the proof: state, deeds, deaths, evictions, overwriting.

Each trial has a server of its own over loopback; it prints figures, and says what is wrong. Right is:

state        of so many calls at a concurrency of 8 none is answered by another's state
deeds        whatever a model does, `iris` beside it under load at a concurrency of 16 fails nobody, its p99
             is at most twice what it is alone, and the model answers as on AWS and serves again
starts       the same for models that misbehave while they load: only their own endpoints fail, and say why
deaths       each process of the family is killed in turn, then all: none is orphaned, no socket or folder is
             left, and all endpoints are in service again
cycles       after so many loads and evictions the family holds at most 3 % more than after the first ones
overwriting  nobody fails, and nobody gets an old answer a second after a new one

    python tests/bench/containers.py
    python tests/bench/containers.py --only deeds --deeds hangs aborts --seconds 30
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench.deeds import DEEDS
from tests.bench.harm import try_deaths, try_deeds, try_starts
from tests.bench.overwriting import KINDS, try_overwriting
from tests.bench.wear import try_cycles, try_state

TRIALS: dict[str, Callable[[Path, argparse.Namespace], bool]] = {
    "state": try_state,
    "deeds": try_deeds,
    "starts": try_starts,
    "deaths": try_deaths,
    "cycles": try_cycles,
    "overwriting": try_overwriting,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line per figure; the exit code is 1 if anything is not as it should be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=TRIALS, default=list(TRIALS), help="which trials (all)")
    parser.add_argument("--seconds", type=float, default=15.0, help="of load beside each deed (15)")
    parser.add_argument("--rounds", type=int, default=1, help="of load alone and beside each deed (1)")
    parser.add_argument("--deeds", nargs="+", choices=DEEDS, default=list(DEEDS), help="which deeds (all)")
    parser.add_argument("--calls", type=int, default=2000, help="of the model that keeps state (2000)")
    parser.add_argument("--cycles", type=int, default=1000, help="loads that push another model out (1000)")
    parser.add_argument("--times", type=int, default=50, help="that each model is written over (50)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="written over (all)")
    parser.add_argument("--gateways", type=int, default=2, help="of each server (2)")
    asked = parser.parse_args(arguments)
    wrong = []
    with tempfile.TemporaryDirectory(prefix="sagebird-containers-") as name:
        for trial in asked.only:
            folder = Path(name) / trial
            folder.mkdir()
            if not TRIALS[trial](folder, asked):
                wrong.append(trial)
    print(f"wrong: {', '.join(wrong)}" if wrong else "all right", flush=True)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
