"""Clients of S3, each in an environment of its own: `python -m tests.programs.battery rclone` runs one.

Each is run over buckets that are folders, and over the face of S3 in front of a real S3 server, which is a
SeaweedFS that is started here. Prints a table of clients and steps; ends with 1 where a step went wrong.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tests.harness.family import Family, free_port, serve
from tests.programs import environments
from tests.programs.catalogue import FOLDER
from tests.programs.running import address

BUCKETS: Final = FOLDER / "buckets"
CLIENTS: Final[Mapping[str, tuple[str, str]]] = {
    "boto3": ("boto3_client.py", ""),
    "aws": ("aws_cli.py", ""),
    "s3fs": ("s3fs_client.py", "s3fs"),
    "rclone": ("rclone.py", "rclone"),
    "obstore": ("obstore_client.py", "obstore"),
    "javascript": ("javascript.mjs", "javascript"),
}
"""The program of each client, and its environment as environments.make takes it."""

STEPS: Final = (
    *("bucket", "put, get", "large", "range", "listing", "copy", "sync"),
    *("presigned", "if-none", "8 writers", "remove"),
)
# Of SeaweedFS, which takes some far away from the others unless it is told.
_PORTS: Final = (
    *("master.port", "volume.port", "filer.port"),
    *("master.port.grpc", "volume.port.grpc", "filer.port.grpc", "s3.port.grpc"),
)
_KEPT: Final = ("HOME", "LANG", "TMPDIR")
_MOST_S: Final = 600.0
_PAIR: Final = {"accessKey": "id", "secretKey": "secret"}

Went = Mapping[str, str]
"""How each step of a client went: `right`, or `WRONG`."""


def main(names: Sequence[str]) -> int:
    """Run the named clients, or all; the exit code."""
    unknown = [name for name in names if name not in CLIENTS]
    if unknown:
        sys.exit(f"There is no client {' or '.join(unknown)}: {', '.join(CLIENTS)}.")
    tables: dict[str, dict[str, Went]] = {}
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for place, urls in (("folders", _folders), ("SeaweedFS", _in_front)):
            with urls(folder / place) as url:
                tables[place] = {name: _ran(name, url, folder) for name in names or CLIENTS}
                _show(place, tables[place])
    right = all(set(went.values()) == {"right"} for table in tables.values() for went in table.values())
    return 0 if right else 1


def _ran(name: str, url: str, folder: Path) -> Went:
    """Run one client against a server; what is WRONG is told."""
    file, environment = CLIENTS[name]
    try:
        home = environments.make(environment) if environment else None
    except environments.NotInstalled as error:
        _say(f"{name}: its environment cannot be made: {error}")
        return {}
    place = folder / f"{name}-{secrets.token_hex(4)}"
    shutil.copytree(BUCKETS, place)
    command = [str(environments.python_of(environment)), file]
    if file.endswith(".mjs"):
        (place / "node_modules").symlink_to(f"{home}/node_modules")
        command = [str(shutil.which("node")), file]
    done = subprocess.run(
        command,
        cwd=place,
        env=_variables(environment, url, f"battery-{secrets.token_hex(4)}"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_MOST_S,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(("right ", "WRONG "))]
    if done.returncode or any(line.startswith("WRONG") for line in lines):
        _say(f"{name}:\n{done.stdout}")
    went = {line[6:].partition(":")[0]: line[:5] for line in lines}
    return went if done.returncode == 0 else {**went, "its end": "WRONG"}


def _variables(environment: str, url: str, bucket: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    tools = environments.python_of(environment).parent
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    return {**kept, **address(url), "PATH": path, "BATTERY_BUCKET": bucket}


@contextmanager
def _folders(folder: Path) -> Iterator[str]:
    """A server whose buckets are folders; its address."""
    with _served(folder) as family:
        yield f"http://127.0.0.1:{family.port}"


@contextmanager
def _in_front(folder: Path) -> Iterator[str]:
    """A server in front of a SeaweedFS; its address."""
    weed = environments.make("seaweedfs") / "bin" / "weed"
    (folder / "weed").mkdir(parents=True)
    identities = folder / "identities.json"
    identity = {"name": "x", "credentials": [_PAIR], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    identities.write_text(json.dumps({"identities": [identity]}), encoding="utf-8")

    def command(port: int) -> list[str]:
        others = [f"-{role}={free_port()}" for role in _PORTS]
        loopback = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.volumeSizeLimitMB=64", "-volume.max=40"]
        s3 = ["-s3", f"-s3.port={port}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-filer"]
        return [
            *(str(weed), "server", f"-dir={folder / 'weed'}", f"-s3.config={identities}"),
            *(*loopback, *s3, *others),
        ]

    with ExitStack() as stack:
        behind = stack.enter_context(Family(command, folder / "weed.log", "/healthz"))
        stack.callback(behind.process.kill)  # it takes minutes to end, and nobody needs what it has
        family = stack.enter_context(
            _served(
                folder,
                SAGEBIRD_S3_ENDPOINT=f"http://127.0.0.1:{behind.port}",
                SAGEBIRD_S3_ACCESS_KEY_ID=_PAIR["accessKey"],
                SAGEBIRD_S3_SECRET_ACCESS_KEY=_PAIR["secretKey"],
            )
        )
        yield f"http://127.0.0.1:{family.port}"


def _served(folder: Path, **variables: str) -> Family:
    (folder / "models").mkdir(parents=True, exist_ok=True)
    return serve(folder, folder / "models", 1, "/healthz", SAGEBIRD_WORKERS="0", **variables)


def _show(place: str, table: Mapping[str, Went]) -> None:
    _say(f"\n{place:<12} {' '.join(f'{step:>9}' for step in STEPS)}")
    for name, went in table.items():
        cells = [went.get(step, "-") for step in STEPS]
        _say(f"{name:<12} {' '.join(f'{cell:>9}' for cell in cells)}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
