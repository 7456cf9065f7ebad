"""What keys cost a request: processor time of one gateway, with keys and without.

The same requests go to a server that lets everybody in and to one that asks for keys, in turns: with an API
key, and signed by stock boto3, no two of them alike, so that each signature is worked out. A process can be
some microseconds slower than another one of the same program for as long as it lives, so there are several
pairs of servers. Medians of the pairs' medians are printed, and those of each pair.

    python tests/bench/key_costs.py [--pairs 7] [--rounds 10] [--seconds 0.5]
"""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from service.access.key_file import open_key_file
from service.access.minting import Minted, mint
from service.control.access_keys import add_access_key
from service.domain.access_keys import Permission
from service.store.store import Store
from tests.bench.beside import CONCURRENCY, CSV, IRIS, prepare, start
from tests.bench.figures import show_figures
from tests.bench.signing import signed_headers
from tests.bench.wrk import check, shoot
from tests.harness.family import Family
from tests.harness.load import Shot

_SIGNED = 5000
_KNOWN_S = 1.0  # until gateways know a new key


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7, help="of servers (7)")
    parser.add_argument("--rounds", type=int, default=10, help="of each kind and pair (10)")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each round (0.5)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sagebird-bench-") as name:
        folder = Path(name)
        prepare(folder / "models")
        pairs = [
            _measure_pair(folder, str(number), asked.rounds, asked.seconds) for number in range(asked.pairs)
        ]
    for title in pairs[0]:
        print(
            f"{title}, costs in each pair: {', '.join(format(pair[title]['cost'], '.1f') for pair in pairs)}"
        )
    figures = {
        title: {name: median(pair[title][name] for pair in pairs) for name in pairs[0][title]}
        for title in pairs[0]
    }
    show_figures("keys, us of processor time per request", figures)


def _measure_pair(folder: Path, name: str, rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """The figures of two servers that are started for it, by what is sent."""
    open_data, keyed_data, models = folder / f"open-{name}", folder / f"keyed-{name}", folder / "models"
    with (
        start(open_data, models, 1) as open_,
        start(keyed_data, models, 1, SAGEBIRD_AUTH="keys") as keyed,
    ):
        kinds = _kinds(_minted(keyed_data / "data"), keyed.port)
        return {title: _measure(open_, keyed, requests, rounds, seconds) for title, requests in kinds.items()}


def _minted(data: Path) -> Minted:
    """A key that may call."""
    minted = mint("bench", [Permission.INVOKE], ["*"], open_key_file(data / "keys.secret"), time.time())
    store = Store(data / "state.db")
    add_access_key(store, minted.key)
    store.close()
    time.sleep(_KNOWN_S)
    return minted


def _kinds(minted: Minted, port: int) -> dict[str, tuple[Shot, ...]]:
    """Requests of each kind."""
    body, signer = str(IRIS.body), (minted.key.id, minted.secret_access_key)
    heads = signed_headers("iris", CSV, body, _SIGNED, signer, f"http://127.0.0.1:{port}")
    return {
        "API key": (replace(IRIS, headers={**CSV, "X-Api-Key": minted.api_key}),),
        "signed": tuple(replace(IRIS, headers=head) for head in heads),
    }


def _measure(
    open_: Family, keyed: Family, requests: tuple[Shot, ...], rounds: int, seconds: float
) -> dict[str, float]:
    for server in (open_, keyed):
        check(server.port, requests)
    without: list[float] = []
    with_keys: list[float] = []
    for _ in range(rounds):
        without.append(_us(open_, requests, seconds))
        with_keys.append(_us(keyed, requests, seconds))
    costs = [one - other for one, other in zip(with_keys, without, strict=True)]
    return {"let in by anybody": median(without), "keys asked for": median(with_keys), "cost": median(costs)}


def _us(server: Family, requests: tuple[Shot, ...], seconds: float) -> float:
    """Processor time of the gateway per request, in us."""
    (gateway,) = server.gateways()
    begun = gateway.cpu_times()
    burst = shoot(server.port, requests, CONCURRENCY, seconds)
    over = gateway.cpu_times()
    return (over.user + over.system - begun.user - begun.system) / burst.answers * 1e6


if __name__ == "__main__":
    main()
