"""Users keep their variants: a hundred thousand ids, changes of weight, several gateways, a restart.

Every id asks once in each round, over connections that all gateways share; weights change between rounds, and
the server is started anew before the last one. Counted are users who left a variant that grew or stayed, and
how far shares are from those of the weights, in standard deviations of chance.
"""

import argparse
import re
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from math import sqrt
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench.figures import show_figures
from tests.harness.control import Control, put_model, variant
from tests.harness.family import Family, serve

_ENDPOINT = "sticky"
_NAMES = ("a", "b", "c")
_ROUNDS = ((90, 5, 5), (80, 15, 5), (60, 15, 25), (20, 50, 30))
_AT_ONCE = 50
_CONNECTIONS = 8
_VARIANT = re.compile(rb"x-amzn-invoked-production-variant: ([^\r]+)", re.IGNORECASE)
_REQUEST = (
    f"POST /endpoints/{_ENDPOINT}/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
    "X-Sagebird-User: user-%d\r\nContent-Length: 1\r\n\r\n1"
)


def main() -> int:
    """Run it; the exit code says whether it held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ids", type=int, default=100_000)
    parser.add_argument("--gateways", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seen = _run(Path(folder), options.ids, options.gateways)
    moved = _moved_out(seen)
    apart = max(_deviations(one, weights) for one, weights in zip(seen, _ROUNDS, strict=False))
    changed = sum(one != two for one, two in zip(seen[-2], seen[-1], strict=True))
    show_figures(
        "sticky users",
        {
            f"{options.ids:,} ids, {options.gateways} gateways": {
                "left a variant that grew or stayed": moved,
                "moved by the restart": changed,
                "standard deviations that the farthest share is away": round(apart, 2),
            }
        },
    )
    return 0 if not moved and not changed and apart < 4.5 else 1


def _run(folder: Path, ids: int, gateways: int) -> list[list[bytes]]:
    """Each id's variant in each round, and once more after a restart."""
    models = folder / "models"
    models.mkdir()
    seen = []
    with serve(folder / "server", models, gateways) as server, Control(server.port) as control:
        location = put_model(folder / "server" / "data", "one", 1)
        control.create_model("one", location)
        variants = [
            {**variant(name, "one"), "InitialVariantWeight": weight}
            for name, weight in zip(_NAMES, _ROUNDS[0], strict=True)
        ]
        control.create_config("config", variants)
        control.call("CreateEndpoint", EndpointName=_ENDPOINT, EndpointConfigName="config")
        for number, weights in enumerate(_ROUNDS):
            if number:
                _weigh(control, weights)
            control.wait_in_service(_ENDPOINT)
            seen.append(_ask_all(server, ids))
    with serve(folder / "server", models, gateways) as server:
        seen.append(_ask_all(server, ids))
    return seen


def _weigh(control: Control, weights: Sequence[int]) -> None:
    desired = [
        {"VariantName": name, "DesiredWeight": weight} for name, weight in zip(_NAMES, weights, strict=True)
    ]
    control.call(
        "UpdateEndpointWeightsAndCapacities", EndpointName=_ENDPOINT, DesiredWeightsAndCapacities=desired
    )


def _ask_all(server: Family, ids: int) -> list[bytes]:
    bounds = [ids * part // _CONNECTIONS for part in range(_CONNECTIONS + 1)]
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        parts = pool.map(lambda part: _ask(server.port, range(*part)), pairwise(bounds))
        return [name for part in parts for name in part]


def _ask(port: int, ids: range) -> list[bytes]:
    """The variants of these users, over a connection of their own."""
    found: list[bytes] = []
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for first in range(ids.start, ids.stop, _AT_ONCE):
            some = range(first, min(first + _AT_ONCE, ids.stop))
            connection.sendall("".join(_REQUEST % number for number in some).encode())
            received = b""
            while received.count(b"[1.0]") < len(some):
                part = connection.recv(1 << 18)
                if not part:
                    raise RuntimeError(f"the connection ended: {received[-500:]!r}")
                received += part
            found += _VARIANT.findall(received)
    return found


def _moved_out(seen: Sequence[Sequence[bytes]]) -> int:
    moved = 0
    for (before, weights), (after, later) in pairwise(zip(seen, _ROUNDS, strict=False)):
        shrunk = {name.encode() for name, old, new in zip(_NAMES, weights, later, strict=True) if new < old}
        moved += sum(one != two and one not in shrunk for one, two in zip(before, after, strict=True))
    return moved


def _deviations(seen: Sequence[bytes], weights: Sequence[int]) -> float:
    counts, whole = Counter(seen), sum(weights)
    return max(
        abs(counts[name.encode()] - len(seen) * weight / whole)
        / sqrt(len(seen) * weight / whole * (1 - weight / whole))
        for name, weight in zip(_NAMES, weights, strict=True)
    )


if __name__ == "__main__":
    sys.exit(main())
