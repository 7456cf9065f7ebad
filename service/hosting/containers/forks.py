"""The fork server: one process with the common libraries loaded, from which containers are forked.

It is the runner's, has one thread and runs no code of any model. With it a model is there in the time that it
takes to read its files, and the libraries are in memory once.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from service.errors import ModelFailure
from service.hosting.containers.channel import Channel
from service.hosting.containers.processes import Census, resident_bytes

RUNNER = Path(__file__).resolve().parents[2] / "runner"
_LENDER = "service.hosting.runtimes.scripted"  # by its name alone: it is the fork server that imports it
_READY_S = 120.0
_LEAVE_S = 2.0  # to end all that it has forked
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
# Beginnings of variables that a library, or the process, reads when it is loaded and never again.
_READ_ONCE = (
    *(
        "OMP_",
        "GOMP_",
        "KMP_",
        "OPENBLAS_",
        "GOTO_",
        "BLIS_",
        "MKL_",
        "NPY_",
        "SCIPY_",
        "SKLEARN_",
        "PANDAS_",
    ),
    *("JOBLIB_", "LD_", "MALLOC_", "GLIBC_"),
)
_KEPT = (
    *("PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"),
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE"),
    *("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"),
)


class ForkServer:
    """Forks containers in the server's own environment; starts with the first, and anew if it dies."""

    def __init__(self, environment: Mapping[str, str], left: Callable[[], object] = lambda: None) -> None:
        """`environment` is the fork server's own; each container has one of its own.

        Where it does not say otherwise, libraries have one thread: workers are the parallelism. `left` is
        called whenever one has ended, to see to what it may have left.
        """
        self._environment = {**dict.fromkeys(_ONE_THREAD, "1"), **environment}
        self._left = left
        self.census = Census()
        self._channel: Channel | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = asyncio.Lock()

    async def fork(self, asked: Mapping[str, Any], files: Sequence[int]) -> int:
        """Fork a container; its process number. What is `asked` and the `files` are as the runner has them.

        Raises:
            ModelFailure: no process can be made.
        """
        async with self._lock:
            reply = None
            for _ in range(2):  # it may have died since
                channel = await self._running()
                with suppress(OSError):
                    channel.send(asked, files)
                    reply = await _reply(channel)
                if reply is not None:
                    break
                self._end()
        if reply is None or "started" not in reply:
            reason = "the fork server ended" if reply is None else reply.get("refused")
            raise ModelFailure(f"no process could be started for the model: {reason}")
        return int(reply["started"])

    def obeys(self, environment: Mapping[str, str]) -> bool:
        """Whether what is loaded here is as a container's variables want it: nothing changes it any more."""
        asked = {name: value for name, value in environment.items() if name.startswith(_READ_ONCE)}
        return asked.items() <= self._environment.items()

    def size_bytes(self) -> int:
        """Memory that each container has in common with it."""
        return 0 if self._process is None else resident_bytes(self._process.pid)

    async def warm(self) -> None:
        """Start it, so that the first model need not wait for that."""
        async with self._lock:
            await self._running()

    def close(self) -> None:
        """End it; what was forked ends with it."""
        self._end()

    async def _running(self) -> Channel:
        if self._channel is not None:
            return self._channel
        channel, theirs = Channel.pair()
        with theirs:
            files = [theirs.fileno()]
            self._process = run_runner(
                sys.executable, ("--fork-server", _LENDER), files, env=self._environment, cwd="/"
            )
        self._channel = channel
        try:
            async with asyncio.timeout(_READY_S):
                ready = await channel.receive()
        except BaseException:
            if self._process is not None:
                self._process.kill()  # it has forked nothing, and may be busy for a while
            self._end()
            raise
        if ready is None:
            self._end()
            raise ModelFailure("the fork server of the containers does not start")
        return channel

    def _end(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            try:
                self._process.wait(_LEAVE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
            self._left()


async def _reply(channel: Channel) -> dict[str, Any] | None:
    """What the fork server says to what it was asked; None if it ended."""
    answering = asyncio.ensure_future(_receive(channel))
    try:
        return await asyncio.shield(answering)
    except (
        asyncio.CancelledError
    ):  # whoever asked has gone; a reply that nobody reads would be the next one's
        reply = await answering
        if reply is not None and "started" in reply:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(reply["started"], signal.SIGKILL)
        raise


async def _receive(channel: Channel) -> dict[str, Any] | None:
    while (reply := await channel.receive()) is not None and "ended" in reply:
        pass  # a container that ended: whoever listens to it knows
    return reply


def run_runner(
    python: str, role: Sequence[str], files: Sequence[int], **options: Any
) -> subprocess.Popen[bytes]:
    """Start a process of the runner with these open files, whose numbers it is told. Raises OSError."""
    command = [python, "-I", str(RUNNER), *role, *map(str, files)]
    return subprocess.Popen(command, pass_fds=files, stdin=subprocess.DEVNULL, **options)  # noqa: S603 - ours


def machine_environment() -> dict[str, str]:
    """The variables that every container has: the machine's, none of this server's, no secret of AWS."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    kept.setdefault("PATH", os.defpath)
    return kept
