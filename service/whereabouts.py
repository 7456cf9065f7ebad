"""Where the server of a data folder is: it says so in a file there, and commands read it."""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

FILE = "server.json"
LOCK = "serve.lock"
"""What a server holds for as long as it serves from a data folder."""


@contextmanager
def told(data: Path, urls: Sequence[str]) -> Iterator[None]:
    """Have the data folder say where its server is, the likeliest address first, as long as it runs.

    A server that is killed leaves the file behind, so whoever reads it has to try.

    Raises:
        OSError: the file cannot be written.
    """
    file = data / FILE
    unfinished = data / f".{FILE}.{os.getpid()}"
    try:
        unfinished.write_text(json.dumps({"pid": os.getpid(), "urls": list(urls)}) + "\n", encoding="utf-8")
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):
            file.unlink(missing_ok=True)


def is_served(data: Path) -> bool:
    """Whether a server has a data folder for itself, or is about to."""
    try:
        with (data / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there was none yet, or it is nobody's whom we know
        return False
    return False


def find_urls(data: Path, pid: int | None = None) -> tuple[str, ...]:
    """Where the server of a data folder said it is; nothing if it did not, or not so that it can be read.

    With a `pid` only what that process said counts.
    """
    document = _read(data)
    if pid is not None and document.get("pid") != pid:
        return ()
    urls = document.get("urls")
    return tuple(url for url in urls if isinstance(url, str)) if isinstance(urls, list) else ()


def find_server(data: Path) -> str:
    """The server of a data folder for a sentence: its address and its process, "" where it does not say."""
    urls, pid = find_urls(data), _read(data).get("pid")
    return f"{urls[0]} (process {pid})" if urls and isinstance(pid, int) else ""


def _read(data: Path) -> dict[str, Any]:
    try:
        document = json.loads((data / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
