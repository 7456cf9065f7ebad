"""What an address means, whoever gives it."""

import os
from pathlib import Path

import pytest

from service.errors import ObjectFault
from service.objects.resolver import Resolver


@pytest.fixture
def resolver(tmp_path: Path) -> Resolver:
    for key in ("in/a.csv", "in/sub/b.csv", "in-2/c.csv", "index.txt", ".hidden/d.csv"):
        file = tmp_path / "s3" / "bucket" / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(key)
    return Resolver(tmp_path / "s3", allow_paths=True)


def keys(resolver: Resolver, address: str) -> list[str]:
    return [entry.key for entry in resolver.list(address).entries]


def test_a_prefix_is_a_beginning_of_keys_not_a_folder(resolver: Resolver) -> None:
    assert keys(resolver, "s3://bucket/in") == ["in-2/c.csv", "in/a.csv", "in/sub/b.csv", "index.txt"]
    assert keys(resolver, "s3://bucket/in/") == ["in/a.csv", "in/sub/b.csv"]
    assert keys(resolver, "s3://bucket/in/s") == ["in/sub/b.csv"]
    assert keys(resolver, "s3://bucket/in/a.csv") == ["in/a.csv"]
    assert len(keys(resolver, "s3://bucket")) == len(keys(resolver, "s3://bucket/")) == 5


def test_a_folder_is_listed_without_its_hidden_files(resolver: Resolver, tmp_path: Path) -> None:
    folder = tmp_path / "s3" / "bucket"
    (folder / "in" / ".DS_Store").write_text("")

    for address in (str(folder), folder.as_uri(), f"{folder}/"):
        assert keys(resolver, address) == ["in-2/c.csv", "in/a.csv", "in/sub/b.csv", "index.txt"]
    assert keys(resolver, str(folder / "in" / "a.csv")) == ["a.csv"]


def test_what_lies_below_the_output_is_no_input(resolver: Resolver, tmp_path: Path) -> None:
    listing = resolver.list("s3://bucket/in", below=resolver.locate("s3://bucket/in/sub/"))

    assert [entry.key for entry in listing.entries] == ["in-2/c.csv", "in/a.csv", "index.txt"]


def test_an_entry_tells_its_file_and_size(resolver: Resolver, tmp_path: Path) -> None:
    listing = resolver.list("s3://bucket/in/a")

    (entry,) = listing.entries
    path = listing.path(entry)
    assert path == resolver.locate("s3://bucket/in/a.csv")
    assert path.objects.fetch(path.key) == tmp_path / "s3" / "bucket" / "in" / "a.csv"
    assert entry.size_bytes == len("in/a.csv")
    assert resolver.read("s3://bucket/in/a.csv") == b"in/a.csv"


def test_links_in_circles_end(resolver: Resolver, tmp_path: Path) -> None:
    folder = tmp_path / "s3" / "bucket" / "in"
    (folder / "again").symlink_to(folder)

    assert keys(resolver, str(folder)) == ["a.csv", "sub/b.csv"]


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
def test_what_is_not_there_or_leads_out_is_told(resolver: Resolver, address: str, reason: str) -> None:
    with pytest.raises(ObjectFault, match=reason):
        resolver.list(address)


def test_strangers_may_only_name_objects_in_buckets(resolver: Resolver, tmp_path: Path) -> None:
    public = Resolver(tmp_path / "s3", allow_paths=False)

    assert len(public.list("s3://bucket/in/").entries) == 2
    for address in ("/etc/passwd", "file:///etc/passwd", "relative", "~/x"):
        with pytest.raises(ObjectFault, match="must begin with s3://"):
            public.locate(address)


# ---- what others put there


def test_links_in_a_bucket_lead_nowhere(resolver: Resolver, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "private.csv").write_text("secret")
    bucket = tmp_path / "s3" / "bucket"
    (bucket / "in" / "folder").symlink_to(outside)
    (bucket / "in" / "file.csv").symlink_to(outside / "private.csv")
    (tmp_path / "s3" / "linked").symlink_to(outside)
    public = Resolver(tmp_path / "s3", allow_paths=False)

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
        public.bucket("bucket").write("in/folder/x"),
    ):
        pytest.fail("never entered")
    assert sorted(file.name for file in outside.iterdir()) == ["private.csv"]


def test_a_pipe_is_no_object_and_nobody_waits_for_it(resolver: Resolver, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s3" / "bucket" / "in" / "pipe")

    assert keys(resolver, "s3://bucket/in/") == ["in/a.csv", "in/sub/b.csv"]
    for address in ("s3://bucket/in/pipe", str(tmp_path / "s3" / "bucket" / "in" / "pipe")):
        with pytest.raises(ObjectFault, match="it is no plain file"):
            resolver.read(address)
