"""How the inputs of a job are shared out: into tasks small enough for workers to end at the same time."""

from collections.abc import Iterator, Sequence
from typing import Final

from service.store.tasks import TaskInput

_TASKS: Final = 256  # as many as there are files and bytes for
_LEAST_BYTES: Final = 2**20
_MOST_BYTES: Final = 2**26
_FILES_SHARE: Final = 64
_MOST_FILES: Final = 250


def group_inputs(inputs: Sequence[TaskInput]) -> Iterator[list[TaskInput]]:
    """Inputs in groups, in order: a big one is one by itself, many small ones share one."""
    total = sum(given.size_bytes for given in inputs)
    enough_bytes = max(_LEAST_BYTES, min(_MOST_BYTES, total // _TASKS))
    enough_files = max(1, min(_MOST_FILES, len(inputs) // _FILES_SHARE))
    group: list[TaskInput] = []
    size_bytes = 0
    for given in inputs:
        if group and size_bytes + given.size_bytes > enough_bytes:
            yield group
            group, size_bytes = [], 0
        group.append(given)
        size_bytes += given.size_bytes
        if len(group) == enough_files:
            yield group
            group, size_bytes = [], 0
    if group:
        yield group
