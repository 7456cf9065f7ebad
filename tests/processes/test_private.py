"""The folder of a family's sockets: private, short, gone with its family or with the next one's start."""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from service.processes.private import private_folder

MOST_BYTES = 80


def killed(data: Path, put: Callable[[Path], object] = lambda folder: None) -> Path:
    """The folder of a family that was killed."""
    pid = os.fork()
    if not pid:
        with private_folder(data) as folder:
            put(folder)
            (data / "where").write_bytes(bytes(folder))
            os._exit(0)
    os.waitpid(pid, 0)
    return Path((data / "where").read_text())


def places(data: Path) -> list[Path]:
    return sorted(data.glob("run-*"))


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A data folder whose path is short: the folders that tests share processes for have long ones."""
    with TemporaryDirectory(prefix="sagebird-") as name:
        yield Path(name)


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A data folder whose path is too long for the address of a socket."""
    folder = tmp_path / ("d" * 90)
    folder.mkdir()
    return folder


def test_it_is_below_the_data_folder_and_nobody_elses(tmp_path: Path) -> None:
    with private_folder(tmp_path) as folder:
        assert folder.parent == tmp_path
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "a.sock").touch()
    assert list(tmp_path.iterdir()) == []


def test_it_goes_when_the_family_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), private_folder(tmp_path):
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_family_left_goes_with_the_next_start(tmp_path: Path) -> None:
    left = killed(tmp_path, lambda folder: (folder / "a.sock").touch())
    assert (left / "a.sock").exists()
    with private_folder(tmp_path) as folder:
        assert places(tmp_path) == [folder] != [left]


def test_that_of_a_family_that_lives_stays(tmp_path: Path) -> None:
    with private_folder(tmp_path) as one, private_folder(tmp_path) as other:
        assert places(tmp_path) == sorted((one, other))


def test_a_path_that_is_too_long_is_made_up_for_elsewhere(deep: Path) -> None:
    with private_folder(deep) as folder:
        assert len(bytes(folder)) <= MOST_BYTES
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert len(places(deep)) == 1
    assert not folder.exists()
    assert places(deep) == []


def test_the_one_elsewhere_of_a_killed_family_goes_too(deep: Path) -> None:
    left = killed(deep)
    assert left.is_dir()
    with private_folder(deep):
        assert not left.exists()
        assert len(places(deep)) == 1


def test_nothing_else_goes_whatever_a_left_folder_names(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    left = killed(tmp_path)
    (left / "elsewhere").write_bytes(bytes(mine))
    with private_folder(tmp_path):
        assert mine.is_dir()
        assert not left.exists()


def test_without_a_data_folder_there_is_one_for_the_moment() -> None:
    with private_folder(None) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert len(bytes(folder)) <= MOST_BYTES or len(os.environ.get("TMPDIR", "")) > 50
    assert not folder.exists()


def test_one_that_was_removed_meanwhile_harms_nobody(tmp_path: Path) -> None:
    with private_folder(tmp_path) as folder:
        shutil.rmtree(folder)
    assert places(tmp_path) == []
