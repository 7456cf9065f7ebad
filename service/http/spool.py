"""Blocks of bytes that wait on the disk, all those of a process in one file without a name.

One file, however many bodies wait: were there one for each, the files that a process may open would be shared
between them and the connections. The system clears it away with the process.
"""

import errno
import os
from collections.abc import Iterable
from tempfile import TemporaryFile
from threading import Lock
from typing import IO

BLOCK_BYTES = 1 << 18


class Spool:
    """Blocks of `BLOCK_BYTES`. Their file is there only while one of them is; safe between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._file: IO[bytes] | None = None
        self._descriptor = -1  # of that file
        self._free: list[int] = []
        self._blocks = 0  # in the file, free ones too

    def put(self, block: bytes) -> int:
        """Write a block; its number.

        Raises:
            OSError: there is no room, or no folder, for it.
        """
        with self._lock:
            if self._file is None:
                self._file = TemporaryFile(buffering=0)  # noqa: SIM115 - closed with its last block
                self._descriptor = self._file.fileno()
            number = self._free.pop() if self._free else self._blocks
            self._blocks = max(self._blocks, number + 1)
            try:
                if os.pwrite(self._descriptor, block, number * BLOCK_BYTES) < len(block):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                self._let_go(number)
                raise
            return number

    def get(self, number: int) -> bytes:
        """A block of `BLOCK_BYTES` that was put."""
        return os.pread(self._descriptor, BLOCK_BYTES, number * BLOCK_BYTES)

    def let_go(self, numbers: Iterable[int]) -> None:
        """These blocks are not needed any more; others are written in their places."""
        with self._lock:
            for number in numbers:
                self._let_go(number)

    def _let_go(self, number: int) -> None:
        self._free.append(number)
        if len(self._free) == self._blocks and self._file is not None:
            self._file.close()
            self._file, self._descriptor, self._free, self._blocks = None, -1, [], 0
