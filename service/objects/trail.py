"""The pages that a long stream leaves in the memory of the operating system, given back as it goes on.

Who streams gigabytes fills that memory with what nobody reads soon, and pushes out what others do: models
that are mapped, tables. Fresh pages are dear besides: where the host of a virtual machine lends memory page
by page, a file is written into them up to seven times as slowly as into those that the stream itself has
just left.
"""

import os
from contextlib import suppress
from typing import Final

KEPT_BYTES: Final = 64 << 20
"""So much of the beginning of a file stays: what is smaller is often read as soon as it is written."""

_STEP_BYTES: Final = 4 << 20  # no more than clients ask for at once, who fetch a file in ranges
_LAG_BYTES: Final = 64 << 20  # what the disk may still be writing, and can only be given back later


class Trail:
    """What one stream into a file or out of it has passed, from the byte `start` on."""

    def __init__(self, descriptor: int, start: int = 0) -> None:
        self._descriptor = descriptor
        self._first = self._told = self._end = start

    def wrote(self, size: int) -> None:
        """So many bytes more were written: the disk begins with them while others come."""
        self._end += size
        if self._end - self._told >= _STEP_BYTES:
            self._advise(min(self._told, max(self._first, KEPT_BYTES, self._end - _LAG_BYTES)))

    def read(self, size: int) -> None:
        """So many bytes more were read."""
        self._end += size
        if self._end - self._told >= _STEP_BYTES:
            self._advise(max(self._told, KEPT_BYTES))

    def synced(self) -> None:
        """All that was written is on the disk, and no more comes; of short streams everything stays."""
        if self._end - self._first >= _STEP_BYTES:
            self._advise(max(self._first, KEPT_BYTES))

    def _advise(self, start: int) -> None:
        """With this advice Linux begins to write what is not written yet, and lets go of what is.

        What somebody has mapped stays.
        """
        self._told = self._end
        if start < self._end and hasattr(os, "posix_fadvise"):
            with suppress(OSError):  # a file system may know no such advice
                os.posix_fadvise(self._descriptor, start, self._end - start, os.POSIX_FADV_DONTNEED)
