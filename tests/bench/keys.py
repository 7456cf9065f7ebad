"""A key is revoked while 16 callers use it: when the last request was let in that was sent afterwards.

`python tests/bench/keys.py [--rounds 3] [--seconds 3]`. Eight callers send the API key, eight sign.
What is sent later than a second after the key was revoked must not be let in by either of two gateways.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from service.access.key_file import open_key_file
from service.access.minting import Minted, mint
from service.control.access_keys import add_access_key, revoke_access_key
from service.domain.access_keys import Permission
from service.store.store import Store
from tests.harness.family import Family, serve
from tests.harness.gateways import declare, make_model, variants

_CALLERS = 16
_PATH = "/endpoints/one/invocations"
_BODY = b"1"


@dataclass
class Seen:
    """What callers saw: when each request that was let in had been sent, and how many were refused."""

    let_in_s: list[float] = field(default_factory=list)
    refused: int = 0
    other: int = 0


def main() -> None:
    """Print one line for each round; exit code 1 if anything was let in too late."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    asked = parser.parse_args()
    late = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_model(folder / "models" / "a", 7)
        declare(folder / "models", variants("one", a=1))
        with serve(
            folder / "server", folder / "models", 2, SAGEBIRD_AUTH="keys", SAGEBIRD_WORKERS="0"
        ) as server:
            for number in range(asked.rounds):
                late += _round(server, folder / "server" / "data", number, asked.seconds)
    sys.exit(1 if late else 0)


def _round(server: Family, data: Path, number: int, seconds: float) -> int:
    key_file = open_key_file(data / "keys.secret")
    minted = mint(f"round{number}", [Permission.INVOKE], ["*"], key_file, time.time())
    store = Store(data / "state.db")
    add_access_key(store, minted.key)
    time.sleep(1.0)
    seen, revoked_s = asyncio.run(_load(server.port, minted, store, seconds))
    store.close()
    late = sum(sent_s > revoked_s + 1.0 for sent_s in seen.let_in_s)
    last_ms = (max(seen.let_in_s) - revoked_s) * 1e3
    print(
        f"round {number}: {len(seen.let_in_s)} let in, the last sent {last_ms:.0f} ms after it was revoked, "
        f"{late} later than a second; {seen.refused} refused, {seen.other} answered otherwise"
    )
    return late + seen.other


async def _load(port: int, key: Minted, store: Store, seconds: float) -> tuple[Seen, float]:
    seen, over = Seen(), asyncio.Event()
    callers = [asyncio.create_task(_call(port, key, number, seen, over)) for number in range(_CALLERS)]
    await asyncio.sleep(seconds)
    await asyncio.to_thread(revoke_access_key, store, key.key.id, time.time())
    revoked_s = time.monotonic()
    await asyncio.sleep(seconds)
    over.set()
    await asyncio.gather(*callers)
    return seen, revoked_s


async def _call(port: int, key: Minted, number: int, seen: Seen, over: asyncio.Event) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = _signed(port, key) if number % 2 else _with_key(port, key)
    while not over.is_set():
        sent_s = time.monotonic()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        lines = dict(line.partition(b": ")[::2] for line in head.lower().split(b"\r\n"))
        await reader.readexactly(int(lines[b"content-length"]))
        status = head[9:12]
        if status == b"200":
            seen.let_in_s.append(sent_s)
        elif status in (b"401", b"403"):
            seen.refused += 1
        else:
            seen.other += 1
    writer.close()


def _with_key(port: int, key: Minted) -> bytes:
    return _request(port, {"X-Api-Key": key.api_key, "Content-Type": "text/csv"})


def _signed(port: int, key: Minted) -> bytes:
    url = f"http://127.0.0.1:{port}{_PATH}"
    request = AWSRequest("POST", url, headers={"Content-Type": "text/csv"}, data=_BODY)
    pair = Credentials(key.key.id, key.secret_access_key)
    SigV4Auth(pair, "sagemaker", "us-east-1").add_auth(request)
    return _request(port, {name: str(value) for name, value in request.headers.items()})


def _request(port: int, headers: dict[str, str]) -> bytes:
    given = {"Host": f"127.0.0.1:{port}", **headers, "Content-Length": str(len(_BODY))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"POST {_PATH} HTTP/1.1\r\n{lines}\r\n".encode() + _BODY


if __name__ == "__main__":
    main()
