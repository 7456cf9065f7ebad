"""Packets of JSON, and open files with them, between the model host and the processes of a container."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

_MOST_BYTES = 1 << 20
_ROOM_BYTES = 1 << 20


class Channel:
    """One end of a pair of sockets that keep packets apart. For one event loop; one reader at a time."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM_BYTES)
        self._end = end

    @classmethod
    def pair(cls) -> "tuple[Channel, socket.socket]":
        """A channel, and the end that another process gets."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours), theirs

    def send(self, members: Mapping[str, Any], files: Sequence[int] = ()) -> None:
        """Send one packet, with these descriptors.

        Raises:
            OSError: the other end is gone, or reads nothing.
        """
        socket.send_fds(self._end, [orjson.dumps(members)], files)

    async def receive(self) -> dict[str, Any] | None:
        """The next packet; None once the other end is gone, or sends what is none."""
        try:
            packet = await asyncio.get_running_loop().sock_recv(self._end, _MOST_BYTES)
            members = orjson.loads(packet) if packet else None
        except (OSError, orjson.JSONDecodeError):
            return None
        return members if isinstance(members, dict) else None

    def close(self) -> None:
        """Close this end: the other process sees it."""
        self._end.close()
