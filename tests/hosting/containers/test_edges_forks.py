"""The fork server that does not start, ends again and again or is closed too early; a test plays it."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.errors import ModelFailure
from service.hosting.containers.forks import ForkServer

Play = Callable[[str], None]

READY = "os.write(end, b'{}')\n"
LIMIT_S = 30.0


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Have an interpreter that, whatever it is told to run, does this with its `end` of the channel."""
    own = sys.executable

    def write(does: str) -> None:
        file = tmp_path / "python"
        file.write_text(f"#!{own} -IS\nimport os, sys\nend = int(sys.argv[-1])\n{does}")
        file.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(file))

    return write


def test_a_fork_server_that_ends_before_it_is_ready_is_said_not_to_start(play: Play) -> None:
    play("")
    left: list[int] = []
    server = ForkServer({"PATH": os.defpath}, lambda: left.append(1))
    with pytest.raises(ModelFailure, match="fork server of the containers does not start"):
        asyncio.run(server.warm())
    assert left == [1]
    assert server.size_bytes() == 0


def test_a_fork_server_that_ends_whenever_it_is_asked_is_started_anew_once(play: Play) -> None:
    play(READY + "os.read(end, 9999)\n")
    left: list[int] = []
    server = ForkServer({"PATH": os.defpath}, lambda: left.append(1))
    with pytest.raises(ModelFailure, match="could be started for the model: the fork server ended"):
        asyncio.run(server.fork({}, ()))
    assert left == [1, 1]


def test_what_a_fork_server_refuses_is_said_with_its_reason(play: Play) -> None:
    play(READY + 'os.read(end, 9999); os.write(end, b\'{"refused": "no memory"}\'); os.read(end, 1)\n')

    async def test() -> None:
        server = ForkServer({"PATH": os.defpath})
        with pytest.raises(ModelFailure, match="could be started for the model: no memory"):
            await server.fork({}, ())
        assert server.size_bytes() > 0  # it goes on
        server.close()

    asyncio.run(test())


def test_a_fork_server_may_be_closed_while_it_starts(play: Play) -> None:
    play("os.read(end, 1)\n")

    async def test() -> None:
        server = ForkServer({"PATH": os.defpath})
        starting = asyncio.create_task(server.warm())
        while not server.size_bytes():  # noqa: ASYNC110  # the process is there after a step or two
            await asyncio.sleep(0)
        server.close()
        starting.cancel()
        await asyncio.wait((starting,))
        assert starting.cancelled()
        assert server.size_bytes() == 0

    asyncio.run(asyncio.wait_for(test(), LIMIT_S))


def test_who_gives_up_a_fork_waits_for_the_end_of_a_server_that_does_not_reply(
    play: Play, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    play(READY + f"os.read(end, 9999); open({str(gate)!r}).read()\n")

    async def test() -> None:
        server = ForkServer({"PATH": os.defpath})
        asked = asyncio.create_task(server.fork({}, ()))
        writer = await asyncio.to_thread(os.open, gate, os.O_WRONLY)  # once it has read what it is asked
        asked.cancel()
        await asyncio.sleep(0)
        assert not asked.done()
        os.close(writer)
        await asyncio.wait((asked,))
        assert asked.cancelled()
        server.close()

    asyncio.run(asyncio.wait_for(test(), LIMIT_S))
