"""Objects that are written: whole with their details or not at all, whoever else writes, dies or looks."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event

import pytest

from service.errors import BucketFault
from service.objects.buckets.buckets import Buckets
from service.objects.buckets.details import Details
from service.objects.buckets.uploads import LEAST_PART_BYTES, PartWriting, Uploads
from service.objects.buckets.writing import Expected, ObjectWriting
from tests.conftest import ROOT, wait_until

_ANY = Expected()


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    made = Buckets(tmp_path / "s3", tmp_path / "details")
    made.create("bucket", "us-east-1")
    return made


def _put(buckets: Buckets, key: str, body: bytes, etag: str = "e") -> None:
    writing = ObjectWriting(buckets, "bucket", key, _ANY)
    writing.write(body)
    writing.publish(Details(etag))


def _files(tmp_path: Path) -> list[str]:
    bucket = tmp_path / "s3" / "bucket"
    return sorted(path.relative_to(bucket).as_posix() for path in bucket.rglob("*"))


def test_an_object_is_there_with_its_details_or_not_at_all(buckets: Buckets, tmp_path: Path) -> None:
    writing = ObjectWriting(buckets, "bucket", "a/b", _ANY)
    writing.write(b"1")
    assert buckets.find("bucket", "a/b") is None
    assert list(buckets.walk("bucket", "", "", "")) == []

    written = writing.publish(Details("etag", metadata={"a": "b"}))

    found = buckets.head("bucket", "a/b")
    assert found == written
    assert (found.size_bytes, found.details) == (1, Details("etag", metadata={"a": "b"}))
    assert list(buckets.details.notes()) == []


def test_a_write_that_is_given_up_leaves_nothing(buckets: Buckets, tmp_path: Path) -> None:
    writing = ObjectWriting(buckets, "bucket", "a/b/c", _ANY)
    writing.write(b"1")
    writing.abandon()
    writing.abandon()

    assert _files(tmp_path) == []
    assert list(buckets.details.notes()) == []


def test_the_details_are_those_of_the_file_that_is_there_whenever_somebody_looks(buckets: Buckets) -> None:
    bodies = [b"%d" % number * (number + 1) for number in range(8)]

    def write(body: bytes) -> None:
        for _ in range(6):
            _put(buckets, "k", body, etag=body.decode())

    def look() -> None:
        for _ in range(60):
            try:
                opened = buckets.open("bucket", "k")
            except BucketFault:
                continue  # not yet
            try:
                body = opened.read(0, 100)
            finally:
                opened.close()
            assert opened.head.details.etag == body.decode()

    with ThreadPoolExecutor(10) as threads:
        for done in [threads.submit(write, body) for body in bodies] + [
            threads.submit(look) for _ in range(2)
        ]:
            done.result()
    assert buckets.head("bucket", "k").details.etag.encode() in bodies


def test_of_many_that_want_to_be_the_first_one_is(buckets: Buckets) -> None:
    first = Expected(if_none_match="*")
    writings = [ObjectWriting(buckets, "bucket", "k", first) for _ in range(4)]

    def publish(writing: ObjectWriting) -> str:
        try:
            writing.publish(Details("e"))
        except BucketFault as fault:
            return fault.code
        return "written"

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(publish, writings)) == ["PreconditionFailed"] * 3 + ["written"]


def test_a_folder_that_is_removed_while_it_is_needed_is_made_again(buckets: Buckets) -> None:
    def put_and_remove(number: int) -> None:
        for _ in range(25):
            key = f"a/b/{number}"
            _put(buckets, key, b"1")
            buckets.delete("bucket", key)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(put_and_remove, range(4)))
    assert list(buckets.walk("bucket", "", "", "")) == []


_PROGRAM = """
import sys
from pathlib import Path
from service.objects.buckets.buckets import Buckets
from service.objects.buckets.details import Details
from service.objects.buckets.writing import Expected, ObjectWriting
folder = Path(sys.argv[1])
buckets = Buckets(folder / "s3", folder / "details")
print("ready", flush=True)
for number in range(10**9):
    writing = ObjectWriting(buckets, "bucket", "deep/er/k", Expected())
    for _ in range(8):
        writing.write(b"%d " % (number % 10) * 5000)
    writing.publish(Details(f"{number % 10}"))
    print(number, flush=True)
"""


@pytest.mark.parametrize("moment", range(4))
def test_a_writer_that_is_killed_leaves_a_whole_object_and_no_debris(
    buckets: Buckets, tmp_path: Path, moment: int
) -> None:
    command = [sys.executable, "-c", _PROGRAM, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        for _ in range(2 + moment):  # ready, and some writes
            assert writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)

    buckets.clear()

    opened = buckets.open("bucket", "deep/er/k")
    body = opened.read(0, 1 << 20)
    opened.close()
    assert body == body[:2] * 40_000
    assert opened.head.details.etag == body[:1].decode()
    assert _files(tmp_path) == ["deep", "deep/er", "deep/er/k"]
    assert list(buckets.details.notes()) == []


def test_what_is_left_of_the_first_object_of_a_folder_goes_with_the_folder(
    buckets: Buckets, tmp_path: Path
) -> None:
    program = _PROGRAM.replace("    writing.publish", "    sys.stdin.read()\n    writing.publish")
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as writer:
        wait_until(lambda: len(_files(tmp_path)) == 3, 60)
        assert buckets.find("bucket", "deep/er/k") is None
        os.kill(writer.pid, signal.SIGKILL)

    buckets.clear()

    assert _files(tmp_path) == []


def test_parts_of_one_size_become_the_object_without_being_copied(buckets: Buckets, tmp_path: Path) -> None:
    uploads = Uploads(buckets)
    identifier = uploads.begin("bucket", "k", Details(""), "", "")
    for number, body in ((2, b"b" * 7), (1, b"a" * LEAST_PART_BYTES)):
        for size in (LEAST_PART_BYTES,) if number == 2 else ():
            uploads.write_part("bucket", "k", identifier, 3, size).abandon()  # tells how large parts are
        part = uploads.write_part("bucket", "k", identifier, number, len(body))
        part.write(body)
        part.publish(f"{number}" * 32, {})
    (body_file,) = (tmp_path / "details" / "bucket" / "uploads").glob("*/body")
    inode = body_file.stat().st_ino
    wanted = [{"PartNumber": number, "ETag": f"{number}" * 32} for number in (1, 2)]

    head = uploads.complete("bucket", "k", identifier, wanted, _ANY)

    file = tmp_path / "s3" / "bucket" / "k"
    assert file.read_bytes() == b"a" * LEAST_PART_BYTES + b"b" * 7
    assert file.stat().st_ino == inode
    assert head.details.part_sizes == (LEAST_PART_BYTES, 7)
    assert uploads.all("bucket") == []


def test_parts_that_come_in_the_same_moment_are_not_copied_either(buckets: Buckets, tmp_path: Path) -> None:
    uploads, number_of_parts = Uploads(buckets), 8
    together = Barrier(number_of_parts)

    def write(number: int) -> None:
        together.wait()
        part = uploads.write_part("bucket", "k", identifier, number, 3)
        part.write(b"%03d" % number)
        part.publish(f"{number}" * 32, {})

    for _ in range(20):
        identifier = uploads.begin("bucket", "k", Details(""), "", "")
        with ThreadPoolExecutor(number_of_parts) as threads:
            list(threads.map(write, range(1, number_of_parts + 1)))
        (body,) = (tmp_path / "details" / "bucket" / "uploads").glob(f"{identifier}/body")
        assert body.read_bytes() == b"".join(b"%03d" % number for number in range(1, number_of_parts + 1))
        uploads.abort("bucket", "k", identifier)


def test_a_part_is_no_longer_than_it_was_said_to_be(buckets: Buckets) -> None:
    uploads = Uploads(buckets)
    identifier = uploads.begin("bucket", "k", Details(""), "", "")
    part = uploads.write_part("bucket", "k", identifier, 1, 3)
    with pytest.raises(BucketFault):
        part.write(b"1234")
    part.abandon()
    assert uploads.parts("bucket", identifier) == []


def test_what_is_left_of_uploads_that_were_taken_away_is_cleared(buckets: Buckets, tmp_path: Path) -> None:
    uploads = Uploads(buckets)
    kept = uploads.begin("bucket", "k", Details(""), "", "")
    half = tmp_path / "details" / "bucket" / "uploads" / ".half"
    half.mkdir()
    (half / "body").touch()

    uploads.clear()

    assert not half.exists()
    assert [one.id for one in uploads.all("bucket")] == [kept]


def test_the_disk_is_asked_early_for_what_came_of_a_large_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _, start, length, advice: asked.append((start, length)))
    mib = 1 << 20
    PartWriting(tmp_path, 1, 20 * mib).abandon()  # its size is the one of every part
    writing = PartWriting(tmp_path, 2, 20 * mib)

    for _ in range(20):
        writing.write(b"x" * mib)
    writing.publish("0" * 32, {})

    assert asked == [(start * mib, 4 * mib) for start in range(20, 40, 4)]


@pytest.mark.parametrize("by_parts", [False, True])
def test_who_writes_is_told_of_the_own_object_whatever_others_do(buckets: Buckets, by_parts: bool) -> None:
    over = Event()
    uploads = Uploads(buckets)

    def disturb() -> None:
        while not over.is_set():
            _put(buckets, "k", b"other", "another one's")
            buckets.delete("bucket", "k")

    def write(etag: str) -> str:
        if not by_parts:
            writing = ObjectWriting(buckets, "bucket", "k", _ANY)
            writing.write(b"1")
            return writing.publish(Details(etag)).details.etag
        upload = uploads.begin("bucket", "k", Details("", metadata={"e": etag}), "", "")
        part = uploads.write_part("bucket", "k", upload, 1, 1)
        part.write(b"1")
        part.publish(etag, {})
        wanted = [{"PartNumber": 1, "ETag": etag}]
        return uploads.complete("bucket", "k", upload, wanted, _ANY).details.metadata["e"]

    with ThreadPoolExecutor(2) as threads:
        disturbing = threads.submit(disturb)
        try:
            for number in range(150):
                etag = f"{number:032x}"
                assert write(etag) == etag
        finally:
            over.set()
        disturbing.result()
    assert not by_parts or uploads.all("bucket") == []
