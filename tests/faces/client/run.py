"""Typed clients from a server's /openapi.json, in TypeScript and Python: made, and let call the samples.

`make client`. It needs node and npm, whose registry it asks for openapi-typescript, openapi-fetch and
typescript in the versions of package.json, and pip, for openapi-python-client in an environment of its own;
all of it goes into .client/ of the checkout, or the folder that TEST_CLIENT names. `--fetch` does no more.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[2]
_FOLDER = Path(os.environ.get("TEST_CLIENT") or _ROOT / ".client").resolve()
_START_S = 120.0
_STRICTLY = [
    "--strict",
    "--noUncheckedIndexedAccess",
    "--target",
    "es2022",
    "--module",
    "nodenext",
    "--moduleResolution",
    "nodenext",
    "--skipLibCheck",
    "--outDir",
    "out",
    "client.ts",
]
_PYTHON = "python/bin/python"
_GENERATOR = "openapi-python-client==0.29.1"
_CONFIG = "{package_name_override: sagebird_client, post_hooks: []}\n"


def main() -> int:
    """The exit code of the first step that fails, 0 if none does."""
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("make client needs node and npm.")
    _FOLDER.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "client.ts", "client.py"):
        shutil.copy(_HERE / name, _FOLDER / name)
    code = _run(_fetching(npm))
    if code != 0 or "--fetch" in sys.argv[1:]:
        return code
    with _server() as url:
        return _run(_calling(url))


def _run(commands: Sequence[Sequence[str]]) -> int:
    """The exit code of the first command that fails, 0 if none does."""
    for command in commands:
        code = subprocess.run(command, cwd=_FOLDER, check=False).returncode
        if code != 0:
            print(f"failed: {' '.join(command)}", file=sys.stderr)
            return code
    return 0


def _fetching(npm: str) -> list[list[str]]:
    """What fetches the generators; of an environment that is there nothing is made anew."""
    making = [] if (_FOLDER / _PYTHON).exists() else [[sys.executable, "-m", "venv", "python"]]
    return [
        [npm, "install", "--silent", "--no-audit", "--no-fund"],
        *making,
        [_PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", _GENERATOR],
    ]


def _calling(url: str) -> list[list[str]]:
    """What makes the clients of a server's document and has them call it."""
    (_FOLDER / "python.yaml").write_text(_CONFIG, encoding="utf-8")
    generate = ["generate", "--url", f"{url}/openapi.json", "--config", "python.yaml", "--meta", "none"]
    return [
        ["node_modules/.bin/openapi-typescript", f"{url}/openapi.json", "-o", "schema.ts"],
        ["node_modules/.bin/tsc", *_STRICTLY],
        ["node", "out/client.js", url],
        ["python/bin/openapi-python-client", *generate, "--overwrite", "--output-path", "sagebird_client"],
        [_PYTHON, "client.py", url],
    ]


@contextlib.contextmanager
def _server() -> Iterator[str]:
    """The address of a server of the sample models, with a data folder of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as data:
        own = {
            "SAGEBIRD_PORT": str(port),
            "SAGEBIRD_DATA": data,
            "SAGEBIRD_GATEWAYS": "1",
            "SAGEBIRD_WORKERS": "0",
        }
        command = [sys.executable, "-m", "service.cli", "serve"]
        process = subprocess.Popen(command, cwd=_ROOT, env=os.environ | own)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_ready(url, process)
            yield url
        finally:
            process.terminate()
            process.wait(40)


def _wait_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit("The server has ended.")
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/readyz", timeout=5).is_success:
                return
        time.sleep(0.1)
    sys.exit("The server does not get ready.")


if __name__ == "__main__":
    sys.exit(main())
