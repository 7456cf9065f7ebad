"""The command that runs a program whose clients of AWS find a server of ours: run."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Final

import httpx
import typer

from service.cli.program import Signals, environment_for, withheld
from service.cli.refusal import fail
from service.cli.server import GivenUrl, ask, expect_sagebird, locate
from service.cli.told import told
from service.whereabouts import find_urls

_START_S: Final = 300.0
_STOP_S: Final = 60.0
_TICK_S: Final = 0.05
_ASK_S: Final = 5.0
_USAGE, _NOT_RUN, _NOT_FOUND = 2, 126, 127
"""Source: POSIX, exit status of a shell's commands."""


def run(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COMMAND", help="The program and its arguments, behind `--`.", show_default=False
        ),
    ] = None,
    url: GivenUrl = None,
) -> None:
    """Run a program whose clients of AWS find this server: `sagebird run -- python program.py`.

    It gets the address, a region and credentials as variables, never those that you have for AWS. Where no
    server runs, one is started, and stopped when the program is over. Its exit code is the program's.
    """
    words = command or []
    _check(words)
    with Signals() as signals, _server(url) as address:
        if names := withheld(os.environ):
            typer.echo(f"sagebird: the program does not get your {' and '.join(names)}", err=True)
        code = _follow(signals, words, address)
    raise typer.Exit(code)


def _check(words: Sequence[str]) -> None:
    """End the command where there is nothing to run, before a server is started for it."""
    if not words:
        fail("Say what to run: sagebird run -- python program.py", _USAGE)
    if shutil.which(words[0]) is None:
        if Path(words[0]).exists() and "/" in words[0]:
            fail(f"{words[0]} cannot be run: it is no program (chmod +x makes a script one).", _NOT_RUN)
        fail(f"There is no program {words[0]}.", _NOT_FOUND)


def _follow(signals: Signals, words: Sequence[str], address: str) -> int:
    try:
        return signals.follow(words, environment_for(address, os.environ))
    except OSError as error:
        fail(f"{words[0]} cannot be run: {error.strerror}.", _NOT_RUN)


@contextmanager
def _server(given: str | None) -> Iterator[str]:
    """The address of a server that runs, or of one that runs as long as it is needed."""
    url = locate(given)
    if given or os.environ.get("AWS_ENDPOINT_URL"):
        expect_sagebird(url, ask(url, "POST", "/"))
        yield url
    elif _is_ours(url):
        yield url
    else:
        with _own_server() as url:
            yield url


@contextmanager
def _own_server() -> Iterator[str]:
    """A server of this folder, for as long as this lasts."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve", "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the program, whose last calls are still answered
        )
        try:
            yield _wait_ready(process, log)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_ready(process: "subprocess.Popen[bytes]", log: IO[bytes]) -> str:
    """The address of the server, once its endpoints answer."""
    data = Path(os.environ.get("SAGEBIRD_DATA") or "data")
    deadline_s = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline_s:
        for url in find_urls(data):
            if _is_ready(url):
                return url
        time.sleep(_TICK_S)
    log.seek(0)
    said = log.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
    fail(f"No server can be started for the program: {told(said)}")


def _is_ours(url: str) -> bool:
    """Whether a sagebird answers there; whatever it says to an operation without a name, it numbers it."""
    response = _answer("POST", f"{url}/")
    return response is not None and "x-amzn-requestid" in response.headers


def _is_ready(url: str) -> bool:
    response = _answer("GET", f"{url}/readyz")
    return response is not None and response.is_success


def _answer(method: str, url: str) -> httpx.Response | None:
    """What a server of this machine says, which no proxy is asked for."""
    try:
        return httpx.request(method, url, timeout=_ASK_S, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL):
        return None
