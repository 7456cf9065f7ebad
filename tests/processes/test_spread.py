"""How connections are spread over the gateways.

A gateway that holds more leaves a connection to the others for a moment. Where none of them gets a processor
in that moment it takes the connection after all, so a busy machine is given more than one chance.
"""

import socket
from pathlib import Path

from tests.conftest import RunningServer, StartServer, wait_until
from tests.harness.gateways import client_ports, declare, make_model, port, variants

_CONNECTIONS = 64
_CHANCES = 20


def test_connections_that_come_at_once_are_shared_out_about_evenly(
    start_server: StartServer, tmp_path: Path
) -> None:
    make_model(tmp_path / "models" / "one", 1)
    declare(tmp_path / "models", variants("one", one=1))
    server = start_server(tmp_path / "models")

    spreads: list[list[int]] = []
    while len(spreads) < _CHANCES:
        spreads.append(_spread(server))
        if min(spreads[-1]) >= _CONNECTIONS // 4:
            return
    raise AssertionError(f"never shared out: {spreads}")


def _spread(server: RunningServer) -> list[int]:
    """Open many connections at once; how many of them each gateway holds."""
    clients = [socket.create_connection(("127.0.0.1", port(server))) for _ in range(_CONNECTIONS)]
    mine = {client.getsockname()[1] for client in clients}

    def held() -> list[int]:
        return [len(client_ports(server, pid) & mine) for pid in server.gateways()]

    wait_until(lambda: sum(held()) == _CONNECTIONS)
    found = held()
    for client in clients:
        client.close()
    wait_until(lambda: sum(held()) == 0)
    return found
