"""uvicorn, stopped in a way that fails nobody's request."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import uvicorn
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from service.http.accepting import Acceptor, CountedConnections, Place
from service.http.asgi import App

_LINGER_S = 1.0


def behind_proxies(app: App) -> App:
    """The application, told of its client by the X-Forwarded headers of proxies on this machine.

    Others are trusted that FORWARDED_ALLOW_IPS names, as uvicorn has it. Only what builds links needs it.
    """
    trusted = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")
    return cast(App, ProxyHeadersMiddleware(cast(Any, app), trusted_hosts=trusted))


class Server(uvicorn.Server):
    """One gateway's HTTP server over a listening socket that it shares with the others."""

    def __init__(
        self,
        app: App,
        drain_s: float,
        on_drain: Callable[[], None],
        protocol: type[asyncio.Protocol],
        place: Place | None = None,
    ) -> None:
        """`on_drain` is called when no new connections are taken any more; answers should close theirs.

        `protocol` speaks HTTP on each connection; `place` is this process's among those that share the
        connections.
        """
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol,
                interface="asgi3",
                proxy_headers=False,  # see `behind_proxies`
                loop="none",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=max(1, round(drain_s)),
            )
        )
        self._on_drain = on_drain
        self._place = place
        self._acceptor: Acceptor | None = None

    def stop(self) -> None:
        """Finish what is in flight, then let `serve` return."""
        self.should_exit = True

    async def leave_with(self, parent_pid: int) -> None:
        """Stop once the parent is gone."""
        while os.getppid() == parent_pid:  # noqa: ASYNC110 - nothing tells a process that its parent went
            await asyncio.sleep(1.0)
        if self._place is not None:
            self._place.balance.stop()
        self.stop()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process's own role."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections."""
        place = self._place
        if place is None:
            await super().startup(sockets)
            return
        connections = CountedConnections(place.balance, place.number)
        self.server_state.connections = connections
        self._acceptor = Acceptor(place, self._make_protocol, connections)
        self._acceptor.start()
        self.servers = []
        self.started = True

    def _make_protocol(self) -> asyncio.Protocol:
        make: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no new connections, have busy ones close with their next answer, then close the idle ones.

        uvicorn alone closes idle connections at once, while the next request may already be on its way.
        """
        for server in self.servers:
            server.close()
        self._on_drain()
        if self._acceptor is not None:
            await self._acceptor.finish()
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + _LINGER_S
        while self.server_state.connections and loop.time() < deadline_s:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)
