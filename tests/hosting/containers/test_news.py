"""What a lease hears, what containers print, and what becomes of a host's processes that die."""

import asyncio
import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import psutil
import pytest

from service.errors import ModelFailure, ModelFault, ModelTimeout, ModelUnreachable
from service.hosting.containers.calls import ask_blocking
from service.hosting.containers.container_host import ContainerHost
from service.hosting.containers.forks import ForkServer
from service.hosting.containers.lease import Lease, take_lease
from service.hosting.containers.opener import Containers
from service.hosting.containers.output import Output
from service.hosting.containers.spec import ContainerSpec, Loaded
from service.hosting.host import Call
from tests.conftest import wait_until
from tests.harness.containers import model_host

PID = """
import os
def model_fn(d): return os.getpid()
def transform_fn(m, b, c, a): return str(m), "text/plain"
"""
ONCE = (
    "import os, pathlib\n"
    "def model_fn(d):\n"
    "    flag = pathlib.Path(d) / 'loaded'\n"
    "    if flag.exists(): raise ValueError('only once')\n"
    "    flag.touch()\n"
    "    return os.getpid()\n"
    "def transform_fn(m, b, c, a): return str(m), 'text/plain'\n"
)
ASK = Call(b"1", "text/csv", None)


@pytest.fixture
def ends() -> Iterator[tuple[Lease, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield Lease(ours, Loaded(0.0), "/nowhere", 1, 10), theirs
    ours.close()
    theirs.close()


def test_a_lease_hears_of_the_size_in_parts_and_of_the_end(ends: tuple[Lease, socket.socket]) -> None:
    lease, host = ends
    assert lease.look()
    host.sendall(b'{"size_bytes": 20}\n{"size_')
    assert lease.look()
    assert lease.size_bytes == 20
    host.sendall(b'bytes": 30}\n{"other": 1}\n')
    assert lease.look()
    assert lease.size_bytes == 30
    host.sendall(b'{"broken": {"message": "it fails", "status": 500}}\n')
    assert not lease.look()
    assert not lease.look()
    assert isinstance(lease.lost, ModelFailure)


def test_a_lease_whose_host_is_gone_is_lost(ends: tuple[Lease, socket.socket]) -> None:
    lease, host = ends
    host.close()
    assert not lease.look()
    assert isinstance(lease.lost, ModelUnreachable)


def test_a_lease_that_is_closed_is_lost(ends: tuple[Lease, socket.socket]) -> None:
    lease, _ = ends
    lease.close()
    assert not lease.look()


def test_a_lease_tells_where_lines_are_to_be_kept_once_that_is_elsewhere() -> None:
    ours, theirs = socket.socketpair()
    places = ["g a"]
    lease = Lease(ours, Loaded(0.0), "/nowhere", 1, 10, lambda: places)
    theirs.setblocking(False)
    heard = bytearray()

    def hear() -> bool:
        assert lease.look()
        with suppress(BlockingIOError):
            heard.extend(theirs.recv(1 << 16))
        return heard.endswith(b"\n")

    places[:] = ["g b", "g c"]
    wait_until(hear, 60)

    assert json.loads(heard) == ["g b", "g c"]
    ours.close()
    theirs.close()


def test_lines_of_no_call_are_kept_where_those_want_them_who_have_the_container(tmp_path: Path) -> None:
    """Two endpoints share one; what it prints goes on where it is when one of them has gone."""
    kept: list[str] = []
    (tmp_path / "talks.py").write_text(
        "import time\nwhile True:\n    print('still here', flush=True)\n    time.sleep(0.02)\n"
    )
    spec = ContainerSpec("talks", "", str(tmp_path), program=str(tmp_path / "talks.py"), load_timeout_s=600)

    async def until(*places: str) -> None:
        """Until the last lines are kept there, and nowhere else."""
        await asyncio.to_thread(wait_until, lambda: set(kept[-20:]) == {*places}, 180)

    async def test(folder: Path) -> None:
        forks = ForkServer({"PATH": os.defpath})
        host = ContainerHost(folder, forks, {}, keep=lambda place, _text, _request: kept.append(place))
        await host.open()
        writers = []
        for place in ("g one", "g two"):
            _, writer = await asyncio.open_unix_connection(folder / "host.sock")
            writer.write(replace(spec, log_places=(place,)).to_json() + b"\n")
            writers.append(writer)
        await until("g one", "g two")
        writers[0].write(b'["g three"]\n')
        await until("g three", "g two")
        writers[0].close()
        await until("g two")
        writers[1].close()
        await host.close()

    with TemporaryDirectory(prefix="sagebird-") as name:
        asyncio.run(test(Path(name)))


@pytest.mark.parametrize("said", [b"", b'{"half', b"{}\n"])
def test_a_host_that_ends_while_it_loads_is_said_to_be_gone(said: bytes) -> None:
    with TemporaryDirectory(prefix="sagebird-") as name, socket.socket(socket.AF_UNIX) as door:
        door.bind(f"{name}/host.sock")
        door.listen(1)

        async def answer() -> ModelFault:
            asking = asyncio.create_task(asyncio.to_thread(_refused, Path(name)))
            connection, _ = await asyncio.to_thread(door.accept)
            connection.recv(1 << 16)
            connection.sendall(said)
            connection.close()
            return await asking

        assert isinstance(asyncio.run(answer()), ModelUnreachable)


def _refused(folder: Path) -> ModelFault:
    try:
        take_lease(folder, ContainerSpec("a", "", "/nowhere"))
    except ModelFault as fault:
        return fault
    raise AssertionError("a lease came")


def test_what_is_printed_is_told_line_by_line_whatever_it_is() -> None:
    told: list[str] = []

    async def read(*parts: bytes) -> None:
        output = Output(told.append)
        for part in parts:
            os.write(output.writer, part)
            await asyncio.sleep(0.01)
        output.close()
        output.close()

    asyncio.run(read(b"a\nb", b"c\n\n  \n", b"\xff\n", b"x" * 5000 + b"\n", b"no end"))
    assert told[:3] == ["a", "bc", "\ufffd"]
    assert (len(told[3]), told[4]) == (4096, "no end")
    told.clear()
    asyncio.run(read(b"".join(b"%d\n" % number for number in range(500))))
    assert told[-1] == "… and 300 more lines, which were left out"
    told.clear()
    asyncio.run(read(b"y" * 60_000, b"y" * 20_000))
    assert [len(line) for line in told] == [4096]


def test_a_flood_is_counted_and_its_last_line_known() -> None:
    told: list[str] = []

    async def read(*parts: bytes) -> str:
        output = Output(told.append)
        for part in parts:
            os.write(output.writer, part)
            await asyncio.sleep(0.01)
        output.close()
        return output.last

    assert asyncio.run(read(b"\n" * 60_000, b"a\n" * 200, b"b\n" * 1000, b"\n" * 50, b"c\nlast\n")) == "last"
    assert told == [*["a"] * 200, "… and 1002 more lines, which were left out"]


def test_what_two_streams_bring_together_is_told_in_their_order() -> None:
    told: list[str] = []

    async def read() -> None:
        all_told = asyncio.Event()

        def tell(line: str) -> None:
            told.append(line)
            if len(told) == 3:
                all_told.set()

        out = Output(tell)
        err = Output(tell, after=out)
        for output, line in ((out, b"step 1\n"), (out, b"step 2\n"), (err, b"fault\n")):
            os.write(output.writer, line)
            await asyncio.sleep(0)
        await all_told.wait()
        os.write(err.writer, b"last\n")
        err.close()
        out.close()

    asyncio.run(read())

    assert told == ["step 1", "step 2", "fault", "last"]


def test_more_than_is_read_at_a_time_is_there_at_the_end() -> None:
    told: list[str] = []

    async def read() -> int:
        output = Output(told.append)
        await asyncio.sleep(0)
        os.set_blocking(output.writer, False)
        written = os.write(output.writer, b"".join(b"%d\n" % number for number in range(20_000)))
        output.close()
        return written

    written = asyncio.run(read())

    assert written > 1 << 16
    assert told[-1] == "… and 19800 more lines, which were left out"


def _open(containers: Containers, folder: Path, script: str, version: str = "") -> Lease:
    folder.mkdir(exist_ok=True)
    (folder / "inference.py").write_text(script)
    return containers.open(folder, version or script, {}, folder / "inference.py", (folder,))


def test_containers_go_on_when_the_fork_server_ends(tmp_path: Path) -> None:
    with model_host() as containers:
        lease = _open(containers, tmp_path / "a", PID)
        loader = int(ask_blocking(lease.address, ASK, 30).body)
        server = psutil.Process(loader).parent()
        assert server is not None
        server.send_signal(signal.SIGKILL)
        wait_until(lambda: not psutil.pid_exists(loader), 20)
        other = _open(containers, tmp_path / "a", PID, "another version")
        assert int(ask_blocking(other.address, ASK, 30).body) != loader
        wait_until(lambda: int(ask_blocking(lease.address, ASK, 30).body) != loader, 20)
        lease.close()
        other.close()


def test_a_model_that_cannot_be_loaded_again_is_told_to_its_leases(tmp_path: Path) -> None:
    with model_host() as containers:
        lease = _open(containers, tmp_path / "once", ONCE)
        os.kill(int(ask_blocking(lease.address, ASK, 30).body), signal.SIGKILL)
        wait_until(lambda: not lease.look(), 20)
        assert "only once" in str(lease.lost)
        lease.close()


def test_a_host_that_stops_ends_what_is_still_leased(tmp_path: Path) -> None:
    with model_host() as containers:
        lease = _open(containers, tmp_path / "a", PID)
        loader = int(ask_blocking(lease.address, ASK, 30).body)
        waiting = ContainerSpec("slow", "", str(tmp_path / "a"), program=str(tmp_path / "slow.py"))
        (tmp_path / "slow.py").write_text("import time; time.sleep(600)")
        with socket.socket(socket.AF_UNIX) as gone:
            gone.connect(str(containers.folder / "host.sock"))
            gone.sendall(waiting.to_json() + b"\n")
        many = replace(waiting, workers=10**9).to_json()
        for nonsense in (b"no spec", b"[]", b"null", b"{}", b"[" * 100_000, many):
            with socket.socket(socket.AF_UNIX) as stranger:
                stranger.connect(str(containers.folder / "host.sock"))
                stranger.sendall(nonsense + b"\n")
                assert stranger.recv(10) == b""
        lease.close()
    wait_until(lambda: not psutil.pid_exists(loader), 20)


def test_a_host_that_ends_with_leases_out_tells_them_and_logs_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(folder: Path) -> bytes:
        host = ContainerHost(folder, ForkServer({"PATH": os.defpath}), {})
        await host.open()
        reader, writer = await asyncio.open_unix_connection(folder / "host.sock")
        (folder / "slow.py").write_text("import time; time.sleep(600)")
        spec = ContainerSpec("slow", "", str(folder), program=str(folder / "slow.py"))
        writer.write(spec.to_json() + b"\n")
        await asyncio.to_thread(wait_until, lambda: host.is_needed)
        await host.close()
        told = await reader.read()
        writer.close()
        return told

    with TemporaryDirectory(prefix="sagebird-") as name:
        assert asyncio.run(test(Path(name))) == b""
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def test_an_environment_may_say_how_many_workers(tmp_path: Path, containers: Containers) -> None:
    (tmp_path / "inference.py").write_text(PID)
    asked = (tmp_path, "v", {"SAGEMAKER_MODEL_SERVER_WORKERS": "3"}, tmp_path / "inference.py", (tmp_path,))
    lease = containers.open(*asked)
    assert lease.workers == 3
    lease.close()
    for name, value in (("A", "a\0b"), ("A\0", ""), ("A=", ""), ("", "a")):
        with pytest.raises(ModelFailure, match="cannot be set"):
            containers.open(tmp_path, "v", {name: value}, None, ())
    for wrong in ("0", "many", "1000"):
        with pytest.raises(ModelFailure, match="from 1 to 256"):
            containers.open(tmp_path, "v", {"SAGEMAKER_MODEL_SERVER_WORKERS": wrong}, None, ())


def test_a_thread_waits_no_longer_than_it_may(tmp_path: Path, containers: Containers) -> None:
    script = PID.replace("return str(m)", "import time; time.sleep(30); return str(m)")
    lease = _open(containers, tmp_path / "slow", script)
    with pytest.raises(ModelTimeout):
        ask_blocking(lease.address, ASK, 0.3)
    lease.close()
    with pytest.raises(ModelUnreachable):
        ask_blocking(str(tmp_path / "nobody"), ASK, 0.3)


def test_a_fork_server_starts_when_it_is_needed_and_ends_when_told() -> None:
    async def test() -> None:
        server = ForkServer({"PATH": os.defpath})
        assert server.size_bytes() == 0
        server.close()
        await server.warm()
        held = server.size_bytes()
        await server.warm()
        assert server.size_bytes() >= held > 0
        server.close()
        assert server.size_bytes() == 0

    asyncio.run(test())


def test_a_host_whose_folder_is_gone_says_that_nothing_starts() -> None:
    async def test(folder: Path) -> dict[str, dict[str, str]]:
        host = ContainerHost(folder, ForkServer({"PATH": os.defpath}), {})
        await host.close()
        await host.open()
        reader, writer = await asyncio.open_unix_connection(folder / "host.sock")
        assert not host.is_needed
        shutil.rmtree(folder)
        writer.write(ContainerSpec("a", "", "/nowhere").to_json() + b"\n")
        told: dict[str, dict[str, str]] = json.loads(await reader.readline())
        writer.close()
        await host.close()
        return told

    told = asyncio.run(test(Path(mkdtemp(prefix="sagebird-"))))
    assert "the model's process does not start" in told["failed"]["message"]
