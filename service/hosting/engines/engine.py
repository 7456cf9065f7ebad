"""The container engine of this machine, asked over its socket: Docker, or what speaks as Docker does.

Source: Docker Engine API, versions 1.41 and later; its paths without a version are the engine's own one.
Not in here: what a container is made with (plan), and whose containers are whose (household).
"""

import json
import os
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import httpx

from service.errors import EngineFault

_USUAL: Final = "/var/run/docker.sock"
_CALL_S: Final = 60.0
_LOOK_S: Final = 3.0
_SILENT_S: Final = 600.0  # of a pull, or a copy, that goes on
_MOST_MESSAGE_CHARS: Final = 1000
_REFERENCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*")
_FRAME_HEAD_BYTES: Final = 8
_GONE: Final = 404
_NANOSECONDS: Final = 1e9
_NOBODY: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusted: a socket needs nobody's certificates


def find_socket(environ: Mapping[str, str]) -> Path:
    """The engine's socket, which need not be there: that of DOCKER_HOST, else the first of the usual places.

    Raises EngineFault: DOCKER_HOST names an engine of another kind.
    """
    named = environ.get("DOCKER_HOST", "")
    if named:
        scheme, _, path = named.partition("://")
        if scheme != "unix":
            raise EngineFault(f"DOCKER_HOST={named} is no socket of this machine (unix://PATH)")
        return Path(path)
    places = [_USUAL]
    if "XDG_RUNTIME_DIR" in environ:
        places += [f"{environ['XDG_RUNTIME_DIR']}/{name}" for name in ("docker.sock", "podman/podman.sock")]
    if "HOME" in environ:
        places.append(f"{environ['HOME']}/.docker/run/docker.sock")
    return Path(next(filter(os.path.exists, places), _USUAL))


def image_there(environ: Mapping[str, str], name: str) -> str:
    """The id by which the engine knows an image now; "" where there is none of either. Blocking."""
    if not is_reference(name):
        return ""
    try:
        socket = find_socket(environ)
        if not os.path.exists(socket):
            return ""
        transport = httpx.HTTPTransport(verify=_NOBODY, uds=str(socket))
        with httpx.Client(transport=transport, timeout=_LOOK_S) as client:
            response = client.get(_image_url(name))
    except (EngineFault, httpx.HTTPError):
        return ""
    found = _document(response) if response.status_code == httpx.codes.OK else {}
    return str(found.get("Id", ""))


class EngineUsage(NamedTuple):
    """What a container holds in memory, and the seconds of CPUs that it has used since it began."""

    held_bytes: int
    cpu_s: float


class DockerEngine:
    """The engine, for one event loop."""

    def __init__(self, environ: Mapping[str, str], patience_s: float = _CALL_S) -> None:
        """`environ` may name the engine, as for Docker's own commands; it may be silent for `patience_s`."""
        self._environ = environ
        self._patience_s = patience_s
        self._socket = Path()
        self._connected: httpx.AsyncClient | None = None

    async def close(self) -> None:
        """Let go of the connections."""
        if self._connected is not None:
            await self._connected.aclose()
            self._connected = None

    async def info(self) -> dict[str, Any]:
        """What the engine and its machine can do. Raises EngineFault, as all of these do."""
        return _document(await self._call("GET", "/info"))

    async def image(self, name: str) -> dict[str, Any] | None:
        """An image by its name or id; None where the engine does not have it."""
        if not is_reference(name):
            return None
        try:
            return _document(await self._call("GET", _image_url(name)))
        except EngineFault as fault:
            if fault.status == _GONE:
                return None
            raise

    async def pull(self, name: str) -> None:
        """Have the engine fetch an image from its registry."""
        repository, tag = _split(name)
        path = f"/images/create?fromImage={quote(repository, safe='')}&tag={quote(tag, safe='')}"
        async with self._open("POST", path, _SILENT_S) as response:
            async for line in response.aiter_lines():
                if (why := _error_in(line)) is not None:
                    raise EngineFault(why)

    async def labelled(self, label: str) -> list[dict[str, Any]]:
        """All containers that have this label, whether they run or not."""
        filters = quote(json.dumps({"label": [label]}), safe="")
        found = (await self._call("GET", f"/containers/json?all=1&filters={filters}")).json()
        return found if isinstance(found, list) else []

    async def create(self, name: str, config: Mapping[str, Any]) -> None:
        """Make a container, which does not run yet."""
        await self._call("POST", f"/containers/create?name={name}", json=dict(config))

    async def put(self, name: str, archive: AsyncIterator[bytes]) -> None:
        """Lay down the files of a tar archive in a container, by their paths from its root."""
        path = f"/containers/{name}/archive?path=/"
        await self._call("PUT", path, limits=self._silent(_SILENT_S), content=archive)

    async def start(self, name: str) -> None:
        """Run a container that was made."""
        await self._call("POST", f"/containers/{name}/start")

    async def inspect(self, name: str) -> dict[str, Any]:
        """What the engine knows of a container."""
        return _document(await self._call("GET", f"/containers/{name}/json"))

    async def wait(self, name: str) -> None:
        """Wait until a container does not run any more."""
        await self._call("POST", f"/containers/{name}/wait", limits=self._silent(None))

    async def remove(self, name: str) -> None:
        """End a container whatever it is at, and remove it; it need not be there."""
        try:
            await self._call("DELETE", f"/containers/{name}?force=1&v=1")
        except EngineFault as fault:
            if fault.status != _GONE:
                raise

    async def usage(self, name: str) -> EngineUsage:
        """What a container uses: memory without what the system may take back at once, and CPUs so far."""
        path = f"/containers/{name}/stats?stream=false&one-shot=true"
        told = _document(await self._call("GET", path))
        memory, cpu = told.get("memory_stats", {}), told.get("cpu_stats", {}).get("cpu_usage", {})
        stats = memory.get("stats", {})
        cached = stats.get("inactive_file", stats.get("total_inactive_file", 0))
        held_bytes = max(0, int(memory.get("usage", 0)) - int(cached))
        return EngineUsage(held_bytes, int(cpu.get("total_usage", 0)) / _NANOSECONDS)

    async def printed(self, name: str) -> AsyncIterator[tuple[int, bytes]]:
        """What a container prints, from its start to its end: the stream's number, and some bytes."""
        path = f"/containers/{name}/logs?follow=1&stdout=1&stderr=1"
        async with self._open("GET", path, None) as response:
            data = bytearray()
            async for part in response.aiter_raw():
                data += part
                while (end := _end_of_frame(data)) is not None:
                    yield data[0], bytes(data[_FRAME_HEAD_BYTES:end])
                    del data[:end]

    def _client(self) -> httpx.AsyncClient:
        if self._connected is None:
            self._socket = find_socket(self._environ)
            if not os.path.exists(self._socket):
                raise EngineFault(f"there is none at {self._socket}")
            limits = httpx.Limits(max_connections=None)  # two of each container last as long as it does
            transport = httpx.AsyncHTTPTransport(verify=_NOBODY, uds=str(self._socket), limits=limits)
            self._connected = httpx.AsyncClient(transport=transport, base_url="http://docker")
        return self._connected

    async def _call(
        self, method: str, path: str, limits: httpx.Timeout | None = None, **options: Any
    ) -> httpx.Response:
        client = self._client()
        try:
            response = await client.request(method, path, timeout=limits or self._patience_s, **options)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        _check(response)
        return response

    @asynccontextmanager
    async def _open(self, method: str, path: str, silent_s: float | None) -> AsyncIterator[httpx.Response]:
        """An answer that comes in parts, with at most so many seconds between them."""
        client = self._client()
        try:
            async with client.stream(method, path, timeout=self._silent(silent_s)) as response:
                if response.is_error:
                    await response.aread()
                _check(response)
                yield response
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _silent(self, silent_s: float | None) -> httpx.Timeout:
        """For what takes its time to answer, None: as long as it likes."""
        return httpx.Timeout(self._patience_s, read=silent_s)

    def _unreachable(self, error: httpx.HTTPError) -> EngineFault:
        if isinstance(error, httpx.TimeoutException):
            return EngineFault(f"the one at {self._socket} does not answer")
        return EngineFault(f"the one at {self._socket} cannot be asked ({error or type(error).__name__})")


def is_reference(name: str) -> bool:
    """Whether an engine may know an image by this name."""
    return _REFERENCE.fullmatch(name) is not None and ".." not in name


def _image_url(name: str) -> str:
    return f"http://docker/images/{quote(name, safe='/:@')}/json"


def _split(name: str) -> tuple[str, str]:
    """Repository, and tag or digest; without any all tags would be pulled."""
    repository, at, digest = name.partition("@")
    if at:
        return repository, digest
    head, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    return f"{head}{slash}{last}", tag if tag else "latest"


def _error_in(line: str) -> str | None:
    """What went wrong, if this line of a pull says so."""
    try:
        said = json.loads(line)
    except ValueError:
        return None
    return str(said["error"])[:_MOST_MESSAGE_CHARS] if isinstance(said, dict) and "error" in said else None


def _check(response: httpx.Response) -> None:
    if response.is_error:
        said = str(_document(response).get("message", "")).strip()[:_MOST_MESSAGE_CHARS]
        raise EngineFault(said if said else f"it answered {response.status_code}", response.status_code)


def _document(response: httpx.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _end_of_frame(data: bytearray) -> int | None:
    """Where the first frame ends, None where it is not whole. Its head: the stream, and 4 bytes of length."""
    if len(data) < _FRAME_HEAD_BYTES:
        return None
    end = _FRAME_HEAD_BYTES + int.from_bytes(data[4:_FRAME_HEAD_BYTES], "big")
    return end if len(data) >= end else None
