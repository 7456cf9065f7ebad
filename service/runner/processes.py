"""Fork server, template and workers, as the host asks for them over its sockets.

The fork server has the common libraries loaded and runs no code of a model's; its children are templates, which
load one model each and answer nothing; theirs are the workers. Nobody outlives whom it was made by.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
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
from typing import Any, NoReturn, Union

from .loading import enter, failure, load
from .serving import Slot, serve

_PACKET_BYTES = 1 << 20
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_COMMON = (
    "numpy scipy.sparse scipy.special joblib pandas sklearn.base sklearn.calibration sklearn.cluster sklearn.compose "
    "sklearn.decomposition sklearn.ensemble sklearn.feature_extraction.text sklearn.impute sklearn.linear_model "
    "sklearn.metrics sklearn.model_selection sklearn.naive_bayes sklearn.neighbors sklearn.neural_network "
    "sklearn.pipeline sklearn.preprocessing sklearn.svm sklearn.tree"
).split()
_THREADS = "OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS BLIS_NUM_THREADS".split()
_IS_LINUX = sys.platform == "linux"


def main(arguments: list[str]) -> NoReturn:
    """Be the fork server, or a container in an environment of its own."""
    role, *numbers = arguments
    if role == "--fork-server":
        _serve_forks(Socket(fileno=int(numbers[0])))
    # moved to the lowest numbers, away from the one that loading gives to the model's folder
    control, listener, slots = (os.dup(int(number)) for number in numbers)
    os.closerange(slots + 1, max(map(int, numbers)) + 1)
    connection = Socket(fileno=control)
    packet = connection.recv(_PACKET_BYTES)
    if not packet:
        _exit(0)
    with suppress(OSError):
        os.setpgid(0, 0)
    _run_container(json.loads(packet), connection, Socket(fileno=listener), slots)


class _Ended:
    """A child that is gone."""

    def __init__(self, pid: int, status: int) -> None:
        self.pid = pid
        self.status = status


class _Packet:
    """A packet that came, with its descriptors."""

    def __init__(self, content: Any, descriptors: list[int]) -> None:
        self.content = content
        self.descriptors = descriptors


def _events(connection: Socket, woken: int) -> Iterator[Union[_Packet, _Ended]]:
    """Packets and ends of children, as they come; no more when the other end is closed."""
    while True:
        ready, _, _ = select([connection, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
        with suppress(ChildProcessError):
            while (ended := waitpid(-1, os.WNOHANG))[0]:
                yield _Ended(*ended)
        if connection in ready:
            packet, descriptors, _, _ = socket.recv_fds(connection, _PACKET_BYTES, 8, _CLOSE_ON_EXEC)  # type: ignore[arg-type]
            if not packet:
                return
            yield _Packet(json.loads(packet), descriptors)


def _wake_by_children() -> tuple[int, int]:
    """A pipe that says when a child ended. Both ends."""
    woken, waker = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(waker, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    return woken, waker


def _send(connection: Socket, content: dict[str, Any]) -> None:
    connection.send(json.dumps(content, default=str).encode())


def _die_with(parent: int) -> None:
    if _IS_LINUX:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        _exit(1)


# ---- fork server


def _serve_forks(host: Socket) -> NoReturn:
    for number in (signal.SIGINT, signal.SIGTERM):  # it ends with its host, after all calls
        signal.signal(number, signal.SIG_IGN)
    for name in _THREADS:
        os.environ.setdefault(name, "1")
    for name in _COMMON:
        with suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    _send(host, {"ready": True})
    pipe = _wake_by_children()
    with suppress(BrokenPipeError, ConnectionResetError):
        for event in _events(host, pipe[0]):
            if isinstance(event, _Ended):
                _send(host, {"ended": event.pid, "status": event.status})
            else:
                _send(host, _start(event, host, pipe))
                for number in event.descriptors:
                    os.close(number)
    _exit(0)


def _start(asked: _Packet, host: Socket, pipe: tuple[int, int]) -> dict[str, Any]:
    parent = getpid()
    try:
        pid = fork()
    except OSError as error:
        return {"refused": f"no process could be started: {error}"}
    if pid:
        with suppress(OSError):  # here too, so that it is done when the host is told
            os.setpgid(pid, pid)
        return {"started": pid}
    _leave(pipe, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setpgid(0, 0)
    _die_with(parent)
    host.close()
    control, listener, slots, out, err = asked.descriptors
    for number, standard in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
        os.dup2(number, standard)
        os.close(number)
    _run_container(asked.content["container"], Socket(fileno=control), Socket(fileno=listener), slots)


def _leave(pipe: tuple[int, int], children: Any) -> None:
    """Stop watching children, and handle their signal as given."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, children)
    for number in pipe:
        os.close(number)


# ---- template and workers


def _run_container(spec: dict[str, Any], control: Socket, listener: Socket, slots: int) -> NoReturn:
    _end_with(control, True)
    try:
        enter(spec)
        endpoint, told = load(spec)
        _flush()
        told["threads"] = _count_threads()
    except BaseException as error:  # edge: what a model's code may raise
        told = {"failed": failure(error, spec)}
        _flush()
    _end_with(control, False)
    control.settimeout(None)
    if "failed" in told:
        _send(control, told)
        _exit(1)
    gc.freeze()  # after a collection: workers share what nobody writes to
    workers: dict[int, int] = {}
    with suppress(BrokenPipeError, ConnectionResetError):
        _send(control, {"loaded": told})
        _follow(control, workers, lambda slot: serve(listener, Slot(slots, slot), endpoint.answer))
    for pid in workers:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    _exit(0)


def _follow(control: Socket, workers: dict[int, int], work: Callable[[int], NoReturn]) -> None:
    """Do what the host says, until it closes its end."""
    children = signal.getsignal(signal.SIGCHLD)  # a script may have its own
    own, pipe = getpid(), _wake_by_children()
    for event in _events(control, pipe[0]):
        if isinstance(event, _Ended):
            if event.pid in workers:
                _send(control, {"ended": event.pid, "slot": workers.pop(event.pid), "status": event.status})
            continue
        if "serve" in event.content:
            _leave(pipe, children)
            _end_with(control, True)
            work(event.content["serve"])
        slot = event.content["fork"]
        try:
            pid = fork()
        except OSError as error:
            _send(control, {"refused": f"no process could be started: {error}", "slot": slot})
            continue
        if pid == 0:
            _leave(pipe, children)
            _die_with(own)
            control.close()
            _reseed()
            work(slot)
        workers[pid] = slot
        _send(control, {"worker": pid, "slot": slot})


def _end_with(control: Socket, on: bool) -> None:
    """Let the kernel end this process when the host closes its end, whatever code is running; or no longer."""
    with suppress(OSError, AttributeError):
        fcntl(control, F_SETOWN, getpid())
        flags = fcntl(control, F_GETFL)
        fcntl(control, F_SETFL, flags | os.O_ASYNC if on else flags & ~os.O_ASYNC)
    if on and select([control], [], [], 0)[0] and not control.recv(1, socket.MSG_PEEK):
        _exit(0)


def _count_threads() -> int:
    """Those that a fork would miss: OpenBLAS ends its own before one, so it is counted after one."""
    tasks = "/proc/self/task"
    if os.path.isdir(tasks) and len(os.listdir(tasks)) > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pid = fork()
        if pid == 0:
            _exit(0)
        waitpid(pid, 0)
    return len(os.listdir(tasks)) if os.path.isdir(tasks) else 1


def _reseed() -> None:
    """Random numbers of its own: the state is a copy of the template's."""
    seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # the script may have put anything in their place
            stream.flush()
