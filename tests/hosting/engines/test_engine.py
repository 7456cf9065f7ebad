"""The engine as it is found and asked, one that stands in for Docker or that says less than it."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from service.errors import EngineFault
from service.hosting.engines.engine import DockerEngine, find_socket, image_there
from tests.harness.engine import stand_in_engine

APP = "mine/app:1"


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    with TemporaryDirectory(prefix="sagebird-") as name:
        yield Path(name)


@contextmanager
def says(folder: Path, reply: bytes) -> Iterator[dict[str, str]]:
    """An engine that takes one call and says this."""
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(folder / "docker.sock"))
        door.listen(1)

        def answer() -> None:
            connection, _ = door.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(reply)
                if not reply:
                    connection.recv(1 << 16)

        thread = threading.Thread(target=answer)
        thread.start()
        yield {"DOCKER_HOST": f"unix://{folder / 'docker.sock'}"}
        thread.join()


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def test_the_socket_is_the_one_that_is_named_or_the_first_that_is_there(short: Path) -> None:
    assert find_socket({"DOCKER_HOST": "unix:///a/b.sock"}) == Path("/a/b.sock")
    environ = {"XDG_RUNTIME_DIR": str(short / "run"), "HOME": str(short / "home")}
    (short / "run" / "podman").mkdir(parents=True)
    (short / "home" / ".docker" / "run").mkdir(parents=True)
    own = short / "home" / ".docker" / "run" / "docker.sock"
    own.touch()
    system = Path("/var/run/docker.sock")
    assert find_socket(environ) == (system if system.exists() else own)
    assert find_socket({}) == system
    with pytest.raises(EngineFault, match="ssh://somewhere is no socket"):
        find_socket({"DOCKER_HOST": "ssh://somewhere"})


def test_an_image_is_known_by_its_id_while_it_is_there(short: Path) -> None:
    with stand_in_engine() as engine:
        image = engine.add(APP)
        assert image_there(engine.environ, APP) == image.identity
        assert image_there(engine.environ, "other") == ""
        assert image_there(engine.environ, "a/../b") == ""
    assert image_there(engine.environ, APP) == ""
    assert image_there({"DOCKER_HOST": "tcp://somewhere"}, APP) == ""
    with says(short, ok(b"no JSON")) as environ:
        assert image_there(environ, APP) == ""


async def _asked(environ: dict[str, str], patience_s: float, *, listed: bool) -> object:
    engine = DockerEngine(environ, patience_s)
    try:
        return await (engine.labelled("a=b") if listed else engine.info())
    finally:
        await engine.close()


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"HTTP/1.1 500 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\n[]", "it answered 500"),
        (b"no HTTP\r\n\r\n", r"docker\.sock cannot be asked \("),
        (b"", "does not answer"),
    ],
)
def test_what_is_no_answer_is_told(short: Path, reply: bytes, words: str) -> None:
    with says(short, reply) as environ, pytest.raises(EngineFault, match=words):
        asyncio.run(_asked(environ, 60.0 if reply else 0.1, listed=False))


def test_what_says_less_than_docker_is_taken_as_nothing(short: Path) -> None:
    with says(short, ok(b"{}")) as environ:
        assert asyncio.run(_asked(environ, 60.0, listed=True)) == []


def test_an_engine_that_never_was_asked_need_not_be_closed() -> None:
    asyncio.run(DockerEngine({}).close())


def test_faults_of_the_engine_are_told_wherever_they_come(short: Path) -> None:
    async def test() -> None:
        engine = DockerEngine(stand_in.environ)
        for path, asked in (
            ("/images/", engine.image(APP)),
            ("/logs", anext(engine.printed("box"))),
            ("DELETE", engine.remove("box")),
        ):
            stand_in.refuses = {path: "not now"}
            with pytest.raises(EngineFault, match="not now"):
                await asked
        await engine.close()

    with stand_in_engine() as stand_in:
        asyncio.run(test())
