"""The battery by boto3, and eight writers of it at one key."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import boto3
from botocore.config import Config
from steps import BUCKET, LARGE, ODD, fetch, same, step

s3 = boto3.client("s3", config=Config(max_pool_connections=20))
named = {"Bucket": BUCKET}


def put_and_get() -> None:
    s3.put_object(**named, Key=ODD, Body=b"hello", ContentType="text/x", Metadata={"who": "me"})
    found = s3.get_object(**named, Key=ODD)
    same((found["Body"].read(), found["ContentType"], found["Metadata"]), (b"hello", "text/x", {"who": "me"}))


def large() -> None:
    s3.upload_fileobj(BytesIO(LARGE), BUCKET, "large")
    back = BytesIO()
    s3.download_fileobj(BUCKET, "large", back)
    same(back.getvalue() == LARGE, True)


def ranges() -> None:
    found = s3.get_object(**named, Key="large", Range="bytes=250-260")
    same((found["Body"].read(), found["ResponseMetadata"]["HTTPStatusCode"]), (LARGE[250:261], 206))


def listing() -> None:
    for number in range(7):
        s3.put_object(**named, Key=f"many/{number}", Body=b"x")
    pages = s3.get_paginator("list_objects_v2").paginate(**named, PaginationConfig={"PageSize": 3})
    keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
    same(keys, sorted([ODD, "large", *(f"many/{number}" for number in range(7))]))
    found = s3.list_objects_v2(**named, Delimiter="/")
    same([one["Prefix"] for one in found["CommonPrefixes"]], ["in deep/", "many/"])


def copy() -> None:
    s3.copy({"Bucket": BUCKET, "Key": ODD}, BUCKET, "copied")
    same(s3.get_object(**named, Key="copied")["Body"].read(), b"hello")


def presigned() -> None:
    same(fetch(s3.generate_presigned_url("get_object", {**named, "Key": ODD})), b"hello")


def conditions() -> None:
    try:
        s3.put_object(**named, Key="copied", Body=b"again", IfNoneMatch="*")
    except s3.exceptions.ClientError as error:
        same(error.response["ResponseMetadata"]["HTTPStatusCode"], 412)
    else:
        raise ValueError("it was replaced")


def writers() -> None:
    """Each reads what some writer sent, whole."""
    over, odd = threading.Event(), []

    def write(letter: int) -> None:
        for number in range(10):
            s3.put_object(**named, Key="shared", Body=bytes([65 + letter]) * (200_000 + number))

    def read() -> None:
        while not over.is_set():
            found = s3.get_object(**named, Key="shared")
            body = found["Body"].read()
            digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
            if len(set(body)) != 1 or found["ETag"].strip('"') != digest:
                odd.append((len(body), set(body), found["ETag"]))

    write(0)
    with ThreadPoolExecutor(10) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for writer in [pool.submit(write, letter) for letter in range(8)]:
            writer.result()
        over.set()
        for reader in readers:
            reader.result()
    same(odd, [])


def remove() -> None:
    keys = [{"Key": one["Key"]} for one in s3.list_objects_v2(**named)["Contents"]]
    same(len(s3.delete_objects(**named, Delete={"Objects": keys})["Deleted"]), len(keys))
    s3.delete_bucket(**named)
    same(BUCKET in [one["Name"] for one in s3.list_buckets()["Buckets"]], False)


step("bucket", lambda: s3.create_bucket(**named))
step("put, get", put_and_get)
step("large", large)
step("range", ranges)
step("listing", listing)
step("copy", copy)
step("presigned", presigned)
step("if-none", conditions)
step("8 writers", writers)
step("remove", remove)
