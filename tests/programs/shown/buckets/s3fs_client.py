"""The battery by s3fs."""

import s3fs
from steps import BUCKET, LARGE, ODD, same, step

files = s3fs.S3FileSystem()


def put_and_get() -> None:
    files.pipe(f"{BUCKET}/{ODD}", b"hello")
    same(files.cat(f"{BUCKET}/{ODD}"), b"hello")


def large() -> None:
    with files.open(f"{BUCKET}/large", "wb", block_size=5 << 20) as file:
        file.write(LARGE)
    with files.open(f"{BUCKET}/large", "rb") as file:
        same(file.read() == LARGE, True)


def ranges() -> None:
    same(files.cat_file(f"{BUCKET}/large", start=250, end=261), LARGE[250:261])


def listing() -> None:
    files.invalidate_cache()
    same(sorted(files.find(BUCKET)), sorted([f"{BUCKET}/{ODD}", f"{BUCKET}/large"]))
    same(sorted(files.ls(BUCKET)), [f"{BUCKET}/in deep", f"{BUCKET}/large"])


def copy() -> None:
    files.copy(f"{BUCKET}/{ODD}", f"{BUCKET}/copied")
    same(files.cat(f"{BUCKET}/copied"), b"hello")


def remove() -> None:
    files.rm(BUCKET, recursive=True)
    files.invalidate_cache()
    same(files.exists(BUCKET), False)


step("bucket", lambda: files.mkdir(BUCKET))
step("put, get", put_and_get)
step("large", large)
step("range", ranges)
step("listing", listing)
step("copy", copy)
step("remove", remove)
