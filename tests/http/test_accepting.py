"""Who of several processes takes the next connection."""

import asyncio
import socket
from typing import Any

import pytest

from service.http.accepting import Acceptor, Balance, CountedConnections, Place
from service.http.door import end_listening


@pytest.mark.parametrize(
    ("mine", "other", "ahead"),
    [
        (0, 0, False),
        (1, 0, True),
        (1, 1, False),
        (2, 1, True),
        (16, 14, False),
        (16, 13, True),
        (3, 30, False),
    ],
)
def test_who_holds_more_than_another_leaves_the_next_to_it(mine: int, other: int, ahead: bool) -> None:
    balance = Balance(2)
    balance.note(1, other)
    assert balance.is_ahead(0, mine) is ahead


def test_processes_that_take_no_connections_are_waited_for_by_nobody() -> None:
    balance = Balance(3)
    assert not balance.is_ahead(0, 100)
    balance.note(1, 0)
    assert balance.is_ahead(0, 100)
    balance.leave(1)
    assert not balance.is_ahead(0, 100)


def test_connections_are_counted_for_all_to_see() -> None:
    balance = Balance(2)
    connections = CountedConnections(balance, 0)
    assert not balance.is_ahead(1, 0)
    connections.add("a")
    connections.add("b")
    assert not balance.is_ahead(1, 2)
    connections.discard("b")
    connections.discard("never there")
    assert balance.is_ahead(1, 2)
    assert len(connections) == 1


class _Silent(asyncio.Protocol):
    def __init__(self, connections: CountedConnections) -> None:
        self._connections = connections

    def connection_made(self, transport: Any) -> None:
        self._connections.add(self)


def test_a_connection_that_nobody_else_takes_is_taken_after_all() -> None:
    async def run() -> int:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            balance = Balance(2)
            balance.note(1, 0)  # one that is busy, or dead
            connections = CountedConnections(balance, 0)
            place = Place(listener, balance, 0)
            acceptor = Acceptor(place, lambda: _Silent(connections), connections)
            acceptor.start()
            clients = [socket.create_connection(listener.getsockname()) for _ in range(5)]
            async with asyncio.timeout(20):
                while len(connections) < 5:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.001)
            acceptor.close()
            for client in clients:
                client.close()
            return len(connections)

    assert asyncio.run(run()) == 5


def _acceptor(listener: socket.socket, balance: Balance) -> tuple[Acceptor, CountedConnections]:
    connections = CountedConnections(balance, 0)
    return Acceptor(Place(listener, balance, 0), lambda: _Silent(connections), connections), connections


def test_a_family_that_stops_takes_every_connection_that_has_begun_and_refuses_later_ones() -> None:
    async def run() -> int:
        with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
            balance = Balance(2)
            acceptor, connections = _acceptor(listener, balance)
            acceptor.start()
            clients = [socket.create_connection(listener.getsockname()) for _ in range(40)]
            balance.stop()
            await acceptor.finish()
            held = len(connections)
            with listener.dup(), pytest.raises(ConnectionRefusedError):  # whoever else holds the socket
                socket.create_connection(listener.getsockname())
            for client in clients:
                client.close()
            return held

    assert asyncio.run(run()) == 40


def test_one_process_that_leaves_a_family_leaves_the_queue_to_the_others() -> None:
    async def run() -> int:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            balance = Balance(2)
            acceptor, connections = _acceptor(listener, balance)
            acceptor.start()
            client = socket.create_connection(listener.getsockname())
            await acceptor.finish()
            with client, listener.accept()[0]:
                return len(connections)

    assert asyncio.run(run()) == 0


def test_a_process_that_finds_the_listening_ended_by_another_says_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            balance = Balance(2)
            acceptor, _ = _acceptor(listener, balance)
            acceptor.start()
            balance.stop()
            end_listening(listener)
            await acceptor.finish()

    asyncio.run(run())
    assert caplog.records == []
