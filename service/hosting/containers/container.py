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
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from service.errors import ModelFailure, ModelFault
from service.hosting.containers.channel import Channel
from service.hosting.containers.forks import ForkServer, run_runner
from service.hosting.containers.output import Output
from service.hosting.containers.processes import grown_bytes, resident_bytes
from service.hosting.containers.slots import Slots
from service.hosting.containers.spec import ContainerSpec, Loaded
from service.hosting.environments.keeping import hold
from service.log import get_logger

_BACKLOG = 4096
_LOOK_S = 0.05
_HEALTHY_S = 10.0
_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 10.0


@dataclass(slots=True)
class _Worker:
    slot: int
    pid: int = 0
    size_bytes: int = 0  # when it was forked
    started_s: float = 0.0
    quick_deaths: int = 0
    reason: str = ""  # why it was killed


@dataclass(slots=True)
class _Template:
    """A process that has loaded the model, and the workers that were forked from it."""

    channel: Channel
    pid: int
    outputs: tuple[Output, Output]
    slot: int | None = None  # it is that worker itself
    process: subprocess.Popen[bytes] | None = None
    loaded: Loaded = field(default_factory=lambda: Loaded(0.0))
    base_bytes: int = 0  # what it was forked with
    size_bytes: int = 0  # of the model


class Container:
    """The processes of one spec. For one event loop."""

    def __init__(
        self,
        spec: ContainerSpec,
        address: Path,
        forks: ForkServer,
        environment: Mapping[str, str],
        broken: Callable[[ModelFault], None],
    ) -> None:
        """`address` is where its socket will be. `broken` is told when it cannot be had any more."""
        self.spec = spec
        self.address = address
        self._forks = forks
        self._environment = environment
        self._broken = broken
        self._log = get_logger("sagebird.container").bind(model=spec.name)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._slots = Slots(spec.workers)
        self._workers = [_Worker(slot) for slot in range(spec.workers)]
        self._templates: list[_Template] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_over = False
        self._held: int | None = None  # what keeps its environment from being cleared

    async def start(self) -> Loaded:
        """Load the model and have workers take calls; what the model told.

        Raises:
            ModelFault: it cannot be loaded, or not in time.
        """
        self._listener.bind(str(self.address))
        self._listener.listen(_BACKLOG)
        self._held = hold(self.spec.python) if self.spec.python else None
        loaded = await self._stand_up()
        self._spawn(self._watch())
        return loaded

    def size_bytes(self) -> int:
        """Memory that its processes hold by now; what they share with each other counts once."""
        grown = (grown_bytes(worker.pid, worker.size_bytes) for worker in self._workers if worker.pid)
        return sum(template.size_bytes for template in self._templates) + sum(grown)

    def describe(self) -> dict[str, Any]:
        """Its processes, for people."""
        return {"workers": [worker.pid for worker in self._workers if worker.pid], "calls": self._calls()}

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
        self._slots.close()

    def _calls(self) -> int:
        return sum(self._slots.calls(slot) for slot in range(self._slots.count))

    # ------------------------------------------------------------------ how it comes to stand

    async def _stand_up(self) -> Loaded:
        template = await self._load()
        if template.loaded.can_be_forked:
            for worker in self._workers:
                self._ask_for(worker, template)
        else:  # each worker loads for itself
            self._serve_itself(template, self._workers[0])
            others = [await self._load() for _ in self._workers[1:]]
            for other, worker in zip(others, self._workers[1:], strict=True):
                self._serve_itself(other, worker)
        return template.loaded

    async def _load(self) -> _Template:
        template = await self._start_process()
        self._templates.append(template)
        begun_s = monotonic()
        try:
            async with asyncio.timeout(self.spec.load_timeout_s):
                told = await template.channel.receive()
        except TimeoutError:
            self._end(template)
            raise ModelFailure(
                f"Model {self.spec.name} is not loaded after {self.spec.load_timeout_s:g} seconds."
            ) from None
        except BaseException:
            self._end(template)
            raise
        if told is None or "loaded" not in told:
            raise self._failure(template, told)
        template.loaded = Loaded.of({"seconds": monotonic() - begun_s, **told["loaded"]})
        template.size_bytes = grown_bytes(template.pid, template.base_bytes)
        self._spawn(self._listen(template))
        return template

    def _failure(self, template: _Template, told: Mapping[str, Any] | None) -> ModelFault:
        last = template.outputs[1].last
        self._end(template)
        if told is None or "failed" not in told:
            said = f", and said last: {last}" if last else ""
            return ModelFailure(f"the process of model {self.spec.name} ended while it loaded{said}")
        failed = told["failed"]
        return ModelFault(failed["message"], failed.get("status", 500))

    async def _start_process(self) -> _Template:
        channel, theirs = Channel.pair()
        outputs = Output(self._tell("stdout")), Output(self._tell("stderr"))
        told = self.spec.for_runner(self._environment)
        listener, slots = self._listener.fileno(), self._slots.descriptor
        forked = not self.spec.python and self._forks.obeys(told["environment"])
        try:
            if forked:
                writers = [output.writer for output in outputs]
                pid = await self._forks.fork(told, (theirs.fileno(), listener, slots, *writers))
                return _Template(channel, pid, outputs, base_bytes=self._forks.size_bytes())
            process = run_runner(
                self.spec.python or sys.executable,
                "--container",
                (theirs.fileno(), listener, slots),
                stdout=outputs[0].writer,
                stderr=outputs[1].writer,
                env=told["environment"],
                process_group=0,
                cwd=self.spec.model_dir,
            )
            channel.send(told)
            return _Template(channel, process.pid, outputs, process=process)
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

    def _ask_for(self, worker: _Worker, template: _Template) -> None:
        worker.pid, worker.reason = 0, ""
        self._slots.clear(worker.slot)
        with suppress(OSError):  # the template is gone: whoever listens to it sees that as well
            template.channel.send({"fork": worker.slot})

    def _serve_itself(self, template: _Template, worker: _Worker) -> None:
        template.slot = worker.slot
        self._slots.clear(worker.slot)
        worker.pid, worker.reason = template.pid, ""
        worker.started_s, worker.size_bytes = monotonic(), resident_bytes(template.pid)
        with suppress(OSError):
            template.channel.send({"serve": worker.slot})

    async def _listen(self, template: _Template) -> None:
        while (told := await template.channel.receive()) is not None:
            if "worker" in told:
                worker = self._workers[told["slot"]]
                worker.pid, worker.started_s = told["worker"], monotonic()
                worker.size_bytes = resident_bytes(worker.pid)
            elif "ended" in told:
                self._bury(self._workers[told["slot"]], told["ended"], told["status"], template)
            elif "refused" in told:
                worker = self._workers[told["slot"]]
                worker.started_s = monotonic()
                self._replace(worker, told["refused"], template)
        if not self._is_over:
            self._spawn(self._stand_up_again(template))

    def _bury(self, worker: _Worker, pid: int, status: int, template: _Template) -> None:
        if worker.pid not in (pid, 0) or self._is_over:
            return
        self._replace(worker, _ended(status), template)

    def _replace(self, worker: _Worker, how: str, template: _Template) -> None:
        wait_s = self._note_death(worker, how)
        self._spawn(self._ask_later(wait_s, worker, template))

    def _note_death(self, worker: _Worker, how: str) -> float:
        """Log that a worker is gone; how long to wait before the next one."""
        if monotonic() - worker.started_s >= _HEALTHY_S:
            worker.quick_deaths = 0
        else:
            worker.quick_deaths += 1
        wait_s = min(_FIRST_WAIT_S * 2.0 ** min(worker.quick_deaths - 2, 20), _LONGEST_WAIT_S)
        wait_s = 0.0 if worker.quick_deaths < 2 else wait_s
        pid, worker.pid = worker.pid, 0
        self._log.warning("worker replaced", pid=pid, ended=worker.reason or how, wait_s=wait_s)
        return wait_s

    async def _stand_up_again(self, template: _Template) -> None:
        """A template is gone, and all that were forked from it."""
        lost = [worker for worker in self._workers if template.slot in (None, worker.slot)]
        waits = [self._note_death(worker, "its process ended") for worker in lost]
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

    async def _ask_later(self, wait_s: float, worker: _Worker, template: _Template) -> None:
        await asyncio.sleep(wait_s)
        if not self._is_over and template in self._templates:  # else another one has asked by now
            self._ask_for(worker, template)

    # ------------------------------------------------------------------ what it may take

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            self._end_overdue()
            if self.spec.memory_bytes:
                self._end_too_large()

    def _end_overdue(self) -> None:
        for worker in self._workers:
            busy_s = self._slots.busy_s(worker.slot)
            if worker.pid and busy_s is not None and busy_s > self.spec.timeout_s:
                self._kill(worker, f"it was at one call for {busy_s:.3g} seconds")

    def _end_too_large(self) -> None:
        """Have the worker that has grown most leave if all of them hold too much."""
        working = [worker for worker in self._workers if worker.pid and not worker.reason]
        grown = {worker.slot: grown_bytes(worker.pid, worker.size_bytes) for worker in working}
        held = sum(template.size_bytes for template in self._templates) + sum(grown.values())
        if held > self.spec.memory_bytes and grown:
            largest = max(working, key=lambda worker: grown[worker.slot])
            self._kill(largest, f"its container held {held >> 20} MiB of {self.spec.memory_bytes >> 20} MiB")

    def _kill(self, worker: _Worker, reason: str) -> None:
        if not worker.reason:
            worker.reason = reason
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)

    def _end(self, template: _Template) -> None:
        if template in self._templates:
            self._templates.remove(template)
        template.channel.close()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(template.pid, signal.SIGKILL)
        if template.process is not None:
            template.process.wait()
        for output in template.outputs:
            output.close()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _ended(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else f"killed by signal {-code}"
