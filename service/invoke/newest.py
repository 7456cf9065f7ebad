"""The newest revision by which a gateway of this family answers calls, in memory that all of them share.

Whoever has had an answer by a new revision must not get one by an older one from another gateway: each looks
here before it answers.
"""

import mmap


class Newest:
    """One number, which only grows."""

    def __init__(self) -> None:
        """Make it before the processes that share it are forked."""
        self._shared = memoryview(mmap.mmap(-1, 8)).cast("q")

    @property
    def revision(self) -> int:
        """The newest one so far."""
        return self._shared[0]

    def note(self, revision: int) -> None:
        """From now on calls are answered by this one."""
        self._shared[0] = max(self._shared[0], revision)
