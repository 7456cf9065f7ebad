"""kill -9 of everything while objects are uploaded: each object is one that was sent, and nothing is left.

Writers put objects of several sizes at a few keys, one of them shared, and one uploads in parts. At a random
moment every process of the family is killed. The next one starts on the same data: each object must be one
that somebody sent, with its own details, one that was acknowledged must not have gone, and nothing unfinished
may lie about. `--alone` kills the face of buckets without the rest of a family, which starts much faster.
`--large` puts and gets one object of so many MiB instead, and says how fast, beside the disk before and after
it, and by how much processes grew: by a stock client, which over plain HTTP sums each part up with SHA-256
besides CRC32, as the server has to besides MD5, and by one that leaves SHA-256 out, as clients do over HTTPS.
"""

import argparse
import hashlib
import os
import random
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import mean
from time import monotonic, sleep
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench.buckets_alone import READY
from tests.bench.crashes import kill_all
from tests.bench.figures import show_figures
from tests.harness.family import ROOT, Family, serve

_BUCKET = "kept"
_PARTS = "parts/k"
_PART = 5 << 20
_SIZES = (1_000, 300_000, 3_000_000)
_LONGEST_S = 2.0
_SETTLE_S = 15.0
_MIB = 1 << 20


def client(family: Family, *, signs: bool = True) -> Any:
    """A stock client that asks once; it signs what it sends, as it does over HTTP, or does not."""
    config = Config(
        retries={"total_max_attempts": 1},
        connect_timeout=10,
        read_timeout=60,
        s3=None if signs else {"payload_signing_enabled": False},
    )
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{family.port}",
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=config,
    )


class Writer:
    """Uploads until the server is gone; knows the keys of which something was acknowledged."""

    def __init__(self, family: Family, number: int, chance: random.Random) -> None:
        self.acknowledged: set[str] = set()
        self._s3 = client(family)
        self._number = number
        self._chance = chance
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def wait(self) -> None:
        """Wait until it has noticed that the server is gone."""
        self._thread.join()

    def _run(self) -> None:
        with suppress(BotoCoreError, ClientError, OSError):
            while True:
                self._put_parts() if self._number == 0 else self._put()

    def _put(self) -> None:
        body = self._chance.randbytes(self._chance.choice(_SIZES))
        key = "shared/k" if self._number > 2 else f"w{self._number}/deep/{self._chance.randrange(3)}"
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
        self._s3.put_object(Bucket=_BUCKET, Key=key, Body=body, Metadata={"md5": digest})
        self.acknowledged.add(key)

    def _put_parts(self) -> None:
        named = {"Bucket": _BUCKET, "Key": _PARTS}
        upload = self._s3.create_multipart_upload(**named)["UploadId"]
        parts = [
            {
                "PartNumber": number,
                "ETag": self._s3.upload_part(
                    **named, UploadId=upload, PartNumber=number, Body=bytes([number]) * _PART
                )["ETag"],
            }
            for number in (1, 2)
        ]
        self._s3.complete_multipart_upload(**named, UploadId=upload, MultipartUpload={"Parts": parts})
        self.acknowledged.add(_PARTS)


def measure_kills(
    folder: Path, note: Callable[[str], object], moments: int, seed: int, *, alone: bool = False
) -> dict[str, Any]:
    """Kill everything so often. Raises AssertionError: something that was found is not right."""
    chance = random.Random(seed)
    acknowledged: set[str] = set()
    found, unfinished = 0, 0
    start = _buckets_alone if alone else _served
    for moment in range(moments):
        with start(folder) as family:
            if moment == 0:
                client(family).create_bucket(Bucket=_BUCKET)
            else:
                found += _check(client(family), folder, acknowledged)
            writers = [Writer(family, number, random.Random(chance.random())) for number in range(5)]
            sleep(0.2 + chance.random() * _LONGEST_S)
            kill_all(family.process.pid, chance)
            for writer in writers:
                writer.wait()
                acknowledged |= writer.acknowledged
        unfinished += len(_debris(folder))
        note(f"moment {moment + 1} of {moments}: {len(acknowledged)} keys, {unfinished} unfinished so far")
    with start(folder) as family:
        found += _check(client(family), folder, acknowledged)
    return {
        "moments": moments,
        "objects looked at, each whole": found,
        "files that kills left unfinished, all gone after the next start": unfinished,
        "keys acknowledged, none lost": len(acknowledged),
    }


def _check(s3: Any, folder: Path, acknowledged: set[str]) -> int:
    """How many objects there are, all of which are right."""
    assert not _debris(folder), _debris(folder)
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=_BUCKET).get("Contents", [])]
    assert acknowledged <= set(keys), acknowledged - set(keys)
    for key in keys:
        object_ = s3.get_object(Bucket=_BUCKET, Key=key)
        body, etag = object_["Body"].read(), object_["ETag"].strip('"')
        if key == _PARTS:
            assert body == b"\1" * _PART + b"\2" * _PART, key
            assert etag.endswith("-2"), etag
        else:
            digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
            assert digest == etag == object_["Metadata"]["md5"], key
    for upload in s3.list_multipart_uploads(Bucket=_BUCKET).get("Uploads", []):
        s3.abort_multipart_upload(Bucket=_BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
    return len(keys)


def _debris(folder: Path) -> list[Path]:
    data = folder / "data"
    return [*(data / "s3").rglob("*.sagebird-part"), *(data / "s3-details").glob("*/incoming/*")]


def measure_large(folder: Path, size_mib: int) -> dict[str, dict[str, Any]]:
    """Put and get one object of so many MiB, once by each kind of client."""
    return {
        f"{size_mib} MiB, {name}": _measure_large(folder, size_mib, signs=signs)
        for name, signs in (("stock client", True), ("payload not signed", False))
    }


def _measure_large(folder: Path, size_mib: int, *, signs: bool) -> dict[str, Any]:
    source, back = folder / "source", folder / "back"
    disk = [_disk_rate(source, size_mib)]
    transfer = TransferConfig(multipart_chunksize=64 * _MIB, max_concurrency=4)
    with _served(folder) as family:
        s3 = client(family, signs=signs)
        s3.create_bucket(Bucket=_BUCKET)
        _settle()
        before, peaks = _bytes_of(family), dict[int, int]()
        over = threading.Event()
        watching = threading.Thread(target=_watch, args=(family, peaks, over))
        watching.start()
        began_s = monotonic()
        s3.upload_file(str(source), _BUCKET, "large", Config=transfer)
        up = size_mib / (monotonic() - began_s)
        _settle()
        began_s = monotonic()
        s3.download_file(_BUCKET, "large", str(back), Config=transfer)
        os.sync()
        down = size_mib / (monotonic() - began_s)
        over.set()
        watching.join()
        with source.open("rb") as one, back.open("rb") as other:
            assert all(one.read(_MIB) == other.read(_MIB) for _ in range(size_mib + 1)), "not what was sent"
        s3.delete_object(Bucket=_BUCKET, Key="large")
        s3.delete_bucket(Bucket=_BUCKET)
    back.unlink()
    disk.append(_disk_rate(source, size_mib))
    return {
        "disk alone before and after, MiB/s (written and synced)": " ".join(f"{one:.0f}" for one in disk),
        "up, MiB/s": up,
        "up, of the disk's rate": up / mean(disk),
        "down, MiB/s": down,
        "down, of the disk's rate": down / mean(disk),
        "largest process at its peak, MiB": max(peaks.values()) / _MIB,
        "most that a process grew by, MiB": max(peak - before.get(pid, 0) for pid, peak in peaks.items())
        / _MIB,
    }


def _disk_rate(file: Path, size_mib: int) -> float:
    """MiB/s at which the disk takes a new file of so many MiB of no order."""
    file.unlink(missing_ok=True)
    _settle()
    block = os.urandom(_MIB)
    began_s = monotonic()
    with file.open("wb") as opened:
        for _ in range(size_mib):
            opened.write(block)
        opened.flush()
        os.fsync(opened.fileno())
    return size_mib / (monotonic() - began_s)


def _settle() -> None:
    """Wait until the disk and the memory are at rest.

    What is still to be written of others would be written beside what is measured. And on a virtual machine
    whose host takes free memory back, a file is written several times as fast into pages that another one
    has left a second ago: the disk alone would be measured with those, and what is held against it not.
    """
    os.sync()
    sleep(_SETTLE_S)


def _watch(family: Family, peaks: dict[int, int], over: threading.Event) -> None:
    while not over.wait(0.05):
        for pid, size in _bytes_of(family).items():
            peaks[pid] = max(size, peaks.get(pid, 0))


def _bytes_of(family: Family) -> dict[int, int]:
    return {child.pid: child.memory_info().rss for child in family.processes()[1:]}


def _served(folder: Path) -> Family:
    models = folder / "models"
    models.mkdir(exist_ok=True)
    return serve(folder, models, 2, ready_path="/healthz")


def _buckets_alone(folder: Path) -> Family:
    program = str(ROOT / "tests" / "bench" / "buckets_alone.py")
    return Family([program], folder / "log", READY, SAGEBIRD_DATA=str(folder / "data"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=50, help="how often everything is killed (50)")
    parser.add_argument("--seed", type=int, default=5, help="of the moments (5)")
    parser.add_argument("--alone", action="store_true", help="kill the face of buckets alone")
    parser.add_argument(
        "--large", type=int, metavar="MIB", help="put and get one object of this size instead"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sagebird-bench-") as name:
        if options.large is not None:
            show_figures("one large object", measure_large(Path(name), options.large))
            return
        figures = measure_kills(
            Path(name),
            lambda text: print(text, file=sys.stderr),
            options.moments,
            options.seed,
            alone=options.alone,
        )
    show_figures("kill -9 of everything during uploads", {f"seed {options.seed}": figures})


if __name__ == "__main__":
    main()
