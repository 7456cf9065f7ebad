"""What keys cost a request: processor time of one gateway, with keys and without.

The same requests go to a server that lets everybody in and to one that asks for keys, in turns: with an API
key, and signed by stock boto3, no two of them alike, so that each signature is worked out. Medians of the
rounds are printed.

    python tests/bench/key_costs.py [--rounds 5] [--seconds 2]
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
    parser.add_argument("--rounds", type=int, default=5, help="of each kind (5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each round (2)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sagebird-bench-") as name:
        folder = Path(name)
        prepare(folder / "models")
        with (
            start(folder / "open", folder / "models", 1) as open_,
            start(folder / "keyed", folder / "models", 1, SAGEBIRD_AUTH="keys") as keyed,
        ):
            minted = _minted(folder / "keyed" / "data")
            figures = {
                title: _measure(open_, keyed, requests, asked.rounds, asked.seconds)
                for title, requests in _kinds(minted, keyed.port).items()
            }
    show_figures("keys, us of processor time per request", figures)


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
