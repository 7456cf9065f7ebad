"""Fork server, template and workers, as the host asks for them over its sockets.

The fork server has the common libraries loaded and runs no model's code. Its children are templates, which
load a model and answer nothing; theirs are the workers. None outlives whom it was made by.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import signal
import socket
import sys
import warnings
from _socket import socket as Socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from fcntl import F_GETFL, F_SETFL, F_SETOWN, fcntl
from os import _exit, fork, getpid, waitpid
from random import seed
from select import select
from typing import Any, NamedTuple, NoReturn

from .handlers import ScriptedModel
from .loading import enter, failure, load
from .orphans import adopt, end_all, end_children_too, end_orphans, end_with_parent
from .printing import Printing, fill_standard_streams
from .serving import Slot, end_child, serve

_PACKET_BYTES = 1 << 20
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_RUNNER = os.path.dirname(os.path.abspath(__file__))
_TASKS = "/proc/self/task"
_GOES_FIRST = 500  # of 1000
_NICE = 5  # a third of a gateway's part of a processor, where both want it
_COMMON = (
    *("numpy", "scipy.sparse", "scipy.special", "joblib", "pandas"),
    *("sklearn.base", "sklearn.calibration", "sklearn.cluster", "sklearn.compose", "sklearn.decomposition"),
    *("sklearn.ensemble", "sklearn.feature_extraction.text", "sklearn.impute", "sklearn.linear_model"),
    *("sklearn.metrics", "sklearn.model_selection", "sklearn.naive_bayes", "sklearn.neighbors"),
    *("sklearn.neural_network", "sklearn.pipeline", "sklearn.preprocessing", "sklearn.svm", "sklearn.tree"),
)


def main(arguments: list[str]) -> NoReturn:
    """Be the fork server, or a container in an environment of its own."""
    with suppress(
        ValueError
    ):  # of what crashes there is a line in the log, and no copy in the model's folder
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if arguments[0] == "--fork-server":
        _serve_forks(Socket(fileno=int(arguments[-1])), arguments[1:-1])
    numbers = [int(number) for number in arguments[1:]]
    # duplicates have the lowest numbers: none of them is the one that loading gives to the model's folder
    control, listener, slots = map(os.dup, numbers)
    for number in numbers:
        os.close(number)
    host = Socket(fileno=control)
    host.settimeout(None)
    packet = host.recv(_PACKET_BYTES)
    with suppress(OSError):
        os.setpgid(0, 0)
    if packet:
        _run_container(json.loads(packet), host, Socket(fileno=listener), slots)
    _exit(0)


class _Packet(NamedTuple):
    """What the host sent, with its descriptors."""

    content: Any
    descriptors: list[int]


class _Ended(NamedTuple):
    """A child that is gone."""

    pid: int
    status: int


def _events(connection: Socket, woken: int) -> Iterator[_Packet | _Ended]:
    """Packets and ends of children, as they come; no more when the other end is closed."""
    while True:
        watched: list[Any] = [connection, woken]
        ready = select(watched, [], [])[0]
        if woken in ready:
            os.read(woken, 4096)
        with suppress(ChildProcessError):
            while (ended := waitpid(-1, os.WNOHANG))[0]:
                yield _Ended(*ended)
        if connection in ready:
            received: Any = socket.recv_fds(connection, _PACKET_BYTES, 8, _CLOSE_ON_EXEC)  # type: ignore[arg-type]
            if not received[0]:
                return
            yield _Packet(json.loads(received[0]), received[1])


class _Watch(NamedTuple):
    """A pipe that is written to when a child ends, and what was in the place of that before."""

    pipe: tuple[int, int]
    handler: Any
    mask: set[Any]


def _watch_children() -> _Watch:
    pipe = os.pipe()
    for end in pipe:
        os.set_blocking(end, False)
    handler = signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(pipe[1], warn_on_full_buffer=False)
    return _Watch(pipe, handler, signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD}))


def _leave_children(watch: _Watch) -> None:
    signal.set_wakeup_fd(-1)
    if watch.handler is not None:  # one that was not set by Python cannot be set again
        signal.signal(signal.SIGCHLD, watch.handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, watch.mask)
    for end in watch.pipe:
        os.close(end)


def _set_apart() -> None:
    """Let children go on sharing what is there: the collector writes to what it looks at."""
    gc.collect()
    getattr(gc, "freeze", gc.collect)()  # PyPy has none


def _send(connection: Socket, content: dict[str, Any]) -> None:
    connection.send(json.dumps(content, default=str).encode())


def _die_with(parent: int) -> None:
    end_with_parent()
    if os.getppid() != parent:
        _exit(1)


# ---- fork server


def _serve_forks(host: Socket, lenders: list[str]) -> NoReturn:
    for signum in (signal.SIGINT, signal.SIGTERM):  # it ends with its host, which lets calls end first
        signal.signal(signum, signal.SIG_IGN)
    for name in _COMMON:
        with suppress(ImportError):
            importlib.import_module(name)
    quicken = next(filter(None, map(_borrow, lenders)), None)
    _set_apart()
    adopt()
    host.settimeout(None)
    watch, templates = _watch_children(), set[int]()
    with suppress(BrokenPipeError, ConnectionResetError):
        _send(host, {"ready": True})
        for event in _events(host, watch.pipe[0]):
            if isinstance(event, _Ended):
                _bury(event, templates, host)
                continue
            told = _start(event, host, watch, quicken)
            templates.update(filter(None, [told.get("started")]))
            _send(host, told)
            for number in event.descriptors:
                os.close(number)
    end_all()
    _exit(0)


def _borrow(lender: str) -> Any:
    """What a module of the server's lends; none of the server's stays where a model's code could meet it."""
    package = lender.partition(".")[0]
    try:
        return importlib.import_module(lender).quicken
    except ImportError:
        return None
    finally:
        for module in [*sys.modules]:
            if module.partition(".")[0] == package:
                del sys.modules[module]


def _bury(ended: _Ended, templates: set[int], host: Socket) -> None:
    """What handlers started goes with their container, also what left its group and falls to this process."""
    if ended.pid in templates:
        templates.remove(ended.pid)
        with suppress(OSError):
            os.killpg(ended.pid, signal.SIGKILL)
        _send(host, {"ended": ended.pid, "status": ended.status})
    end_orphans(templates)


def _start(asked: _Packet, host: Socket, watch: _Watch, quicken: Any) -> dict[str, Any]:
    parent = getpid()
    try:
        pid = fork()
    except OSError as error:
        return {"refused": f"no process could be started: {error}"}
    if pid:
        with suppress(OSError):  # here as well, so that it is done when the host is told
            os.setpgid(pid, pid)
        return {"started": pid}
    _leave_children(watch)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setpgid(0, 0)
    _die_with(parent)
    host.close()
    *others, out, err = asked.descriptors
    for number, standard in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
        os.dup2(number, standard)
        os.close(number)
    if "python" in asked.content:
        _run_elsewhere(asked.content["python"], asked.content["environment"], others)
    control, listener, slots = others
    spec = asked.content["container"]
    _run_container(spec, Socket(fileno=control), Socket(fileno=listener), slots, quicken)


def _run_elsewhere(python: str, environment: dict[str, str], descriptors: list[int]) -> NoReturn:
    """Go on as a container of another environment; its host tells that one what it is to be."""
    for number in descriptors:
        os.set_inheritable(number, True)
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, which would hand that on
        signal.signal(ignored, signal.SIG_DFL)
    try:
        command = [python, "-I", _RUNNER, "--container", *map(str, descriptors)]
        os.execve(python, command, environment)  # noqa: S606 - ours
    except (OSError, ValueError) as error:  # a variable may hold what none can
        os.write(2, f"{python} cannot be run: {error}\n".encode("utf-8", "surrogateescape"))
        _exit(1)


# ---- template and workers


def _run_container(
    spec: dict[str, Any], host: Socket, listener: Socket, slots: int, quicken: Any = None
) -> NoReturn:
    adopt()
    _stand_back()
    _go_first_where_memory_is_short()
    _end_with(host, True)
    own = getpid()
    try:
        printing = Printing(spec.get("log_key", ""))
        printing.take_over()
        enter(spec)
        endpoint, told = load(spec, quicken)
        _flush()
        told = {"loaded": {**told, "threads": _count_threads()}}
    except BaseException as error:  # edge: the model's code may raise whatever it likes
        if getpid() != own:
            end_child(error)
        told = {"failed": failure(error, spec)}
        _flush()
    if getpid() != own:
        _exit(0)  # a child that model_fn forked: the model is its parent's
    fill_standard_streams()
    _end_with(host, False)
    host.settimeout(None)
    workers: dict[int, int] = {}
    with suppress(BrokenPipeError, ConnectionResetError):
        _send(host, told)
        if "loaded" in told:
            _set_apart()
            _follow(host, workers, lambda slot: _work(listener, Slot(slots, slot), endpoint, printing))
    if "loaded" in told and os.getpgrp() == getpid():
        os.killpg(0, signal.SIGKILL)  # itself, its workers, and what their handlers started
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    _exit(0 if "loaded" in told else 1)


def _follow(host: Socket, workers: dict[int, int], work: Callable[[int], NoReturn]) -> None:
    """Do what the host says until it closes its end."""
    own, watch = getpid(), _watch_children()  # the script may have had a handler of its own
    for event in _events(host, watch.pipe[0]):
        if isinstance(event, _Ended):
            slot = workers.pop(event.pid, None)
            if slot is not None:
                with suppress(OSError):  # what it started and left behind, which may hold its caller
                    os.killpg(event.pid, signal.SIGKILL)
                _send(host, {"ended": event.pid, "slot": slot, "status": event.status})
            continue
        if "serve" in event.content:
            _leave_children(watch)
            _end_with(host, True)
            work(event.content["serve"])
        slot = event.content["fork"]
        try:
            pid = fork()
        except OSError as error:
            _send(host, {"refused": f"no process could be started: {error}", "slot": slot})
            continue
        if pid == 0:
            os.setpgid(0, 0)
            _leave_children(watch)
            _die_with(own)
            host.close()
            _reseed()
            end_children_too()
            work(slot)
        workers[pid] = slot
        with suppress(OSError):  # here as well, so that it is done when the host is told
            os.setpgid(pid, pid)
        _send(host, {"worker": pid, "slot": slot})


def _work(listener: Socket, slot: Slot, endpoint: ScriptedModel, printing: Printing) -> NoReturn:
    endpoint.worker = getpid()
    serve(listener, slot, endpoint.answer, printing)


def _go_first_where_memory_is_short() -> None:
    """Have the kernel end a container rather than a gateway where the whole machine runs out of memory."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "r+b", 0) as file:
        if int(file.read(8)) < _GOES_FIRST:
            file.seek(0)
            file.write(b"%d" % _GOES_FIRST)


def _stand_back() -> None:
    """Let gateways, which all callers need, go before models: they are not stopped for whom they wake up."""
    os.nice(_NICE)
    with suppress(AttributeError, OSError):  # Linux only, and not in every sandbox
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _end_with(host: Socket, on: bool) -> None:
    """Let the kernel end this process when the host closes its end, whatever code runs; or no longer."""
    with suppress(OSError, AttributeError):
        fcntl(host, F_SETOWN, getpid())
        flags = fcntl(host, F_GETFL)
        fcntl(host, F_SETFL, flags | os.O_ASYNC if on else flags & ~os.O_ASYNC)
    if on and select([host], [], [], 0)[0] and not host.recv(1, socket.MSG_PEEK):
        _exit(0)


def _count_threads() -> int:
    """Those that a fork would lose: OpenBLAS ends its own before one, so it is counted behind one."""
    if os.path.isdir(_TASKS) and len(os.listdir(_TASKS)) > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pid = fork()
        if pid == 0:
            _exit(0)
        waitpid(pid, 0)
    return len(os.listdir(_TASKS)) if os.path.isdir(_TASKS) else 1


def _reseed() -> None:
    """Random numbers of its own: the state is a copy of the template's."""
    seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # the script may have put anything in its place
            stream.flush()
