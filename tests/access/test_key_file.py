import stat
import threading
from pathlib import Path

import pytest

from service.access.key_file import open_key_file
from service.errors import StartupError


def test_a_key_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "key"

    first, second = open_key_file(path), open_key_file(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first.secret_of("A") == second.secret_of("A")
    assert first.fingerprint == second.fingerprint
    assert [entry.name for entry in path.parent.iterdir()] == ["key"]


def test_each_key_has_a_secret_of_its_own_and_so_has_each_file(tmp_path: Path) -> None:
    one, other = open_key_file(tmp_path / "one"), open_key_file(tmp_path / "other")

    secrets = {file.secret_of(key) for file in (one, other) for key in ("A", "B")}

    assert len(secrets) == 4
    assert {len(secret) for secret in secrets} == {40}
    assert one.fingerprint != other.fingerprint


def test_several_who_make_it_at_once_have_the_same(tmp_path: Path) -> None:
    path, found, start = tmp_path / "key", [], threading.Barrier(8)

    def open_it() -> None:
        start.wait(30)
        found.append(open_key_file(path).fingerprint)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    open_key_file(path)
    path.chmod(mode)

    with pytest.raises(StartupError, match=f"chmod 600 {path}"):
        open_key_file(path)


@pytest.mark.parametrize("content", [b"", b"ab", b"0" * 63, b"0" * 66, b"g" * 64, b"0" * 64 + b"\n\n"])
def test_what_is_no_key_file_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(StartupError, match="64 hexadecimal digits") as caught:
        open_key_file(path)

    assert not content.strip() or content.decode() not in caught.value.message


def test_a_link_and_a_folder_are_refused(tmp_path: Path) -> None:
    open_key_file(tmp_path / "key")
    (tmp_path / "link").symlink_to(tmp_path / "key")

    for path in (tmp_path / "link", tmp_path):
        with pytest.raises(StartupError, match="key file"):
            open_key_file(path)


def test_a_file_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StartupError, match="SAGEBIRD_KEY_FILE"):
        open_key_file(tmp_path / "file" / "key")
