"""The battery by rclone."""

import subprocess
from pathlib import Path

from steps import BUCKET, LARGE, ODD, URL, same, step

REMOTE = f":s3,provider=Other,env_auth=true,force_path_style=true,endpoint='{URL}':{BUCKET}"


def rclone(*words: str) -> str:
    done = subprocess.run(["rclone", "--retries", "1", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr)
    return done.stdout


def put_and_get() -> None:
    Path("small").write_bytes(b"hello")
    rclone("copyto", "small", f"{REMOTE}/{ODD}")
    same(rclone("cat", f"{REMOTE}/{ODD}"), "hello")


def large() -> None:
    Path("large").write_bytes(LARGE)
    rclone("copyto", "large", f"{REMOTE}/large", "--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M")
    rclone("copyto", f"{REMOTE}/large", "back")
    same(Path("back").read_bytes() == LARGE, True)


def sync() -> None:
    for number in range(5):
        Path("tree", str(number)).mkdir(parents=True)
        Path("tree", str(number), "file").write_text(str(number))
    rclone("sync", "tree", f"{REMOTE}/tree")
    Path("tree", "0", "file").unlink()
    rclone("sync", "tree", f"{REMOTE}/tree")
    rclone("check", "tree", f"{REMOTE}/tree", "--download")


def listing() -> None:
    found = sorted(rclone("lsf", "-R", "--files-only", REMOTE).splitlines())
    same(found, sorted([ODD, "copied", "large", *(f"tree/{number}/file" for number in range(1, 5))]))


def remove() -> None:
    rclone("purge", REMOTE)
    same(rclone("lsf", REMOTE.removesuffix(BUCKET)).splitlines().count(f"{BUCKET}/"), 0)


step("bucket", lambda: rclone("mkdir", REMOTE))
step("put, get", put_and_get)
step("large", large)
step("range", lambda: same(rclone("cat", "--offset", "48", "--count", "9", f"{REMOTE}/large"), "012345678"))
step("copy", lambda: rclone("copyto", f"{REMOTE}/{ODD}", f"{REMOTE}/copied"))
step("sync", sync)
step("listing", listing)
step("remove", remove)
