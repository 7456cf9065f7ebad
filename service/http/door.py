"""How a listening socket that processes share is closed without losing a connection.

A connection that the kernel has set up waits in the socket's queue, and its client believes in it. Whoever
closes the socket resets all that wait there; whoever empties the queue first and closes then resets what came
in between. So new connections are kept from beginning first, the queue is emptied, and then it is closed.
"""

import ctypes
import socket
import struct
import sys
from contextlib import suppress

LATE_S = 0.2
"""Seconds that a connection which has begun may take to be set up: one round trip to its client."""

_SO_ATTACH_FILTER = 26
# Classic BPF over a TCP header: of its flags (byte 13), SYN without ACK is dropped, all else is let through.
_NO_BEGINNINGS = b"".join(
    struct.pack("=HBBI", *step)
    for step in (
        (0x30, 0, 0, 13),
        (0x54, 0, 0, 0x12),
        (0x15, 0, 1, 0x02),
        (0x06, 0, 0, 0),
        (0x06, 0, 0, 0xFFFFFFFF),
    )
)
_STEP_BYTES = 8


def keep_from_beginning(listener: socket.socket) -> bool:
    """Have no new connection begin, in any process; False where this system cannot do so.

    Who tries to connect tries again after a second, by which time the socket is closed and says so.
    """
    if sys.platform != "linux":
        return False
    steps = ctypes.create_string_buffer(_NO_BEGINNINGS, len(_NO_BEGINNINGS))
    program = struct.pack("@HP", len(_NO_BEGINNINGS) // _STEP_BYTES, ctypes.addressof(steps))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except OSError:  # a sandbox that knows no filters
        return False
    return True


def end_listening(listener: socket.socket) -> None:
    """Refuse connections from here on, whichever other processes hold the socket too."""
    with suppress(OSError):  # another process was faster; macOS knows no such thing
        listener.shutdown(socket.SHUT_RDWR)
