"""Attacks a server of its own through files: dropped ones, buckets, archives, models that are too large.

    .venv/bin/python tests/attack/files.py [--seconds 5]

Prints a line per attempt and ends with 1 if one got through. Everything lies in a temporary folder. Run it as
root and as an ordinary user, e.g. `setpriv --reuid=65534 --regid=65534 --clear-groups …`.
"""

import argparse
import io
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import joblib
import numpy as np
import psutil

ROOT = Path(__file__).resolve().parent.parent.parent
SECRET = "4242424242"
MOST_MIB = 450
_PATIENCE_S = 60.0
_ECHO = """
def model_fn(model_dir):
    return None


def transform_fn(model, data, content_type, accept):
    text = data if isinstance(data, str) else data.decode()
    if "bad" in text:
        raise ValueError("cannot do " + text)
    return text, "text/csv"
"""
_EVIL = """
open({mark!r}, "w").close()


def model_fn(model_dir):
    return None


def predict_fn(data, model):
    return [1]
"""


class Place:
    """The folders of an attack, and the server that runs over them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models, self.data = folder / "models", folder / "data"
        self.inbox, self.outbox, self.buckets = (self.data / name for name in ("inbox", "outbox", "s3"))
        self.secrets, self.mark = folder / "secrets", folder / "it-ran"
        for made in (
            self.models / "echo",
            self.inbox / "echo",
            self.outbox,
            self.buckets / "bucket",
            self.secrets / "in",
        ):
            made.mkdir(parents=True)
        for name in ("june.csv", "letter.txt", "in/deep.csv"):
            (self.secrets / name).write_text(f"{SECRET}\n")
        (self.models / "echo" / "inference.py").write_text(_ECHO)
        (self.models / "endpoints.yaml").write_text(
            "endpoints:\n  many:\n    variants:\n      v: {models: ./}\n"
        )
        self.before = self.listing()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.largest_mib = 0

    def listing(self) -> dict[str, str]:
        """Every file that must stay as it is, and what it holds."""
        files = {str(file): file.read_text() for file in self.secrets.rglob("*") if file.is_file()}
        return files | {str(folder): "" for folder in self.secrets.rglob("*") if folder.is_dir()}

    def passed_over(self, dropped: str) -> bool:
        """Whether the server said that it leaves a dropped file where it is."""
        lines = (self.folder / "log").read_text(errors="backslashreplace").splitlines()
        said = (json.loads(line) for line in lines if line.startswith("{") and line.endswith("}"))
        return any(
            (one["event"], one.get("file")) == ("passed over in the drop folder", dropped) for one in said
        )

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
        """One request: status and text, 0 where there is no answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(f"http://127.0.0.1:{self.port}{path}", body or None, named, method=method)
        try:
            with urlopen(request, timeout=_PATIENCE_S) as answer:  # noqa: S310 - loopback
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except (URLError, OSError):
            return 0, ""

    def control(self, operation: str, **fields: Any) -> tuple[int, str]:
        """One call of the control plane."""
        return self.ask(
            "POST",
            "/",
            json.dumps(fields).encode(),
            X_Amz_Target=f"SageMaker.{operation}",
            Content_Type="application/x-amz-json-1.1",
        )

    def create_model(self, name: str, url: str) -> tuple[int, str]:
        """A model of the control plane."""
        container = {"Image": "sagebird/sklearn", "ModelDataUrl": url}
        role = f"arn:aws:iam::{0:012}:role/anyone"
        return self.control("CreateModel", ModelName=name, ExecutionRoleArn=role, PrimaryContainer=container)

    def job(self, name: str, source: str, kind: str = "S3Prefix", model: str = "echo") -> str:
        """A batch job over an address; its status, or why there is none."""
        status, said = self.control(
            "CreateTransformJob",
            TransformJobName=name,
            ModelName=model,
            TransformInput={
                "DataSource": {"S3DataSource": {"S3DataType": kind, "S3Uri": source}},
                "ContentType": "text/csv",
                "SplitType": "Line",
            },
            TransformOutput={"S3OutputPath": "s3://bucket/out", "Accept": "text/csv"},
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        )
        if status != 200:
            return said
        for _ in range(int(_PATIENCE_S / 0.1)):
            told = json.loads(self.control("DescribeTransformJob", TransformJobName=name)[1] or "{}")
            if told.get("TransformJobStatus") != "InProgress":
                return f"{told.get('TransformJobStatus')} {told.get('FailureReason', '')}"
            time.sleep(0.1)
        return "InProgress"

    @contextmanager
    def served(self) -> Iterator[None]:
        """Run the server meanwhile, and note how large its processes become."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SAGEBIRD_")}
        environment |= {
            "SAGEBIRD_PORT": str(self.port),
            "SAGEBIRD_MODELS": str(self.models),
            "SAGEBIRD_DATA": str(self.data),
            "SAGEBIRD_GATEWAYS": "1",
            "SAGEBIRD_WORKER_PROCESSES": "1",
            "SAGEBIRD_MODEL_MEMORY": "200MB",
        }
        with (self.folder / "log").open("wb") as log:
            command = [sys.executable, "-m", "service.cli", "serve"]
            server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        ended = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(server.pid, ended))
        watcher.start()
        try:
            self._wait_ready(server)
            yield
        finally:
            ended.set()
            watcher.join()
            server.terminate()
            server.wait()

    def _wait_ready(self, server: "subprocess.Popen[bytes]") -> None:
        for _ in range(1800):
            if self.ask("GET", "/readyz")[0] == 200:
                return
            if server.poll() is not None:
                break
            time.sleep(0.1)
        raise SystemExit((self.folder / "log").read_text())

    def _watch(self, pid: int, ended: threading.Event) -> None:
        while not ended.wait(0.02):
            with suppress(psutil.Error):
                for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
                    self.largest_mib = max(self.largest_mib, process.memory_info().rss >> 20)


class Attempts:
    """What was tried, a line each."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.through = 0

    def tell(self, name: str, harm: object, said: str = "") -> None:
        """Say how an attempt ended; whatever it was, no secret may have moved, and nothing may have run."""
        place = self._place
        harm = harm or (place.mark.exists() and "the code ran") or self._leak()
        harm = harm or ("\n" in said and "it took more than a line to say")
        self.through += bool(harm)
        line = f"GOT THROUGH  {name}: {harm}" if harm else f"kept out     {name}{': ' if said else ''}{said}"
        print(line.encode("ascii", "backslashreplace").decode()[:200], flush=True)

    def _leak(self) -> str:
        place = self._place
        if place.listing() != place.before:
            return "files outside were changed"
        for file in place.data.rglob("*"):
            if file.is_file() and not file.is_symlink() and file.stat().st_nlink == 1:
                with suppress(OSError):
                    if SECRET.encode() in file.read_bytes():
                        return f"a secret is in {file.relative_to(place.data)}"
        return ""


@contextmanager
def swapped(path: Path, target: Path) -> Iterator[None]:
    """Swap a file or folder for a link to another one and back, as fast as can be."""
    ended, aside, link = threading.Event(), path.with_name(".aside"), path.with_name(".link")
    link.symlink_to(target)

    def move(one: Path, other: Path) -> None:
        for _ in range(100):
            try:
                one.rename(other)
                return
            except OSError:
                with suppress(OSError):  # it was put away, or made anew, meanwhile
                    if other.is_dir() and not other.is_symlink():
                        shutil.rmtree(other)
                    else:
                        other.unlink()

    def swap() -> None:
        for number in count():
            if ended.is_set():
                return
            for one, other in ((path, aside), (link, path), (path, link), (aside, path)):
                move(one, other)
            if not path.exists() and target.is_file():
                path.write_text(f"{number}\n")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        link.unlink(missing_ok=True)


def wait_for(condition: Callable[[], object]) -> bool:
    """Wait for something; whether it came."""
    for _ in range(int(_PATIENCE_S / 0.1)):
        if condition():
            return True
        time.sleep(0.1)
    return False


def drop_files(place: Place, attempts: Attempts, seconds: float) -> None:
    """Links, pipes, names and races in the drop folder."""
    echo = place.inbox / "echo"
    (place.inbox / "linked").symlink_to(place.secrets)
    (echo / "link.csv").symlink_to(place.secrets / "june.csv")
    os.mkfifo(echo / "pipe.csv")
    echo.chmod(0o777)
    with suppress(OSError):
        (echo / "hard.csv").hardlink_to(place.secrets / "june.csv")
    odd = os.fsencode(place.inbox) + b"/mod\xe9l"
    os.mkdir(odd)
    for name in (odd + b"/a.csv", os.fsencode(echo) + b"/caf\xe9.csv", os.fsencode(echo) + b"/good.csv"):
        Path(os.fsdecode(name)).write_text("1\n")
    good = wait_for((place.outbox / "echo" / "good.csv.out").exists)
    attempts.tell("links, pipes and odd names in the inbox", not good and "the good file waits")
    for folder in (echo / ".failed", place.outbox / "linked-out"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.symlink_to(place.secrets)
    (place.models / "linked-out").symlink_to("echo")
    (place.inbox / "linked-out").mkdir()
    (place.inbox / "linked-out" / "a.csv").write_text("1\n")
    (echo / "bad.csv").write_text("bad hunter2\n")
    tried = wait_for(lambda: place.passed_over("echo/bad.csv")) and wait_for(
        (place.inbox / "linked-out" / ".failed" / "a.csv.reason").exists
    )
    (echo / ".failed").unlink()
    attempts.tell("links in the place of .failed and of the outputs' folder", not tried and "nobody tried")
    found = wait_for((echo / ".failed" / "bad.csv.reason").exists)
    said = (echo / ".failed" / "bad.csv.reason").read_text() if found else ""
    attempts.tell("a reason that quotes the file", "hunter2" in said and said, said.strip())
    for text in ("1\n", "2\n"):
        (echo / "twice.csv").write_text(text)
        wait_for(lambda: not (echo / "twice.csv").exists())
    kept = {file.read_text() for file in (place.outbox / "echo").glob("twice*.out")}
    attempts.tell("a second file of a name", kept != {"1\n", "2\n"} and f"left: {kept}", str(sorted(kept)))
    (place.inbox / "race").mkdir()
    (place.models / "race").symlink_to("echo")
    (place.inbox / "race" / "june.csv").write_text("1\n")
    with swapped(place.inbox / "race", place.secrets):
        time.sleep(seconds)
    attempts.tell("a folder of the inbox that becomes a link and back", "")
    (echo / "june.csv").write_text("1\n")
    with swapped(echo / "june.csv", place.secrets / "june.csv"):
        time.sleep(seconds)
    attempts.tell("a dropped file that becomes a link and back", "")


def load_dropped_code(place: Place, attempts: Attempts) -> None:
    """The inbox as a place of models, in every spelling."""
    evil = place.inbox / "evil"
    evil.mkdir()
    (evil / "inference.py").write_text(_EVIL.format(mark=str(place.mark)))
    wait_for((evil / ".failed" / "inference.py").exists)
    for linked in (place.models / "to-evil", place.buckets / "bucket" / "to-evil"):
        linked.symlink_to(evil / ".failed")
    shutil.copytree(evil / ".failed", evil / "kept")
    for number, url in enumerate(
        (
            "inbox/evil/.failed",
            "data/inbox/evil/kept",
            "to-evil",
            str(evil / "kept"),
            f"file://{evil}/kept",
            f"file://{place.data}/%69nbox/evil/.failed/",
            f"{place.models}/../data/inbox/evil/kept",
            f"{place.data}/INBOX/evil/kept",
            "s3://bucket/to-evil",
            "s3://bucket/../../inbox/evil/kept",
            "s3://../inbox/evil",
            "https://bucket.s3.amazonaws.com/..%2f..%2finbox/evil/kept",
        )
    ):
        body = json.dumps({"model_name": f"m{number}", "url": url}).encode()
        status, _ = place.ask("POST", "/models", body, Content_Type="application/json")
        attempts.tell(
            f"POST /models {url.replace(str(place.folder), '…')}", status < 400 and status, str(status)
        )
        place.create_model(f"m{number}", url if "://" in url else f"file://{url}")
        ended = place.job(f"code-{number}", "s3://bucket/in/", model=f"m{number}")
        attempts.tell(f"CreateModel {url.replace(str(place.folder), '…')}", "Completed" in ended and ended)


def reach_out_of_buckets(place: Place, attempts: Attempts, seconds: float) -> None:
    """Links and pipes in a bucket, as inputs, manifests and outputs of jobs."""
    bucket = place.buckets / "bucket"
    (bucket / "echo").mkdir(exist_ok=True)
    (bucket / "echo" / "model.tar.gz").write_bytes(archive(("inference.py", tarfile.REGTYPE, _ECHO)))
    made, said = place.create_model("echo", "s3://bucket/echo/model.tar.gz")
    attempts.tell("a model in a bucket, which is no attack", made != 200 and said)
    (bucket / "link").symlink_to(place.secrets)
    (bucket / "file.csv").symlink_to(place.secrets / "june.csv")
    (bucket / "race").mkdir()
    (bucket / "race" / "june.csv").write_text("1\n")
    os.mkfifo(bucket / "pipe")
    (bucket / "list").write_text(json.dumps([{"prefix": "s3://bucket/"}, "link/june.csv"]))
    for source, kind in (
        ("s3://bucket/link/", "S3Prefix"),
        ("s3://bucket/link/june.csv", "S3Prefix"),
        ("s3://bucket/file.csv", "S3Prefix"),
        ("s3://bucket/pipe", "ManifestFile"),
        ("s3://bucket/list", "ManifestFile"),
        ("s3://bucket/file.csv", "ManifestFile"),
    ):
        status = place.job(f"job-{time.monotonic_ns()}", source, kind)
        attempts.tell(f"{source} as {kind}", not status.startswith("Failed") and status, status)
    ended_s = time.monotonic() + seconds
    with swapped(bucket / "race", place.secrets):
        while time.monotonic() < ended_s:
            place.job(f"job-{time.monotonic_ns()}", "s3://bucket/race/")
    attempts.tell("a folder of a bucket that becomes a link and back", "")
    (bucket / "in").mkdir()
    (bucket / "in" / "june.csv").write_text("1\n")
    shutil.rmtree(bucket / "out", ignore_errors=True)
    (bucket / "out").symlink_to(place.secrets)
    status = place.job("outputs", "s3://bucket/in/")
    attempts.tell("outputs over a link", not status.startswith("Failed") and status, status)
    (bucket / "out").unlink()
    status = place.job("sound", "s3://bucket/in/")
    attempts.tell("a sound job beside them", not status.startswith("Completed") and status)


def archive(*members: tuple[str, bytes, str]) -> bytes:
    """A gzip tar archive of (name, type, link or content)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, kind, text in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "" if kind == tarfile.REGTYPE else text
            member.size = len(text) if kind == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


def send_archives(place: Place, attempts: Attempts) -> None:
    """Archives that reach out of their folder, and those that fill the disk."""
    file, link, hard = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
    secret, deep = (
        str(place.secrets / "june.csv"),
        [("/".join("a" * depth), tarfile.DIRTYPE, "") for depth in range(1, 1500)],
    )
    for name, content in {
        "up": archive(("../../../../it-ran", file, "x")),
        "absolute": archive((str(place.mark), file, "x")),
        "link": archive(("example.csv", link, secret)),
        "link-up": archive(("example.csv", link, "../" * 9 + secret)),
        "hard": archive(("example.csv", hard, secret)),
        "through": archive(("l", link, str(place.folder)), ("l/it-ran", file, "x")),
        "chain": archive(("d", tarfile.DIRTYPE, ""), ("a", link, "d"), ("b", link, "a/../../../../it-ran")),
        "pipe": archive(("model.joblib", tarfile.FIFOTYPE, "")),
        "device": archive(("model.joblib", tarfile.CHRTYPE, "")),
        "deep": archive(*deep, ("link", link, "../../elsewhere")),
        "long": archive(("n" * 300, file, "x")),
        "bomb": archive(("x", file, "0" * (130 << 20))),
        "nothing": b"no archive at all",
    }.items():
        (place.models / f"{name}.tar.gz").write_bytes(content)
        said = [
            place.ask(
                "POST",
                "/endpoints/many/invocations",
                b"1",
                Content_Type="text/csv",
                X_Amzn_SageMaker_Target_Model=f"{name}.tar.gz",
            )
            for _ in range(3)
        ]
        left = [str(found.relative_to(place.data)) for found in (place.data / "unpacked").glob("*/*")]
        harm = (said[0][0] != 424 and said[0]) or (left and f"left: {left[:3]}")
        attempts.tell(f"archive {name}", harm, json.loads(said[0][1] or "{}").get("OriginalMessage", ""))


class _Call:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> Any:
        return self._call


def send_large_models(place: Place, attempts: Attempts) -> None:
    """Models of less than a megabyte that take 600 MB."""
    packed, called = io.BytesIO(), io.BytesIO()
    joblib.dump(np.zeros(75_000_000), packed, compress=9)
    joblib.dump(_Call(np.ones, 75_000_000), called)
    for name, content in {
        "compressed": packed.getvalue(),
        "called": called.getvalue(),
        "many": b"\x80\x04(" + b"\x8f" * 3_000_000 + b"l.",
        "plain": pickle.dumps(_Call(bytearray, _Call(bytes, 600_000_000))),
    }.items():
        (place.models / f"large-{name}").mkdir()
        (place.models / f"large-{name}" / "model.joblib").write_bytes(content)
        said = [
            place.ask(
                "POST",
                "/endpoints/many/invocations",
                b"1",
                Content_Type="text/csv",
                X_Amzn_SageMaker_Target_Model=f"large-{name}",
            )
            for _ in range(2)
        ]
        harm = (said[0][0] < 400 and said[0]) or (place.largest_mib > MOST_MIB and f"{place.largest_mib} MiB")
        attempts.tell(f"model {name}", harm, f"{said[0][0]}, at most {place.largest_mib} MiB")


def read_the_store(place: Place, attempts: Attempts) -> None:
    """What other users of the machine may read."""
    shared = (place.inbox, place.outbox, place.buckets)
    readable = [
        file.name
        for file in (place.data, *place.data.iterdir())
        if file not in shared and file.stat().st_mode & 0o066
    ]
    attempts.tell("reading the data folder as somebody else", readable)


def main(seconds: float) -> int:
    """Try everything; the number of what got through."""
    with tempfile.TemporaryDirectory(prefix="attack-") as name:
        place = Place(Path(name))
        attempts = Attempts(place)
        print(f"as uid {os.geteuid()}", flush=True)
        with place.served():
            send_large_models(place, attempts)
            send_archives(place, attempts)
            drop_files(place, attempts, seconds)
            reach_out_of_buckets(place, attempts, seconds)
            load_dropped_code(place, attempts)
            read_the_store(place, attempts)
            attempts.tell("the server goes on", place.ask("GET", "/healthz")[0] != 200 and "it does not")
        return attempts.through


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each race lasts")
    sys.exit(1 if main(parser.parse_args().seconds) else 0)
