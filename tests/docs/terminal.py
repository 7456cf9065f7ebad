"""Runs what a document tells people to type, in a terminal as theirs, and reads what it prints there."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer

_WIDTH, _HEIGHT = 100, 50
_TIMEOUT_S = 300.0  # waiters of the aws CLI look every 30 seconds
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ERASED = re.compile(r"[^\n]*\n[^\n]*\x1b\[1A\x1b\[2K|[^\n]*\x1b\[2K")  # progress, gone when it is done
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")


@dataclass
class Terminal:
    """A shell in `folder`; the server that documents have on localhost:8080 is at `url`."""

    folder: Path
    url: str
    exported: list[str] = field(default_factory=list)

    def type(self, command: str) -> str:
        """Run one command and return what the terminal shows, without colours; exports last."""
        script = "\n".join([*self.exported, self._as_here(command)])
        if command.startswith("export "):
            self.exported.append(self._as_here(command))
        shown = _ERASED.sub("", self._run(["bash", "-c", script]))
        return _ESCAPES.sub("", shown).replace("\r", "").replace(self._address, "localhost:8080").strip("\n")

    @property
    def _address(self) -> str:
        return self.url.removeprefix("http://")

    def _as_here(self, command: str) -> str:
        return command.replace("localhost:8080", self._address).replace("127.0.0.1:8080", self._address)

    def _environment(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        return inherited | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{inherited['PATH']}",
            "TERM": "xterm",
            "SAGEBIRD_URL": self.url,
        }

    def _run(self, command: list[str]) -> str:
        terminal, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", _HEIGHT, _WIDTH, 0, 0))
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=inside,
            stderr=inside,
        )
        os.close(inside)
        alarm = Timer(_TIMEOUT_S, process.kill)
        alarm.start()
        try:
            return _read_to_end(terminal).decode()
        finally:
            alarm.cancel()
            process.wait()
            os.close(terminal)


def _read_to_end(terminal: int) -> bytes:
    chunks = []
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # how Linux says that nobody holds the other end any more
            break
        if not chunk:
            break
        chunks.append(chunk)
    return b"".join(chunks)
