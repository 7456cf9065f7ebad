"""What speaks HTTP in one gateway, made from the settings, within what the system allows of open files."""

import resource

from service.http.connections import ConnectionLimits, Crowd, Paces
from service.http.fastpath import FrontDoor, Rounds, fast_protocol
from service.http.head import HeadLimits
from service.http.protocol import Connection
from service.log import get_logger
from service.settings import Settings

# Files that are not for connections: models that are loaded, the database, logs, calls to containers.
_OTHER_FILES = 256


def speaker(settings: Settings, door: FrontDoor, rounds: Rounds) -> type[Connection]:
    """The protocol class for the connections of this process; it may open more files from now on."""
    at_most = ConnectionLimits(
        HeadLimits(settings.max_head_bytes, settings.max_line_bytes),
        head_s=settings.head_timeout_s,
        body_s=settings.body_timeout_s,
        answer_s=settings.answer_timeout_s,
        keep_alive_s=settings.keep_alive_s,
        most_connections=room_for(settings.max_connections),
    )
    if settings.fast_path:
        return fast_protocol(door, rounds, settings.max_body_bytes, at_most)
    return asgi_protocol(at_most)


def asgi_protocol(at_most: ConnectionLimits) -> type[Connection]:
    """The protocol class for one gateway that leaves everything to ASGI."""

    class Bound(Connection):
        limits = at_most
        paces = Paces()
        crowd = Crowd()

    return Bound


def room_for(connections: int) -> int:
    """As many connections as wanted, or as there can be open files for; their limit is raised first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
            soft = allowed
        except (OSError, ValueError) as error:  # some systems allow less than they say
            get_logger("sagebird.gateway").warning("open files stay limited", limit=soft, reason=str(error))
    if soft == resource.RLIM_INFINITY:
        return connections
    return max(1, min(connections, soft - min(_OTHER_FILES, soft // 2)))
