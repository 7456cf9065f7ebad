"""What the processes of one container hold in memory, and who leaves or ends where that is too much.

A worker is told to leave between two calls before there is too much, and for a moment even then: a call that
is under way is lost by what was there before it only where there is no other way.
"""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Final

from service.hosting.containers.members import TemplateProcess, WorkerProcess
from service.hosting.containers.processes import grown_bytes
from service.hosting.containers.slots import Slots
from service.hosting.containers.spec import ContainerSpec

_ROOM: Final = 8  # of what a container may hold, this part is left for calls under way
_GRACE_S: Final = 1.0  # to leave for who is told so late that there is a little too much already
_FORK_S: Final = 0.05  # until another worker is at calls
_TIMES: Final = 40  # as long it works before it leaves

Kill = Callable[[WorkerProcess, str], None]


class HeldMemory:
    """Of the processes that are there."""

    def __init__(
        self,
        spec: ContainerSpec,
        workers: Sequence[WorkerProcess],
        templates: Sequence[TemplateProcess],
        slots: Slots,
        grace_s: float = _GRACE_S,
    ) -> None:
        """`workers` and `templates` are those of the moment, whoever comes and goes.

        A worker that is told to leave when there is a little too much has `grace_s` for that.
        """
        self._spec = spec
        self._workers, self._templates, self._slots = workers, templates, slots
        self._grace_s = grace_s
        self._since_s: float | None = None  # when there was too much for the first time in a row

    def grown(self) -> dict[int, int]:
        """By its place, how much more each worker holds than what it was forked with."""
        return {
            worker.slot: grown_bytes(worker.pid, worker.size_bytes) + worker.below_bytes
            for worker in self._workers
            if worker.pid
        }

    def held_bytes(self, grown: Mapping[int, int]) -> int:
        """What all of them hold, workers so much more than what they were forked with."""
        return sum(grown.values()) + sum(each.size_bytes + each.below_bytes for each in self._templates)

    def too_large(self, held_bytes: int) -> str:
        """What is told of a model that holds so much."""
        return (
            f"Model {self._spec.name} takes {held_bytes >> 20} MiB in memory, more than the "
            f"{self._spec.memory_bytes >> 20} MiB that a container may hold: raise SAGEBIRD_CONTAINER_MEMORY."
        )

    def keep_within(self, kill: Kill) -> None:
        """If all of them hold too much, end the one that loads, or have the worker go that has grown most.

        Where that would not be enough it is the template that grew, by what it has started.
        """
        for template in self._templates:
            if template.is_loading:
                template.size_bytes = grown_bytes(template.pid, template.base_bytes)
        # who is killed holds it a while longer, which is nobody else's fault
        grown = {slot: size for slot, size in self.grown().items() if not self._workers[slot].reason}
        held, most = self.held_bytes(grown), self._spec.memory_bytes
        if held <= most:
            self._since_s = None
            return self._have_leave(grown, held)
        leaving = [template for template in self._templates if template.is_loading]
        if not leaving and sum(grown.values()) < held - most:
            leaving = list(self._templates)
        for template in leaving:
            template.reason = template.reason or self.too_large(held)
            with suppress(ProcessLookupError):
                os.kill(template.pid, signal.SIGKILL)
        if grown and not leaving:
            self._have_go(self._workers[max(grown, key=grown.__getitem__)], held, kill)

    def _have_go(self, worker: WorkerProcess, held: int, kill: Kill) -> None:
        """Have a worker leave between two calls if there is a little too much, else or later kill it."""
        now_s = monotonic()
        self._since_s = now_s if self._since_s is None else self._since_s
        most = self._spec.memory_bytes
        if held > most + most // _ROOM or now_s - self._since_s > self._grace_s:
            kill(worker, f"its container held {held >> 20} MiB of {most >> 20} MiB")
        elif not worker.leaves:
            self._tell(worker, held)

    def _have_leave(self, grown: Mapping[int, int], held: int) -> None:
        """Where little room is left, have a worker that grew leave between two calls: so none is lost.

        One that grew by more than that room, lest the next one is where it was, and has worked for long
        against what it takes to have another.
        """
        room = self._spec.memory_bytes // _ROOM
        staying = {slot: size for slot, size in grown.items() if not self._workers[slot].leaves}
        if self.held_bytes(staying) <= self._spec.memory_bytes - room or not staying:
            return
        largest = self._workers[max(staying, key=staying.__getitem__)]
        needs_s = sum((each.loaded.seconds for each in self._templates if each.slot == largest.slot), _FORK_S)
        if staying[largest.slot] > room and monotonic() - largest.started_s > _TIMES * needs_s:
            self._tell(largest, held)

    def _tell(self, worker: WorkerProcess, held: int) -> None:
        held_of = f"{held >> 20} MiB of {self._spec.memory_bytes >> 20} MiB"
        worker.leaves = f"it left between two calls, when its container held {held_of}"
        self._slots.have_leave(worker.slot)
