"""The battery by the aws CLI: mb, cp, ls, sync, presign, rm, rb."""

import os
import subprocess
from pathlib import Path

from steps import BUCKET, LARGE, ODD, fetch, same, step

PLACE = f"s3://{BUCKET}"
LONG_AGO_S = 1_700_000_000


def aws(*words: str) -> str:
    done = subprocess.run(["aws", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr)
    return done.stdout


def put_and_get() -> None:
    Path("small").write_bytes(b"hello")
    aws("s3", "cp", "small", f"{PLACE}/{ODD}", "--metadata", "who=me")
    same(aws("s3", "cp", f"{PLACE}/{ODD}", "-"), "hello")


def large() -> None:
    Path("large").write_bytes(LARGE)
    aws("s3", "cp", "large", f"{PLACE}/large")
    aws("s3", "cp", f"{PLACE}/large", "back")
    same(Path("back").read_bytes() == LARGE, True)


def sync() -> None:
    for number in range(5):
        Path("tree", str(number)).mkdir(parents=True)
        file = Path("tree", str(number), "file")
        file.write_text(str(number))
        os.utime(file, (LONG_AGO_S, LONG_AGO_S))  # S3 tells whole seconds, which a new file may be ahead of
    aws("s3", "sync", "tree", f"{PLACE}/tree")
    same(aws("s3", "sync", "tree", f"{PLACE}/tree"), "")
    Path("tree", "0", "file").unlink()
    aws("s3", "sync", "tree", f"{PLACE}/tree", "--delete")
    aws("s3", "sync", f"{PLACE}/tree", "again")
    same(sorted(each.read_text() for each in Path("again").rglob("file")), ["1", "2", "3", "4"])


def presigned() -> None:
    same(fetch(aws("s3", "presign", f"{PLACE}/{ODD}").strip()), b"hello")


def remove() -> None:
    aws("s3", "rm", f"{PLACE}/tree", "--recursive")
    lines = aws("s3", "ls", PLACE, "--recursive").splitlines()
    same([line.split(maxsplit=3)[3] for line in lines], [ODD, "large"])
    aws("s3", "rb", PLACE, "--force")


step("bucket", lambda: aws("s3", "mb", PLACE))
step("put, get", put_and_get)
step("large", large)
step("copy", lambda: aws("s3", "cp", f"{PLACE}/{ODD}", f"{PLACE}/tree/copied"))
step("sync", sync)
step("presigned", presigned)
step("remove", remove)
