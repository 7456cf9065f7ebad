"""Models that are written over while they are called: who gets an old answer after a new one, who fails."""

import argparse
import http.client
import io
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

from tests.bench.beside import CONCURRENCY, CSV, report, start, wait_for
from tests.harness.gateways import declare, make_model

_OWN = """
import joblib

def model_fn(folder):
    return joblib.load(folder + "/model.joblib")

def predict_fn(data, model):
    return model.predict(data)
"""
_ANSWERS = "def model_fn(folder): return None\ndef predict_fn(data, model): return [{number:.1f}]\n"
_MIXED_S = 1.0  # in which an old answer may follow a new one
_CALLS = 5  # of one connection


class _Caller(threading.Thread):
    """Calls whichever gateway takes its next connection, and remembers what came when."""

    def __init__(self, port: int, path: str, over: threading.Event) -> None:
        super().__init__()
        self.path = path
        self.newest = -1.0
        self.answers: Counter[float] = Counter()
        self.failures: list[str] = []
        self.mixed_s = 0.0
        self._newest_s = 0.0
        self._port = port
        self._over = over

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        for number in count(1):
            if self._over.is_set():
                break
            try:
                connection.request("POST", self.path, "1", CSV)
                response = connection.getresponse()
                self._take(response.status, response.read().decode())
                if number % _CALLS == 0:
                    connection.close()
            except OSError as error:
                self.failures.append(repr(error))
                connection.close()
        connection.close()

    def _take(self, status: int, body: str) -> None:
        if status != http.client.OK:
            self.failures.append(f"{status}: {body[:200]}")
            return
        value, now_s = float(body.strip("[]\n ")), time.monotonic()
        self.answers[value] += 1
        if value > self.newest:
            self.newest, self._newest_s = value, now_s
        elif value < self.newest:
            self.mixed_s = max(self.mixed_s, now_s - self._newest_s)


def _in_place(file: Path, data: bytes) -> None:
    """As a plain `cp` does: whoever reads meanwhile finds half of it."""
    with file.open("wb", buffering=0) as opened:
        opened.write(data[: len(data) // 2])
        opened.write(data[len(data) // 2 :])


def _by_rename(file: Path, data: bytes) -> None:
    temporary = file.parent.parent / f".{file.name}"
    temporary.write_bytes(data)
    temporary.replace(file)


def _model(scratch: Path, number: int) -> bytes:
    make_model(scratch, number)
    return (scratch / "model.joblib").read_bytes()


def _script(_scratch: Path, number: int) -> bytes:
    return _ANSWERS.format(number=number).encode()


def _archive(scratch: Path, number: int) -> bytes:
    make_model(scratch, number, _OWN)
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w:gz") as archive:
            archive.add(scratch / "model.joblib", "model.joblib")
            archive.add(scratch / "inference.py", "code/inference.py")
        return file.getvalue()


class _Kind(NamedTuple):
    """A model with a script or "", which file below the models folder is written over, and by what."""

    name: str
    script: str
    file: str
    data: Callable[[Path, int], bytes]


KINDS: dict[str, _Kind] = {
    "built-in": _Kind("built-in model", "", "one/model.joblib", _model),
    "scripted": _Kind("model of a script", _OWN, "one/model.joblib", _model),
    "script": _Kind("script", _ANSWERS.format(number=0), "one/inference.py", _script),
    "archive": _Kind("archive with a script", "", "one.tar.gz", _archive),
}
"""By what each is called where one is asked for."""


def try_overwriting(folder: Path, asked: argparse.Namespace) -> bool:
    """Each kind of model, in place and by rename."""
    ways: dict[str, Callable[[Path, bytes], None]] = {"in place": _in_place, "by rename": _by_rename}
    right = True
    for kind in map(KINDS.__getitem__, asked.kinds):
        for how, write in ways.items():
            place = folder / f"{kind.name} {how}".replace(" ", "-")
            right &= _overwrite(place, kind, how, write, asked)
    return right


def _overwrite(
    folder: Path, kind: _Kind, how: str, write: Callable[[Path, bytes], None], asked: argparse.Namespace
) -> bool:
    models, scratch = folder / "models", folder / "scratch"
    models.mkdir(parents=True)
    if kind.file.startswith("one/"):
        make_model(models / "one", 0, kind.script)
    write(models / kind.file, kind.data(scratch, 0))
    declare(models, "endpoints:\n  one: {variants: {one: {model: one, weight: 1}}}\n")
    over, begun_s = threading.Event(), time.monotonic()
    with start(folder, models, asked.gateways, SAGEBIRD_LOG_LEVEL="warning") as server:
        callers = [_Caller(server.port, "/endpoints/one/invocations", over) for _ in range(CONCURRENCY)]
        for caller in callers:
            caller.start()
        seen = 0
        try:
            for number in range(1, asked.times + 1):
                write(models / kind.file, kind.data(scratch, number))
                if not wait_for(lambda number=number: all(each.newest >= number for each in callers)):  # type: ignore[misc]
                    break
                seen += 1
        finally:
            over.set()
            for caller in callers:
                caller.join()
    return _judge(f"{kind.name} {how}", callers, seen, asked.times, time.monotonic() - begun_s)


def _judge(name: str, callers: Sequence[_Caller], seen: int, times: int, took_s: float) -> bool:
    failures = [failure for caller in callers for failure in caller.failures]
    for failure in sorted(set(failures))[:3]:
        print(f"    {failure}")
    mixed_s = max(caller.mixed_s for caller in callers)
    answers = sum((caller.answers for caller in callers), Counter[float]())
    strange = sum(number for value, number in answers.items() if value not in range(times + 1))
    line = (
        f"overwriting, {name}: {seen} of {times} times in {took_s:.0f} s, {answers.total()} calls, "
        f"{len(failures)} failed, {strange} from neither; an old answer came at most {mixed_s * 1e3:.0f} ms "
        "after a new one"
    )
    return report(seen == times and not failures and not strange and mixed_s < _MIXED_S, line)
