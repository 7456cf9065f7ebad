"""A real Chromium, driven over a pipe by its own protocol; nothing else has to be installed for it.

Source: the Chrome DevTools protocol, of which a dozen commands are used.
"""

import base64
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from types import TracebackType
from typing import Any

from tests.conftest import wait_until

PATIENCE_S = 90.0
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"),
    *("--remote-debugging-pipe", "--hide-scrollbars"),
)


class Browser:
    """One process with one page, for the length of a `with` block."""

    def __init__(self, chromium: str) -> None:
        self._chromium = chromium
        self._number = 0
        self._answers: dict[int, Queue[dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self._session: str | None = None
        self.complaints: list[str] = []
        """What the page's console said of errors, and what its policy forbade."""

    def __enter__(self) -> "Browser":
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        (asked, self._asking), (self._answering, answered) = os.pipe(), os.pipe()
        command = [self._chromium, *_FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{asked} 4>&{answered}', "browser", *command],
            pass_fds=(asked, answered),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(asked)
        os.close(answered)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._session = None
        try:
            self.ask("Browser.close")
            self._process.wait(20)
        except (OSError, AssertionError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._asking)
        self._reader.join(20)
        self._profile.cleanup()

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of one command."""
        answer: Queue[dict[str, Any]] = Queue()
        with self._lock:
            self._number += 1
            number = self._number
            self._answers[number] = answer
        message = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._asking, data) :]
        found = answer.get(timeout=PATIENCE_S)
        assert "error" not in found, (method, found["error"])
        result: dict[str, Any] = found["result"]
        return result

    def run(self, script: str) -> Any:
        """What an expression comes to in the page; promises are awaited."""
        asked = {"expression": script, "awaitPromise": True, "returnByValue": True}
        found = self.ask("Runtime.evaluate", **asked)
        assert "exceptionDetails" not in found, (script[:500], found["exceptionDetails"])
        return found["result"].get("value")

    def wait(self, script: str) -> None:
        """Wait until an expression is true in the page."""
        wait_until(lambda: self.run(f"Boolean({script})"), PATIENCE_S)

    def open(self, url: str) -> None:
        """Open a page and wait until it is loaded."""
        self.ask("Page.navigate", url=url)
        self.wait(f"document.readyState === 'complete' && location.href === {json.dumps(url)}")

    def show(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Have the page in a window of this size, in the light or in the dark."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.ask("Emulation.setEmulatedMedia", features=features)

    def press(self, key: str, code: int, times: int = 1) -> None:
        """Press a key, as `ArrowRight` with its virtual key code."""
        for _ in range(times):
            for kind in ("rawKeyDown", "keyUp"):
                self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def picture(self, file: Path) -> None:
        """Write the whole page to a PNG."""
        shot = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    def _read(self) -> None:
        rest = b""
        while part := os.read(self._answering, 1 << 16):
            *messages, rest = (rest + part).split(b"\0")
            for message in messages:
                self._take(json.loads(message))
        os.close(self._answering)

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self._answers.pop(message["id"]).put(message)
        complain: dict[str, Callable[[dict[str, Any]], str | None]] = {
            "Runtime.exceptionThrown": lambda told: str(told["exceptionDetails"]),
            "Log.entryAdded": lambda told: (
                f"{told['entry']['text']} {told['entry'].get('url', '')}"
                if told["entry"]["level"] == "error"
                else None
            ),
        }
        told = complain.get(message.get("method", ""))
        complaint = None if told is None else told(message["params"])
        if complaint is not None:
            self.complaints.append(complaint)
