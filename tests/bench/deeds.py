"""What a model's code may do to the process that it runs in, and what callers are to see of it."""

from dataclasses import dataclass

SCRIPT = """
import os, sqlite3, threading

def model_fn(model_dir):
    return {}

def transform_fn(model, body, content_type, accept):
    known = {"model": model}
    exec(body, known)
    return str(known.get("result")), known.get("kind", "text/plain")
"""
"""An inference.py that runs what it is sent, and answers what that leaves as `result`."""

DAEMON_S = 86_399
"""Daemons that are started here would sleep for so long: by that they are known."""

_HOLDS_LOCK = """
import re, time
end = time.monotonic() + 10
while time.monotonic() < end:
    re.match("(a+)+$", "a" * 23 + "b")
result = 1
"""
_DAEMON = f"""
import subprocess
nothing = subprocess.DEVNULL
started = subprocess.Popen(["setsid", "sleep", "{DAEMON_S}"], stdin=nothing, stdout=nothing, stderr=nothing)
result = 1
"""
_TWO_FORKS = f"""
import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 256)
        os.execvp("sleep", ["sleep", "{DAEMON_S}"])
    os._exit(0)
result = 1
"""
_HELD = """
import ctypes, os, time
if ctypes.CDLL(None).fork() == 0:
    time.sleep(60)
    os._exit(0)
os._exit(1)
"""
_LISTENERS = """
import os, socket
result = 0
for number in os.listdir("/proc/self/fd"):
    try:
        own = os.dup(int(number))
    except OSError:
        continue
    try:
        with socket.socket(fileno=own) as each:
            if each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                each.setblocking(False)
                result += 1
    except OSError:
        os.close(own)
"""
_SLOTS = """
import mmap, os, struct
result = 0
for number in map(int, os.listdir("/proc/self/fd")):
    try:
        if "slots" not in os.readlink("/proc/self/fd/%d" % number):
            continue
        result = 1
        held = mmap.mmap(number, 0)
        held[:] = b"\\xff" * len(held)
        os.ftruncate(number, 0)
    except OSError:
        pass
"""
_SIBLINGS = """
import os, signal
for name in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open("/proc/%s/stat" % name) as file:
            parent = int(file.read().rpartition(") ")[2].split()[1])
        if parent == os.getppid() and int(name) != os.getpid():
            os.kill(int(name), signal.SIGKILL)
    except OSError:
        pass
result = 1
"""
_CHILD_ALLOCATES = """
import os
if os.fork() == 0:
    held = [b"x" * (1 << 20) + bytes([number % 256]) for number in range(8192)]
    os._exit(0)
os.wait()
result = 1
"""
_FILLS = """
import os
with open("big", "wb") as file:
    result = file.write(b"x" * (64 << 20)) >> 26
os.unlink("big")
"""
_PRINTS = """
import os, time
end = time.monotonic() + 2
while time.monotonic() < end:
    os.write(1, {what})
result = 1
"""


@dataclass(frozen=True)
class Deed:
    """Code that a handler runs, and the answer: its status, the model's own, its text (or a part of it).

    `after` is what the next call says that was sent `ask`: the model serves again.
    """

    code: str
    status: int = 200
    original: int = 200
    text: str = "1"
    ask: str = "result = 1"
    after: str = "1"


def _died(code: str) -> Deed:
    return Deed(code, 424, 502, "ended before it had answered")


def _late(code: str) -> Deed:
    return Deed(code, 424, 0, "Your invocation timed out while waiting for a response")


DEEDS: dict[str, Deed] = {
    "hangs": _late("import time; time.sleep(1000)"),
    "ends its process": _died("import os; os._exit(3)"),
    "aborts": _died("import os; os.abort()"),
    "allocates 8 GB": _died("result = len([bytearray(b'x' * (1 << 20)) for _ in range(8192)])"),
    "has a child allocate 8 GB": _died(_CHILD_ALLOCATES),
    "forks": Deed("import os; result = 1 if os.fork() else os.getpid()"),
    "forks and goes on": Deed("import os, time; result = 1 if os.fork() else time.sleep(1000)"),
    "closes all descriptors": _died("import os; os.closerange(0, 4096)"),
    "holds the lock for 10 s": Deed(_HOLDS_LOCK),
    "prints lines": Deed(_PRINTS.format(what="b'x' * 63 + b'\\n'")),
    "prints megabytes without a line": Deed(_PRINTS.format(what="b'x' * 65536")),
    "prints empty lines": Deed(_PRINTS.format(what="b'\\n' * 65536")),
    "fills its folder": Deed(_FILLS),
    "keeps a file in its folder": Deed("print('call', file=open('calls.log', 'a')); result = 1"),
    "opens the listening socket": Deed(_LISTENERS),
    "writes into the slots": Deed(_SLOTS),
    "kills its siblings": Deed(_SIBLINGS),
    "kills its parent": _died("import os, time; os.kill(os.getppid(), 9); time.sleep(10)"),
    "kills its group": _died("import os; os.kill(0, 9)"),
    "starts a daemon": Deed(_DAEMON),
    "starts a daemon by two forks": Deed(_TWO_FORKS),
    "leaves its caller to a child": _died(_HELD),
    "answers 100 MB": Deed("result = 'x' * 100_000_000", 424, 500, "could not load the entire response body"),
    "answers with a header of its own": Deed(
        "result, kind = 1, 'text/plain\\r\\nX-Own: 1'", 424, 500, "which no header can hold"
    ),
    "changes its environment": Deed(
        "import os; os.environ.clear(); os.chdir('/'); os.umask(0o777); result = 1"
    ),
    "closes its streams": Deed(
        "import os; os.closerange(0, 3); result = 1", ask="print('printed'); result = 1"
    ),
}
"""By what each is called."""
