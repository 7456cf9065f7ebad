"""Objects by address, and files that appear whole or not at all."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.errors import ObjectFault
from service.objects.beneath import Spot
from service.objects.store import ObjectStore, read_chunks
from service.objects.writing import remove_abandoned, replacing, sync_folders
from tests.conftest import ROOT, wait_until


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    for key in ("in/a.csv", "in/sub/b.csv", "in-2/c.csv", "index.txt", ".hidden/d.csv"):
        file = tmp_path / "s3" / "bucket" / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(key)
    return ObjectStore(tmp_path / "s3", allow_paths=True)


def keys(store: ObjectStore, address: str) -> list[str]:
    return [entry.key for entry in store.list(address).entries]


def test_a_prefix_is_a_beginning_of_keys_not_a_folder(store: ObjectStore) -> None:
    assert keys(store, "s3://bucket/in") == ["in-2/c.csv", "in/a.csv", "in/sub/b.csv", "index.txt"]
    assert keys(store, "s3://bucket/in/") == ["in/a.csv", "in/sub/b.csv"]
    assert keys(store, "s3://bucket/in/s") == ["in/sub/b.csv"]
    assert keys(store, "s3://bucket/in/a.csv") == ["in/a.csv"]
    assert len(keys(store, "s3://bucket")) == len(keys(store, "s3://bucket/")) == 5


def test_a_folder_is_listed_without_its_hidden_files(store: ObjectStore, tmp_path: Path) -> None:
    folder = tmp_path / "s3" / "bucket"
    (folder / "in" / ".DS_Store").write_text("")

    for address in (str(folder), folder.as_uri(), f"{folder}/"):
        assert keys(store, address) == ["in-2/c.csv", "in/a.csv", "in/sub/b.csv", "index.txt"]
    assert keys(store, str(folder / "in" / "a.csv")) == ["a.csv"]


def test_what_lies_below_the_output_is_no_input(store: ObjectStore, tmp_path: Path) -> None:
    listing = store.list("s3://bucket/in", below=Spot(tmp_path / "s3" / "bucket" / "in" / "sub"))

    assert [entry.key for entry in listing.entries] == ["in-2/c.csv", "in/a.csv", "index.txt"]


def test_an_entry_tells_its_file_and_size(store: ObjectStore, tmp_path: Path) -> None:
    (entry,) = store.list("s3://bucket/in/a").entries

    assert entry.spot.path == tmp_path / "s3" / "bucket" / "in" / "a.csv"
    assert entry.size_bytes == len("in/a.csv")
    assert store.read("s3://bucket/in/a.csv") == b"in/a.csv"


def test_links_in_circles_end(store: ObjectStore, tmp_path: Path) -> None:
    folder = tmp_path / "s3" / "bucket" / "in"
    (folder / "again").symlink_to(folder)

    assert keys(store, str(folder)) == ["a.csv", "sub/b.csv"]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("s3://bucket/none/", "No object's key begins with"),
        ("s3://nothing/in", "There is no bucket nothing"),
        ("s3://bucket/../x", "a key with empty, . or .."),
        ("s3://bucket/a//b", "a key with empty, . or .."),
        ("s3://../etc", "names no bucket"),
        ("s3://", "names no bucket"),
        ("ftp://host/file", "use s3://bucket/key"),
        ("/no/such/folder", "There is no file or folder"),
        ("", "is no path"),
        ("a\0b", "is no path"),
    ],
)
def test_what_is_not_there_or_leads_out_is_told(store: ObjectStore, address: str, reason: str) -> None:
    with pytest.raises(ObjectFault, match=reason):
        store.list(address)


def test_strangers_may_only_name_objects_in_buckets(store: ObjectStore, tmp_path: Path) -> None:
    public = ObjectStore(tmp_path / "s3", allow_paths=False)

    assert len(public.list("s3://bucket/in/").entries) == 2
    for address in ("/etc/passwd", "file:///etc/passwd", "relative", "~/x"):
        with pytest.raises(ObjectFault, match="must begin with s3://"):
            public.locate(address)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("x")
    file.chmod(0)

    with pytest.raises(ObjectFault, match="secret cannot be read: Permission denied"):
        list(read_chunks(Spot(file)))


def test_gzip_is_unpacked_on_the_way_in_pieces(tmp_path: Path) -> None:
    data = os.urandom(300_000)
    file = tmp_path / "a.gz"
    file.write_bytes(gzip.compress(data[:100_000]) + gzip.compress(data[100_000:]))

    chunks = list(read_chunks(Spot(file), unpack=True, size=1000))

    assert b"".join(chunks) == data
    assert max(map(len, chunks)) <= 1000


@pytest.mark.parametrize(
    "data",
    [b"1,2\n3,4\n", gzip.compress(os.urandom(1000))[:-20], gzip.compress(b"x" * 99)[:-8] + b"\0" * 8],
    ids=["no gzip", "cut off", "another checksum"],
)
def test_what_is_no_whole_gzip_is_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.gz").write_bytes(data)

    with pytest.raises(ObjectFault, match="is not a whole gzip file"):
        list(read_chunks(Spot(tmp_path / "a.gz"), unpack=True))


def test_a_file_appears_whole_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out"

    with replacing(Spot(target)) as sink:
        sink.write(b"one")
        assert not target.exists()
        sink.write(b"two")
        before = sink.identity

    status = target.stat()
    assert target.read_bytes() == b"onetwo"
    assert before == (status.st_dev, status.st_ino, 6, status.st_mtime_ns)
    assert [path.name for path in target.parent.iterdir()] == ["out"]
    sync_folders([Spot(target.parent)])


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("old")

    with pytest.raises(KeyboardInterrupt), replacing(Spot(target)) as sink:  # noqa: PT012
        sink.write(b"new")
        raise KeyboardInterrupt

    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_unfinished_files_are_no_objects_and_go_once_their_writer_is_dead(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path, allow_paths=True)
    bucket = tmp_path / "bucket"
    program = (
        "import sys, pathlib\n"
        "from service.objects.beneath import Spot\n"
        "from service.objects.writing import *\n"
        "with replacing(Spot(pathlib.Path(sys.argv[1]))) as sink: sink.write(b'x'); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(bucket / "theirs")]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) as writer:
        wait_until(lambda: bucket.is_dir() and any(bucket.iterdir()))
        with replacing(Spot(bucket / "ours")) as sink:
            sink.write(b"x")
            remove_abandoned(Spot(tmp_path))
            assert len(list(bucket.iterdir())) == 2
            with pytest.raises(ObjectFault, match="No object"):
                store.list("s3://bucket/")
        writer.kill()

    remove_abandoned(Spot(tmp_path))

    assert [path.name for path in bucket.iterdir()] == ["ours"]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with (
        pytest.raises(ObjectFault, match="out cannot be written") as caught,
        replacing(Spot(tmp_path / "file" / "out")),
    ):
        pytest.fail("never entered")

    assert caught.value.writing


# ---- what others put there


def test_links_in_a_bucket_lead_nowhere(store: ObjectStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "private.csv").write_text("secret")
    bucket = tmp_path / "s3" / "bucket"
    (bucket / "in" / "folder").symlink_to(outside)
    (bucket / "in" / "file.csv").symlink_to(outside / "private.csv")
    (tmp_path / "s3" / "linked").symlink_to(outside)
    public = ObjectStore(tmp_path / "s3", allow_paths=False)

    assert keys(public, "s3://bucket/in/") == ["in/a.csv", "in/sub/b.csv"]
    for address in (
        "s3://bucket/in/folder/private.csv",
        "s3://bucket/in/file.csv",
        "s3://linked/private.csv",
    ):
        with pytest.raises(
            ObjectFault, match=r"it is a link, and none is followed here|it is no plain file"
        ) as refused:
            public.read(address)
        assert refused.value.message.startswith(f"{address} cannot be read: ")
    for address in ("s3://linked/", "s3://bucket/in/folder/"):
        with pytest.raises(ObjectFault) as refused:
            public.list(address)
        assert str(tmp_path) not in refused.value.message
    with (
        pytest.raises(ObjectFault, match="cannot be written"),
        replacing(public.locate("s3://bucket/in/folder/x")),
    ):
        pytest.fail("never entered")
    assert sorted(file.name for file in outside.iterdir()) == ["private.csv"]


def test_a_pipe_is_no_object_and_nobody_waits_for_it(store: ObjectStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s3" / "bucket" / "in" / "pipe")

    assert keys(store, "s3://bucket/in/") == ["in/a.csv", "in/sub/b.csv"]
    for address in ("s3://bucket/in/pipe", str(tmp_path / "s3" / "bucket" / "in" / "pipe")):
        with pytest.raises(ObjectFault, match="it is no plain file"):
            store.read(address)


def test_an_output_takes_the_place_of_a_link_and_not_of_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("old")
    (tmp_path / "out").symlink_to(tmp_path / "precious")

    with replacing(Spot(tmp_path) / "out") as sink:
        sink.write(b"new")

    assert (tmp_path / "precious").read_text() == "old"
    assert (tmp_path / "out").read_text() == "new"


def test_what_is_kept_gets_the_next_number(tmp_path: Path) -> None:
    for text in (b"1", b"2", b"3"):
        with replacing(Spot(tmp_path) / "june.csv.gz.out", keep=True) as sink:
            sink.write(text)

    found = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert found == {"june.csv.gz.out": b"1", "june-2.csv.gz.out": b"2", "june-3.csv.gz.out": b"3"}


def test_who_may_read_a_folder_may_read_what_is_written_there(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        for mode, of_folder, of_file in ((0o777, 0o755, 0o644), (0o750, 0o750, 0o640), (0o700, 0o700, 0o600)):
            around = tmp_path / oct(mode)
            around.mkdir()
            around.chmod(mode)
            with replacing(Spot(around) / "sub/out") as sink:
                sink.write(b"x")
            assert (around / "sub").stat().st_mode & 0o777 == of_folder
            assert (around / "sub" / "out").stat().st_mode & 0o777 == of_file
    finally:
        os.umask(before)
