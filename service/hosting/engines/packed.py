"""A model's files as a tar archive in parts, for containers that cannot be given the folder itself."""

import asyncio
import os
import socket
import stat
import tarfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

_PART_BYTES: Final = 1 << 18
_READ_BY_ALL: Final = 0o444
_ENTERED_BY_ALL: Final = 0o555


def is_open_to_all(folder: Path) -> bool:
    """Whether every user may read all that lies in a folder, once he has come to it. Blocking."""
    if stat.S_IMODE(folder.stat().st_mode) & 0o5 != 0o5:
        return False
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            mode = os.lstat(f"{place}/{name}").st_mode
            wanted = 0o5 if stat.S_ISDIR(mode) else 0o4
            if not stat.S_ISLNK(mode) and mode & wanted != wanted:
                return False
    return True


async def packed(folder: Path, name: str) -> AsyncGenerator[bytes, None]:
    """The folder's files below `name`, readable by everybody. Raises OSError."""
    reader, writer = socket.socketpair()
    with reader:
        reader.setblocking(False)
        packing = asyncio.ensure_future(asyncio.to_thread(_pack, folder, name, writer))
        try:
            while part := await asyncio.get_running_loop().sock_recv(reader, _PART_BYTES):
                yield part
            await packing
        finally:
            reader.close()  # whoever still writes sees it
            await asyncio.wait((packing,))
            if not packing.cancelled():
                packing.exception()


def _pack(folder: Path, name: str, writer: socket.socket) -> None:
    with writer, writer.makefile("wb") as file, tarfile.open(fileobj=file, mode="w|") as archive:
        archive.add(folder, name, filter=_opened)


def _opened(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if not (member.isdir() or member.isfile() or member.issym()):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode |= _ENTERED_BY_ALL if member.isdir() else _READ_BY_ALL
    return member
