"""A model's files as an archive in parts."""

import asyncio
import io
import os
import tarfile
from pathlib import Path

import pytest

from service.hosting.engines.packed import packed


async def whole(folder: Path) -> bytes:
    return b"".join([part async for part in packed(folder, "opt/model")])


def test_files_links_and_folders_come_readable_by_all_and_nothing_else_does(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir(mode=0o700)
    (tmp_path / "deep" / "large").write_bytes(os.urandom(1 << 20))
    (tmp_path / "deep" / "large").chmod(0o600)
    (tmp_path / "link").symlink_to("deep/large")
    os.mkfifo(tmp_path / "pipe")
    with tarfile.open(fileobj=io.BytesIO(asyncio.run(whole(tmp_path)))) as archive:
        members = {member.name: (oct(member.mode), member.uid) for member in archive}
        file = archive.extractfile("opt/model/deep/large")
        assert file is not None
        assert file.read() == (tmp_path / "deep" / "large").read_bytes()
    assert members.keys() == {f"opt/model{name}" for name in ("", "/deep", "/deep/large", "/link")}
    assert members["opt/model/deep"] == ("0o755", 0)
    assert members["opt/model/deep/large"] == ("0o644", 0)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        asyncio.run(whole(tmp_path / "gone"))


def test_whoever_gives_up_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(1 << 22))

    async def test() -> None:
        parts = packed(tmp_path, "model")
        assert await anext(parts)
        await parts.aclose()

    asyncio.run(test())
