"""A key with a rate asks two gateways far more often than that: how many of its requests are answered.

`python tests/bench/limits.py [--rate 100/s:20] [--offered 1000] [--seconds 20]`. Another key, without a
rate, asks 100 times a second meanwhile, and all of its requests are to be answered. Right is 95 to 110 % of
the rate.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from service.access.key_file import open_key_file
from service.access.minting import mint
from service.control.access_keys import add_access_key
from service.domain.access_keys import Permission
from service.rates import RequestRate, read_rate
from service.store.store import Store
from tests.harness.family import Family, client_ports, serve
from tests.harness.gateways import declare, make_model, variants

_LINES = 16
_PATH = "/endpoints/one/invocations"
_OTHER_PER_S = 100


def main() -> None:
    """Print what was answered; exit code 1 if that is too little or too much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=read_rate, default=RequestRate(100.0, 20))
    parser.add_argument("--offered", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_model(folder / "models" / "a", 7)
        declare(folder / "models", variants("one", a=1))
        settings = {"SAGEBIRD_AUTH": "keys", "SAGEBIRD_WORKERS": "0"}
        with serve(folder / "server", folder / "models", 2, **settings) as server:
            limited = _key(folder / "server" / "data", asked.rate)
            other = _key(folder / "server" / "data", None)
            time.sleep(1.0)
            both, held = asyncio.run(_both(server, limited, other, asked.offered, asked.seconds))
    print(f"connections of each gateway: {held}")
    (statuses, took_s), (others, _) = both
    answered = statuses[200] / took_s
    offered = sum(statuses.values()) / took_s
    print(f"{offered:.0f}/s offered, {answered:.1f}/s answered: {dict(statuses)}")
    print(f"the other key: {dict(others)}")
    right = 0.95 * asked.rate.per_s <= answered <= 1.1 * asked.rate.per_s and set(others) == {200}
    sys.exit(0 if right else 1)


def _key(data: Path, rate: RequestRate | None) -> str:
    key_file = open_key_file(data / "keys.secret")
    minted = mint("bench", [Permission.INVOKE], ["*"], key_file, time.time(), rate=rate)
    store = Store(data / "state.db")
    add_access_key(store, minted.key)
    store.close()
    return minted.api_key


async def _both(
    server: Family, limited: str, other: str, offered: int, seconds: float
) -> tuple[tuple[tuple[Counter[int], float], tuple[Counter[int], float]], list[int]]:
    """What became of both keys' requests, and how many connections each gateway had meanwhile."""

    async def look() -> list[int]:
        await asyncio.sleep(seconds / 2)
        return [len(client_ports(each)) for each in await asyncio.to_thread(server.gateways)]

    first, second, held = await asyncio.gather(
        _ask(server.port, limited, offered, seconds), _ask(server.port, other, _OTHER_PER_S, seconds), look()
    )
    return (first, second), held


async def _ask(port: int, api_key: str, per_s: int, seconds: float) -> tuple[Counter[int], float]:
    """The statuses of requests that are due so often, over several connections, and how long that took."""
    statuses: Counter[int] = Counter()
    begun_s = time.monotonic()
    lines = [_line(port, api_key, per_s / _LINES, begun_s, seconds, statuses) for _ in range(_LINES)]
    await asyncio.gather(*lines)
    return statuses, time.monotonic() - begun_s


async def _line(
    port: int, api_key: str, per_s: float, begun_s: float, seconds: float, statuses: Counter[int]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {_PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Api-Key: {api_key}\r\n"
    request = f"{head}Content-Type: text/csv\r\nContent-Length: 1\r\n\r\n1".encode()
    for number in range(round(seconds * per_s)):
        await asyncio.sleep(begun_s + number / per_s - time.monotonic())
        writer.write(request)
        answer = await reader.readuntil(b"\r\n\r\n")
        lines = dict(line.partition(b": ")[::2] for line in answer.lower().split(b"\r\n"))
        await reader.readexactly(int(lines[b"content-length"]))
        statuses[int(answer[9:12])] += 1
    writer.close()


if __name__ == "__main__":
    main()
