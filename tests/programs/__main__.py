"""Runs programs against a server of their own, and shows how they went: `make programs ARGS='sdk2 mlflow'`.

Ends with 1 where one of them did not go to its end. Environments are made where they are missing.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from service.whereabouts import find_urls
from tests.harness import web
from tests.programs import environments
from tests.programs.catalogue import PROGRAMS
from tests.programs.running import Ran, run

_READY_S = 180.0
_TICK_S = 0.1


def main(names: Sequence[str]) -> int:
    """Run the named programs, or all; the exit code."""
    unknown = [name for name in names if name not in PROGRAMS]
    if unknown:
        sys.exit(f"There is no program {' or '.join(unknown)}: {', '.join(PROGRAMS)}.")
    rows: list[tuple[str, Ran | None]] = []
    with tempfile.TemporaryDirectory() as folder, _server(Path(folder)) as url:
        for name in names or PROGRAMS:
            rows.append((name, _ran(name, url, Path(folder) / name)))
    _show(rows)
    return 0 if all(ran is not None and ran.passed for _, ran in rows) else 1


def _ran(name: str, url: str, folder: Path) -> Ran | None:
    program = PROGRAMS[name]
    _say(f"{name}: {program.shows}")
    try:
        if program.environment:
            environments.make(program.environment)
    except environments.NotInstalled as error:
        _say(f"  its environment cannot be made: {error}")
        return None
    folder.mkdir()
    ran = run(program, url, folder)
    if not ran.passed:
        _say(ran.said)
    return ran


def _show(rows: Sequence[tuple[str, Ran | None]]) -> None:
    _say(f"\n{'program':<12} {'steps':>7} {'passed':<7} {'seconds':>7}")
    for name, ran in rows:
        if ran is None:
            _say(f"{name:<12} {'-':>7} {'no':<7}")
        else:
            steps = f"{ran.done}/{ran.program.steps}"
            _say(f"{name:<12} {steps:>7} {'yes' if ran.passed else 'no':<7} {ran.seconds:>7.1f}")


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    """A server without any model of its own; its address."""
    data, models = folder / "data", folder / "models"
    models.mkdir()
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve", "--port", "0"],
            env={**os.environ, "SAGEBIRD_DATA": str(data), "SAGEBIRD_MODELS": str(models)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            yield _wait_ready(process, data)
        finally:
            process.terminate()
            process.wait()


def _wait_ready(process: "subprocess.Popen[bytes]", data: Path) -> str:
    deadline_s = time.monotonic() + _READY_S
    while process.poll() is None and time.monotonic() < deadline_s:
        for url in find_urls(data):
            try:
                if web.get(f"{url}/readyz").is_success:
                    return url
            except httpx.HTTPError:
                pass
        time.sleep(_TICK_S)
    sys.exit(f"The server does not start; {data.parent / 'server.log'} is gone with it.")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
