"""One container: a template that has the model, and workers forked from it that answer calls.

Calls wait in its listening socket, which the model host keeps: workers and templates may come and go behind
it. A worker that is at one call for too long is killed and replaced; so is one that grows too much. What
crashes again and again is started again after longer and longer waits.
Not in here: who uses it, and when it is not needed any more (container_host).
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

from service.domain.log_places import KeepLine
from service.errors import ModelFailure, ModelFault, ModelTooLarge
from service.hosting.containers.channel import Channel
from service.hosting.containers.deaths import Deaths, ReplacementPace, ending
from service.hosting.containers.forks import ForkServer
from service.hosting.containers.held_memory import HeldMemory
from service.hosting.containers.members import TemplateProcess, WorkerProcess
from service.hosting.containers.output import Output
from service.hosting.containers.printed import Printed
from service.hosting.containers.processes import CpuClock, grown_bytes, resident_bytes
from service.hosting.containers.slots import Slots
from service.hosting.containers.spec import ContainerSpec, Loaded
from service.hosting.containers.stuck import Waiting
from service.hosting.environments.keeping import hold
from service.log import get_logger

_BACKLOG = 4096
_LOOK_S = 0.05
_LOOKS = 20  # at what its processes are at, for each at what is below them
_HEALTHY_S = 10.0
_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 10.0


class Container:
    """The processes of one spec. For one event loop."""

    def __init__(
        self,
        spec: ContainerSpec,
        address: Path,
        forks: ForkServer,
        environment: Mapping[str, str],
        broken: Callable[[ModelFault], None],
        keep: KeepLine | None = None,
    ) -> None:
        """`address` is where its socket will be. `broken` is told when it cannot be had any more.

        `keep` keeps what its processes print.
        """
        self.spec = spec
        self.printed = Printed(keep)
        self.address = address
        self._forks = forks
        self._environment = environment
        self._broken = broken
        self._log = get_logger("sagebird.container").bind(model=spec.name)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.slots = Slots(spec.workers)
        self.workers = [WorkerProcess(slot) for slot in range(spec.workers)]
        self._templates: list[TemplateProcess] = []
        self._memory = HeldMemory(spec, self.workers, self._templates, self.slots)
        self.deaths, self._pace = Deaths(), ReplacementPace()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_over = False
        self._held: int | None = None  # what keeps its environment from being cleared
        self._cpu = CpuClock(forks.census)
        self._counted = -1  # calls when it was looked what its processes have started

    async def start(self) -> Loaded:
        """Load the model and have workers take calls; what the model told.

        Raises:
            ModelFault: it cannot be loaded, or not in time.
        """
        self._listener.bind(str(self.address))
        self._listener.listen(_BACKLOG)
        self._held = hold(self.spec.python) if self.spec.python else None
        self._spawn(self._watch(Waiting(self._listener, self.slots, self.spec.timeout_s)))
        return await self._stand_up()

    def size_bytes(self) -> int:
        """Memory that its processes hold by now; what they share with each other counts once."""
        return self._memory.held_bytes(self._memory.grown())

    def cpu_s(self) -> float:
        """Seconds of CPUs that its processes have used; workers are below what they were forked from."""
        return self._cpu.read([template.pid for template in self._templates])

    def trouble(self) -> str:
        """What people should know of its processes, "" for nothing."""
        return self.deaths.trouble()

    async def close(self) -> None:
        """End all its processes, whatever they are at."""
        self._is_over = True
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        # Whoever still listened to a channel that is closed would let go of the next socket of its number.
        await asyncio.gather(*tasks, return_exceptions=True)
        for template in list(self._templates):
            self._end(template)
        self._listener.close()
        if self._held is not None:
            os.close(self._held)
            self._held = None
        self.address.unlink(missing_ok=True)
        self.slots.close()

    def _calls(self) -> int:
        return sum(self.slots.calls(slot) for slot in range(self.slots.count))

    # ------------------------------------------------------------------ how it comes to stand

    async def _stand_up(self) -> Loaded:
        template = await self._load()
        if template.loaded.can_be_forked:
            for worker in self.workers:
                self._ask_for(worker, template)
        else:  # each worker loads for itself
            self._serve_itself(template, self.workers[0])
            others = [await self._load() for _ in self.workers[1:]]
            for other, worker in zip(others, self.workers[1:], strict=True):
                self._serve_itself(other, worker)
        return template.loaded

    async def _load(self) -> TemplateProcess:
        template = await self._start_process()
        self._templates.append(template)
        begun_s = monotonic()
        try:
            async with asyncio.timeout(self.spec.load_timeout_s):
                told = await template.channel.receive()
        except TimeoutError:
            self._end(template)
            raise ModelFailure(
                f"Model {self.spec.name} is not loaded after {self.spec.load_timeout_s:g} seconds "
                f"(ContainerStartupHealthCheckTimeoutInSeconds){template.last_words}"
            ) from None
        except BaseException:
            self._end(template)
            raise
        if told is None or "loaded" not in told:
            raise self._failure(template, told)
        template.loaded = Loaded.of({"seconds": monotonic() - begun_s, **told["loaded"]})
        template.size_bytes = grown_bytes(template.pid, template.base_bytes)
        template.is_loading = False
        if 0 < self.spec.memory_bytes < template.size_bytes:
            self._end(template)
            raise ModelTooLarge(self._memory.too_large(template.size_bytes))
        self._spawn(self._listen(template))
        return template

    def _failure(self, template: TemplateProcess, told: Mapping[str, Any] | None) -> ModelFault:
        self._end(template)
        if template.reason:
            return ModelTooLarge(template.reason)
        if told is None or "failed" not in told:
            how = f"ended while it loaded{template.last_words}"
            return ModelFailure(f"the process of model {self.spec.name} {how}")
        failed = told["failed"]
        return ModelFault(failed["message"], failed.get("status", 500))

    async def _start_process(self) -> TemplateProcess:
        channel, theirs = Channel.pair()
        out = Output(self._tell("stdout"), self.printed)
        outputs = out, Output(self._tell("stderr"), self.printed, after=out)
        told = self.spec.for_runner(self._environment, self.printed.key)
        listener, slots = self._listener.fileno(), self.slots.descriptor
        files = (theirs.fileno(), listener, slots, *(output.writer for output in outputs))
        try:
            if not self.spec.python and self._forks.obeys(told["environment"]):
                pid = await self._forks.fork({"container": told}, files)
                return TemplateProcess(channel, pid, outputs, base_bytes=self._forks.size_bytes())
            python = self.spec.python or sys.executable
            pid = await self._forks.fork({"python": python, "environment": told["environment"]}, files)
            channel.send(told)
            return TemplateProcess(channel, pid, outputs)
        except (OSError, ModelFault) as error:
            channel.close()
            raise ModelFailure(f"no process could be started for model {self.spec.name}: {error}") from error
        except BaseException:  # whoever wanted it has gone
            channel.close()
            raise
        finally:
            theirs.close()
            for output in outputs:
                output.handed_over()

    def _tell(self, stream: str) -> Callable[[str], None]:
        return lambda line: self._log.info(line, stream=stream)

    # ------------------------------------------------------------------ its workers

    def _ask_for(self, worker: WorkerProcess, template: TemplateProcess) -> None:
        worker.pid, worker.below_bytes = 0, 0
        worker.reason = worker.leaves = ""
        worker.calls = self.slots.calls(worker.slot)
        self.slots.clear(worker.slot)
        with suppress(OSError):  # the template is gone: whoever listens to it sees that as well
            template.channel.send({"fork": worker.slot})

    def _serve_itself(self, template: TemplateProcess, worker: WorkerProcess) -> None:
        template.slot = worker.slot
        worker.calls = self.slots.calls(worker.slot)
        self.slots.clear(worker.slot)
        worker.pid, worker.reason, worker.leaves = template.pid, "", ""
        worker.started_s, worker.size_bytes = monotonic(), resident_bytes(template.pid)
        with suppress(OSError):
            template.channel.send({"serve": worker.slot})

    async def _listen(self, template: TemplateProcess) -> None:
        with suppress(LookupError, TypeError, ValueError):  # no word of ours: it is believed nothing more
            while (told := await template.channel.receive()) is not None:
                self._hear(template, told, self.workers[told["slot"]])
        if not self._is_over:
            self._spawn(self._stand_up_again(template))

    def _hear(self, template: TemplateProcess, told: Mapping[str, Any], worker: WorkerProcess) -> None:
        if "worker" in told:
            worker.pid, worker.started_s = int(told["worker"]), monotonic()
            worker.size_bytes = resident_bytes(worker.pid)
        elif "ended" in told:
            self._bury(worker, told["ended"], told["status"], template)
        elif "refused" in told:
            worker.started_s = monotonic()
            self._replace(worker, str(told["refused"]), template)

    def _bury(self, worker: WorkerProcess, pid: int, status: int, template: TemplateProcess) -> None:
        if worker.pid not in (pid, 0) or self._is_over:
            return
        left = worker.leaves if status == 0 else ""  # else it died before it could
        self._replace(worker, left or ending(status), template)

    def _replace(self, worker: WorkerProcess, how: str, template: TemplateProcess) -> None:
        wait_s = self._note_death(worker, how)
        self._spawn(self._ask_later(wait_s, worker, template))

    def _note_death(self, worker: WorkerProcess, how: str) -> float:
        """Log that a worker is gone; how long to wait before the next one.

        Where it died at a call no longer and longer, however often: those that come next are somebody else's.
        """
        called = self.slots.calls(worker.slot) > worker.calls
        if called or monotonic() - worker.started_s >= _HEALTHY_S:
            worker.quick_deaths = 0
        else:
            worker.quick_deaths += 1
        wait_s = min(_FIRST_WAIT_S * 2.0 ** min(worker.quick_deaths - 2, 20), _LONGEST_WAIT_S)
        if worker.quick_deaths < 2:
            wait_s = self._pace.wait_s() if called else 0.0
        pid, worker.pid = worker.pid, 0
        how = worker.reason or how
        self.deaths.note(how)
        self._log.warning("worker replaced", pid=pid, ended=how, wait_s=wait_s)
        return wait_s

    async def _stand_up_again(self, template: TemplateProcess) -> None:
        """A template is gone, and all that were forked from it."""
        lost = [worker for worker in self.workers if template.slot in (None, worker.slot)]
        how = template.reason or next((each.leaves for each in lost if each.leaves), "its process ended")
        waits = [self._note_death(worker, how) for worker in lost]
        self._end(template)
        await asyncio.sleep(max(waits))
        try:
            other = await self._load()
        except ModelFault as fault:
            self._is_over = True
            self._broken(fault)
            return
        for worker in lost:
            if template.slot is None:
                self._ask_for(worker, other)
            else:
                self._serve_itself(other, worker)

    async def _ask_later(self, wait_s: float, worker: WorkerProcess, template: TemplateProcess) -> None:
        await asyncio.sleep(wait_s)
        if not self._is_over and template in self._templates:  # else another one has asked by now
            self._ask_for(worker, template)

    # ------------------------------------------------------------------ what it may take

    async def _watch(self, waiting: Waiting) -> None:
        for look in count():
            await asyncio.sleep(_LOOK_S)
            if waiting.is_cut_off():
                return self._broken(ModelFailure("its own code has shut the socket at which it was called"))
            self._end_overdue(waiting)
            if look % _LOOKS == 0:
                self._count_below()
            if self.spec.memory_bytes:
                self._memory.keep_within(self._kill)

    def _count_below(self) -> None:
        """See what processes hold that the model's code has started. What nobody calls starts none."""
        calls, busy = self._calls(), [self.slots.busy_s(worker.slot) is not None for worker in self.workers]
        members: list[WorkerProcess | TemplateProcess] = [*self.workers, *self._templates]
        if calls == self._counted and not any(busy) and not any(each.below_bytes for each in members):
            return
        self._counted = calls
        # a template that is a worker counts once
        pids = {each.pid: each for each in reversed(members) if each.pid}
        for pid, each in pids.items():
            each.below_bytes = self._forks.census.below_bytes(pid, pids.keys())

    def _end_overdue(self, waiting: Waiting) -> None:
        for worker in self.workers:
            busy_s = self.slots.busy_s(worker.slot)
            if worker.pid and busy_s is not None and busy_s > self.spec.timeout_s:
                self._kill(worker, f"it was at one call for {busy_s:.3g} seconds")
        for worker in map(self.workers.__getitem__, waiting.stuck()):
            if worker.pid and monotonic() - worker.started_s > waiting.longest_s:
                self._kill(worker, f"it took up no call for {waiting.longest_s:g} seconds")

    def _kill(self, worker: WorkerProcess, reason: str) -> None:
        if not worker.reason:
            worker.reason = reason
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)

    def _end(self, template: TemplateProcess) -> None:
        if template in self._templates:
            self._templates.remove(template)
        template.channel.close()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(template.pid, signal.SIGKILL)
        for output in template.outputs:
            output.close()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
