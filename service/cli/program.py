"""A program that `sagebird run` runs: the variables that it gets, and the signals that are for it."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Final, Self
from urllib.parse import urlsplit

_REDIRECT: Final = Path(__file__).parent / "redirect"
_REGION: Final = "us-east-1"
_NOBODYS: Final = "sagebird"  # a server without keys takes any credentials
_OUR_KEYS: Final = ("SBKA", "SBTS")  # what ids of keys and of sessions begin with
_KEY_ID, _SECRET, _TOKEN = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"
_SECRETS: Final = (_KEY_ID, "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ROLE_ARN")
_HARMLESS: Final = frozenset(
    {
        "AWS_CA_BUNDLE",
        "AWS_DEFAULT_OUTPUT",
        "AWS_MAX_ATTEMPTS",
        "AWS_PAGER",
        "AWS_REQUEST_CHECKSUM_CALCULATION",
        "AWS_RESPONSE_CHECKSUM_VALIDATION",
        "AWS_RETRY_MODE",
    }
)
_ENDINGS: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
_KILLED: Final = 128


def environment_for(url: str, environment: Mapping[str, str]) -> dict[str, str]:
    """All variables of the program. No credentials, profiles or addresses for AWS itself are among them."""
    found = {
        name: value for name, value in environment.items() if not name.startswith("AWS_") or name in _HARMLESS
    }
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    region = region or environment.get("SAGEBIRD_REGION") or _REGION
    found |= {"AWS_REGION": region, "AWS_DEFAULT_REGION": region, **_credentials(environment)}
    # Profiles have addresses and credentials, too: nobody reads them.
    found |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    found |= {"AWS_ENDPOINT_URL": url, "SAGEBIRD_URL": url, "AWS_EC2_METADATA_DISABLED": "true"}
    found["PYTHONPATH"] = _joined(os.pathsep, str(_REDIRECT), environment.get("PYTHONPATH"))
    direct = _joined(",", environment.get("no_proxy") or environment.get("NO_PROXY"), urlsplit(url).hostname)
    return found | {"NO_PROXY": direct, "no_proxy": direct}


def withheld(environment: Mapping[str, str]) -> list[str]:
    """The variables with which somebody is known to AWS, and which the program does not get."""
    return [name for name in _SECRETS if environment.get(name) and not _is_ours(environment, name)]


def _credentials(environment: Mapping[str, str]) -> dict[str, str]:
    if not _is_ours(environment, _KEY_ID):
        return {_KEY_ID: _NOBODYS, _SECRET: _NOBODYS}
    return {name: environment[name] for name in (_KEY_ID, _SECRET, _TOKEN) if name in environment}


def _is_ours(environment: Mapping[str, str], name: str) -> bool:
    return name == _KEY_ID and environment.get(name, "").startswith(_OUR_KEYS)


def _joined(between: str, *parts: str | None) -> str:
    return between.join(part for part in parts if part)


class Signals:
    """Has the program get the signals of this process while it runs; before and after, they end this one."""

    def __init__(self) -> None:
        self._take: Callable[[int], None] = _leave
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for name in _ENDINGS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def follow(self, words: Sequence[str], environment: Mapping[str, str]) -> int:
        """Run the program to its end; its exit code, as a shell tells it.

        Raises:
            OSError: it cannot be run.
        """
        early: list[int] = []
        self._take = early.append  # while nobody knows yet whose they are
        try:
            process = subprocess.Popen(words, env=environment)  # noqa: S603 - whoever asks has typed it
            self._take = lambda number: _pass_on(process, number)
            for number in early:
                self._take(number)
            code = process.wait()
        finally:
            self._take = _leave
        return code if code >= 0 else _KILLED - code

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._take(number)


def _leave(number: int) -> None:
    raise SystemExit(_KILLED + number)


def _pass_on(process: "subprocess.Popen[bytes]", number: int) -> None:
    # What is typed into a terminal reaches the program by itself, and would come twice.
    if number not in (signal.SIGINT, getattr(signal, "SIGQUIT", None)) or not _is_in_front():
        process.send_signal(number)


def _is_in_front() -> bool:
    """Whether keys of a terminal reach this process, and so the program."""
    try:
        with open("/dev/tty", "rb") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False
