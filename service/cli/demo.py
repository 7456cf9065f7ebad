"""The command demo: an A/B test on a server of its own, from its first call to somebody's decision."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Annotated, Any, Final

import httpx
import typer

from service.cli.demo_users import ENDPOINT, DemoUsers, Measured
from service.cli.refusal import fail
from service.cli.told import told
from service.whereabouts import find_urls, is_served

_OLD: Final = "old"
_NEW: Final = "new"
_MARK: Final = "# The endpoints of `sagebird demo`."
_ENDPOINTS: Final = """{mark}
default_endpoint: {endpoint}
endpoints:
  {endpoint}:
    api_edits: true
    variants:
      {old}: {{model: {old_model}, weight: 4}}
      {new}: {{model: {new_model}, weight: 1}}
"""
_OWN: Final = "SAGEBIRD_"
_START_S: Final = 120.0
_STOP_S: Final = 40.0
_TICK_S: Final = 0.05
_LOOK_S: Final = 1.0
_TELL_S: Final = 10.0
_LAST_LINES: Final = 5
_ENDINGS: Final = ("SIGINT", "SIGTERM", "SIGHUP")


def demo(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where it listens; 0 takes a free port.")
    ] = 8080,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Keep it there.  \\[default: gone at the end]", show_default=False
        ),
    ] = None,
    rate: Annotated[float, typer.Option(min=1, max=1000, help="Calls of users per second.")] = 40,
) -> None:
    """Show an A/B test from its first call to your decision: a server of its own, with simulated users.

    Ctrl-C ends all of it.
    """
    with ExitStack() as stack, suppress(KeyboardInterrupt):
        stack.enter_context(_endings())
        _check_free(port)
        folder = _folder(data, stack)
        is_going_on = (folder / "data").exists()
        typer.echo("Two models are trained on the iris data set ...")
        flowers = _prepare(folder / "models")
        server = stack.enter_context(_server(folder, port))
        url = _wait_ready(folder, server)
        client = stack.enter_context(httpx.Client(base_url=url, timeout=30, trust_env=False))
        typer.echo(_introduction(url, rate, data))
        if is_going_on:
            typer.echo("It goes on with the experiment that was kept there, and with its last shares.\n")
        users = DemoUsers(client, flowers, rate, random.Random(), time.monotonic())  # noqa: S311 - no secret
        _Show(client, users, url).run(lambda: _check_lives(folder, server))
    typer.echo("The demo is over." + ("" if data is None else f" What it made is in {told(str(data))}."))


@contextmanager
def _endings() -> Iterator[None]:
    """Have whatever ends a program end this one as Ctrl-C does; what comes after that finds it ending."""

    def end(number: int, frame: FrameType | None) -> None:
        for each in known:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    known = [getattr(signal, name) for name in _ENDINGS if hasattr(signal, name)]
    before = {each: signal.signal(each, end) for each in known}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _folder(data: Path | None, stack: ExitStack) -> Path:
    """Where models and state go: a folder that holds nothing else."""
    if data is None:
        made = TemporaryDirectory(prefix="sagebird-demo-", ignore_cleanup_errors=True)
        return Path(stack.enter_context(made))
    try:
        data.mkdir(parents=True, exist_ok=True)
        if any(data.iterdir()) and not _is_ours(data):
            fail(f"{data} holds something else: name a folder that is empty, or not there yet.")
    except OSError as error:
        fail(f"{data} cannot be used: {error.strerror}.")
    if is_served(data / "data"):
        place = next(iter(find_urls(data / "data")), "")
        fail(f"A demo runs in {data} already{place and f', on {place}'}: name another folder for this one.")
    return data.resolve()


def _is_ours(data: Path) -> bool:
    try:
        return (data / "models" / "endpoints.yaml").read_text(encoding="utf-8").startswith(_MARK)
    except (OSError, ValueError):
        return False


def _check_free(port: int) -> None:
    try:
        with socket.create_server(("127.0.0.1", port)):
            pass
    except OSError as error:
        why = os.strerror(error.errno or 0)
        fail(
            f"Port {port} cannot be had ({why}); is a server of yours there? "
            "`sagebird demo --port 0` takes a free one."
        )


def _prepare(models: Path) -> Sequence[Measured]:
    """Train the models; the flowers that users have."""
    from service.cli import demo_models  # no other command pays for scikit-learn

    names = {"old_model": demo_models.OLD_MODEL, "new_model": demo_models.NEW_MODEL}
    try:
        flowers = demo_models.train_models(models)
        text = _ENDPOINTS.format(mark=_MARK, endpoint=ENDPOINT, old=_OLD, new=_NEW, **names)
        (models / "endpoints.yaml").write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"{models} cannot be written: {error.strerror}.")
    return flowers


@contextmanager
def _server(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server of what is in a folder, for as long as this lasts; settings of others are none of its own."""
    options = ["--port", str(port), "--models", str(folder / "models"), "--data", str(folder / "data")]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - a server of our own
            [sys.executable, "-m", "service.cli", "serve", *options],
            env=inherited | {f"{_OWN}WORKERS": "0"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the demo, which ends its users first
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_ready(folder: Path, server: subprocess.Popen[bytes]) -> str:
    """The address of the server, once it answers."""
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s:
        _check_lives(folder, server)
        for url in find_urls(folder / "data", server.pid)[:1]:
            with suppress(httpx.HTTPError):
                if httpx.get(f"{url}/readyz", timeout=5, trust_env=False).is_success:
                    return url
        time.sleep(_TICK_S)
    fail(f"The server is not ready after {_START_S:g} s: {_last_lines(folder)}")


def _check_lives(folder: Path, server: subprocess.Popen[bytes]) -> None:
    if server.poll() is not None:
        fail(f"The server of the demo has ended: {_last_lines(folder)}")


def _last_lines(folder: Path) -> str:
    text = (folder / "server.log").read_text(encoding="utf-8", errors="replace")
    return "\n".join(text.splitlines()[-_LAST_LINES:]) or "it said nothing."


def _introduction(url: str, rate: float, data: Path | None) -> str:
    kept = "nothing is kept" if data is None else f"{told(str(data))} is kept"
    return f"""
The endpoint {ENDPOINT} has two variants:
  {_OLD}   4 calls in 5 go to a model that sees the sepals of a flower alone
  {_NEW}   1 call in 5 goes to a model that sees its petals, too

Users are simulated: {rate:g} calls a second, each by somebody with an id of his own (X-Sagebird-User), one in
four by somebody who has called before. Each keeps his variant and says a few seconds later what his flower
really was. Predictions are the models' own.

  Open {url}/dashboard, and press Ctrl-C here to end all of it ({kept}).
"""


def _is_better(found: Mapping[str, Any]) -> bool:
    """Whether the verdict is for the new variant, whatever warnings there are: people weigh them."""
    comparisons = (found["verdict"] or {}).get("comparisons", ())
    return any(each["challenger"] == _NEW and each["decision"] == "better" for each in comparisons)


def _decision(winner: str | None, changes: Sequence[Mapping[str, Any]]) -> str:
    """What is told of who has all traffic, if one has it, and of the change that gave it."""
    if winner is None:
        return "Both have traffic again."
    why = changes[-1]["reason"] if changes else ""
    return f"{winner} has all traffic now ({why}): you have decided. Ctrl-C ends the demo."


class _Show:
    """Lets users ask, and tells how the experiment is going."""

    def __init__(self, client: httpx.Client, users: DemoUsers, url: str) -> None:
        self._client = client
        self._users = users
        self._url = url
        self._began_s = time.monotonic()
        self._told_s = self._looked_s = self._began_s
        self._is_proposed = False
        self._winner: str | None = None  # who has all traffic

    def run(self, check: Callable[[], None]) -> None:
        """Go on until somebody ends it; `check` ends it where it cannot go on."""
        while True:
            now_s = time.monotonic()
            self._users.step(now_s)
            if now_s - self._looked_s >= _LOOK_S:
                self._looked_s = now_s
                check()
                self._look(now_s)
            time.sleep(_TICK_S)

    def _look(self, now_s: float) -> None:
        try:
            response = self._client.get(f"/endpoints/{ENDPOINT}/experiment")
            response.raise_for_status()
        except httpx.HTTPError as error:
            if now_s - self._told_s >= _TELL_S:
                self._tell(now_s, f"The verdict is not to be had: {error}")
            return
        found = response.json()
        winner = next((each["name"] for each in found["variants"] if each["share"] == 1), None)
        if winner != self._winner:
            self._winner = winner
            self._tell(now_s, _decision(winner, found["changes"]))
        elif _is_better(found) and winner is None and not self._is_proposed:
            self._is_proposed = True
            self._tell(now_s, " ".join([found["sentence"], *found["warnings"]]))
            typer.echo(self._proposal())
        elif now_s - self._told_s >= _TELL_S:
            self._tell(now_s, found["sentence"])

    def _tell(self, now_s: float, sentence: str) -> None:
        self._told_s = now_s
        users, failed = self._users, ""
        if users.failures:
            failed = f", {users.failures:,} failed (the last: {users.trouble})"
        counts = f"{users.calls:,} calls, {users.outcomes:,} outcomes{failed}"
        typer.echo(told(f"{now_s - self._began_s:5.0f} s   {counts}   {sentence}"))

    def _proposal(self) -> str:
        return (
            f'\n  Your turn. Look at {self._url}/dashboard, then "Promote a variant" there, or in another'
            f"\n  terminal: sagebird promote {ENDPOINT} {_NEW} --url {self._url}\n"
        )
