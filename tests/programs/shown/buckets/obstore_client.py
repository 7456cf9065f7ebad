"""The battery by obstore, which makes no buckets: its own is made by a plain request."""

from datetime import timedelta

import obstore
from obstore.store import S3Store
from steps import BUCKET, LARGE, ODD, URL, fetch, same, step

http = {"allow_http": True}
store = S3Store(BUCKET, endpoint=URL, region="us-east-1", client_options=http)


def make() -> None:
    credential = "AWS4-HMAC-SHA256 Credential=any/20260101/us-east-1/s3/aws4_request"
    fetch(f"{URL}/{BUCKET}", method="PUT", headers={"Authorization": credential})


def put_and_get() -> None:
    obstore.put(store, ODD, b"hello", attributes={"Content-Type": "text/x"})
    found = obstore.get(store, ODD)
    same((bytes(found.bytes()), found.attributes["Content-Type"]), (b"hello", "text/x"))


def large() -> None:
    obstore.put(store, "large", LARGE, chunk_size=5 << 20)
    same(bytes(obstore.get(store, "large").bytes()) == LARGE, True)


def ranges() -> None:
    same(bytes(obstore.get_range(store, "large", start=250, end=261)), LARGE[250:261])


def listing() -> None:
    same(sorted(one["path"] for one in obstore.list(store).collect()), sorted([ODD, "large"]))
    same([*obstore.list_with_delimiter(store)["common_prefixes"]], ["in deep"])


def copy() -> None:
    obstore.copy(store, ODD, "copied")
    same(bytes(obstore.get(store, "copied").bytes()), b"hello")


def presigned() -> None:
    same(fetch(obstore.sign(store, "GET", ODD, timedelta(minutes=1))), b"hello")


def conditions() -> None:
    try:
        obstore.put(store, "copied", b"again", mode="create")
    except obstore.exceptions.AlreadyExistsError:
        return
    raise ValueError("it was replaced")


def remove() -> None:
    obstore.delete(store, [one["path"] for one in obstore.list(store).collect()])
    same(obstore.list(store).collect(), [])


step("bucket", make)
step("put, get", put_and_get)
step("large", large)
step("range", ranges)
step("listing", listing)
step("copy", copy)
step("presigned", presigned)
step("if-none", conditions)
step("remove", remove)
