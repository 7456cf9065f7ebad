"""Files that appear whole or not at all, looked at as files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.errors import ObjectFault
from service.objects.beneath import Spot, version_of
from service.objects.resolver import Resolver
from service.objects.writing import remove_abandoned, replacing, sync_folder
from tests.conftest import ROOT, wait_until


def test_a_file_appears_whole_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out"

    with replacing(Spot(target)) as sink:
        sink.write(b"one")
        assert not target.exists()
        sink.write(b"two")
        before = sink.version

    status = target.stat()
    assert target.read_bytes() == b"onetwo"
    assert before == version_of(status) == f"6-{status.st_mtime_ns}"
    assert [path.name for path in target.parent.iterdir()] == ["out"]
    sync_folder(Spot(target.parent))


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("old")

    with pytest.raises(KeyboardInterrupt), replacing(Spot(target)) as sink:  # noqa: PT012
        sink.write(b"new")
        raise KeyboardInterrupt

    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_unfinished_files_are_no_objects_and_go_once_their_writer_is_dead(tmp_path: Path) -> None:
    resolver = Resolver(tmp_path)
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
                resolver.list("s3://bucket/")
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
