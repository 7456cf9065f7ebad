"""How connections are spread over the gateways."""

import socket
from pathlib import Path

from tests.conftest import StartServer, wait_until
from tests.processes.family import client_ports, declare, make_model, port, variants

_CONNECTIONS = 64


def test_connections_that_come_at_once_are_shared_out_about_evenly(
    start_server: StartServer, tmp_path: Path
) -> None:
    make_model(tmp_path / "models" / "one", 1)
    declare(tmp_path / "models", variants("one", one=1))
    server = start_server(tmp_path / "models")
    clients = [socket.create_connection(("127.0.0.1", port(server))) for _ in range(_CONNECTIONS)]
    mine = {client.getsockname()[1] for client in clients}

    def held() -> list[int]:
        return [len(client_ports(server, pid) & mine) for pid in server.gateways()]

    wait_until(lambda: sum(held()) == _CONNECTIONS)
    assert min(held()) >= _CONNECTIONS // 4, held()
    for client in clients:
        client.close()
