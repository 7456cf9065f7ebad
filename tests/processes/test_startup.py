import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.errors import StartupError
from service.processes.startup import address, begin, check_folders, install_listed, listen, only_one
from service.settings import Settings, load_settings
from service.whereabouts import told


def settings(models: Path, data: Path) -> Settings:
    return load_settings(models=models, data=data)


def test_a_missing_data_folder_is_made(tmp_path: Path) -> None:
    check_folders(settings(tmp_path, tmp_path / "deep" / "data"))

    assert list((tmp_path / "deep" / "data").iterdir()) == []


@pytest.mark.parametrize("models", ["none", "file", "file/below", "n" * 300])
def test_a_models_folder_that_is_none_is_refused(tmp_path: Path, models: str) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StartupError, match=r"is not a folder that can be read \(SAGEBIRD_MODELS\)\.$"):
        check_folders(settings(tmp_path / models, tmp_path / "data"))

    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("data", "reason"),
    [("file", "File exists"), ("file/below", "Not a directory"), ("n" * 300, "File name too long")],
)
def test_a_data_folder_that_cannot_be_written_is_refused(tmp_path: Path, data: str, reason: str) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StartupError, match=rf"cannot be written \(SAGEBIRD_DATA\): {reason}\.$"):
        check_folders(settings(tmp_path, tmp_path / data))


def test_two_servers_do_not_share_one_state(tmp_path: Path) -> None:
    second = only_one(tmp_path)
    with only_one(tmp_path), pytest.raises(StartupError, match="Another sagebird already serves from"):
        second.__enter__()

    with only_one(tmp_path):
        pass


def test_who_is_second_is_told_where_the_first_one_serves(tmp_path: Path) -> None:
    second = only_one(tmp_path)
    words = rf"serves from {tmp_path} on http://127\.0\.0\.1:9000 \(process {os.getpid()}\): stop it"

    with (
        only_one(tmp_path),
        told(tmp_path, ["http://127.0.0.1:9000"]),
        pytest.raises(StartupError, match=words),
    ):
        second.__enter__()


def test_the_lock_is_given_back_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), only_one(tmp_path):
        raise KeyError

    with only_one(tmp_path):
        pass


def test_a_lock_that_cannot_be_opened_is_not_another_server(tmp_path: Path) -> None:
    (tmp_path / "serve.lock").mkdir()

    lock = only_one(tmp_path)
    with pytest.raises(StartupError, match=r"lock cannot be locked \(SAGEBIRD_DATA\): Is a directory\.$"):
        lock.__enter__()


def test_a_free_port_is_taken_and_named() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert address(listener) == f"http://127.0.0.1:{port}"
        with socket.create_connection(("127.0.0.1", port)):
            pass

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()


def test_the_address_of_ipv6_has_brackets() -> None:
    try:
        with listen("::1", 0) as listener:
            assert address(listener) == f"http://[::1]:{listener.getsockname()[1]}"
    except StartupError as error:
        pytest.skip(f"this machine has no IPv6: {error.message}")


def test_a_port_that_is_taken_is_refused_with_the_way_out() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(StartupError) as caught, listen("127.0.0.1", port):
            pytest.fail("the port is taken")

    assert caught.value.message == (
        f"Cannot listen on 127.0.0.1:{port}: port {port} is taken: stop what listens there, "
        "or choose another (--port, SAGEBIRD_PORT)."
    )


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("192.0.2.1", "Cannot assign requested address"),  # an address of no machine: RFC 5737
        ("ü" * 64, "this cannot be the name of a host"),
    ],
)
def test_an_address_of_another_machine_is_refused(host: str, reason: str) -> None:
    with pytest.raises(StartupError, match=rf"^Cannot listen on {host}:0: {reason}\.$"), listen(host, 0):
        pytest.fail("this machine has no such address")


@pytest.fixture
def _umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_umask")
def test_what_the_data_folder_holds_becomes_its_owners_but_for_what_others_put_there(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    data = tmp_path / "data"
    for folder in (
        "inbox/iris",
        "outbox",
        "s3/bucket",
        "unpacked/x/.new-left/deep",
        "unpacked/.new-left",
        "metrics",
    ):
        (data / folder).mkdir(parents=True)
    for file in ("state.db", "state.db-wal", "inbox/iris/a.csv", "s3/bucket/model.tar.gz"):
        (data / file).touch()
    (data / "elsewhere").symlink_to(tmp_path / "models")
    (data / "inbox").chmod(0o777)

    begin(load_settings(models=tmp_path / "models", data=data))
    (data / "later").touch()

    modes = {str(path.relative_to(tmp_path)): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes["data"] == 0o711
    assert modes["data/state.db"] == modes["data/state.db-wal"] == modes["data/later"] == 0o600
    assert modes["data/unpacked"] == modes["data/metrics"] == 0o700
    assert modes["data/inbox"] == 0o777
    assert modes["data/outbox"] == modes["data/s3"] == modes["data/inbox/iris"] == modes["models"] == 0o755
    assert modes["data/inbox/iris/a.csv"] == modes["data/s3/bucket/model.tar.gz"] == 0o644
    assert list((data / "unpacked").rglob("*")) == [data / "unpacked" / "x"]


def test_a_pinned_model_that_is_not_there_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "models" / "iris").mkdir(parents=True)
    asked = load_settings(models=tmp_path / "models", data=tmp_path / "data", pinned_models="iris, irsi")
    umask = os.umask(0o022)
    try:
        begin(asked)
    finally:
        os.umask(umask)

    (told,) = [
        record.getMessage() for record in caplog.records if "SAGEBIRD_PINNED_MODELS" in record.getMessage()
    ]
    assert "['irsi']" in told


def listed(tmp_path: Path, text: str, **options: object) -> Settings:
    (tmp_path / "requirements.txt").write_text(text)
    return load_settings(models=tmp_path, data=tmp_path / "data", wheels=tmp_path / "no-wheels", **options)


def test_what_is_listed_and_here_needs_no_installing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    install_listed(settings(tmp_path, tmp_path / "data"))
    install_listed(listed(tmp_path, "numpy\n"))
    install_listed(listed(tmp_path, "absent-package\n", environments="off"))

    assert caplog.records == []


@pytest.mark.parametrize(
    ("text", "reason"), [("absent-package\n", "no-wheels, which is no folder"), ("? ?\n", "line 1")]
)
def test_a_server_starts_without_what_cannot_be_installed_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, reason: str
) -> None:
    install_listed(listed(tmp_path, text))

    assert "packages are not installed" in caplog.text
    assert reason in caplog.text
