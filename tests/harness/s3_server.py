"""An S3 server that keeps buckets elsewhere: one of ours, or the one that SAGEBIRD_TEST_S3 names.

That is an address with keys in it, as http://id:secret@127.0.0.1:8333.
"""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
from botocore.config import Config

from service.object_settings import S3Server
from tests.conftest import RunningServer

VARIABLE = "SAGEBIRD_TEST_S3"


@dataclass(frozen=True)
class Elsewhere:
    """A server of S3, and the folder of its buckets where that is known."""

    server: S3Server
    buckets: Path | None = None

    def client(self) -> Any:
        """A stock client of it."""
        return boto3.client(
            "s3",
            endpoint_url=self.server.endpoint,
            region_name=self.server.region,
            aws_access_key_id=self.server.access_key_id,
            aws_secret_access_key=self.server.secret_access_key,
            config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
        )

    def new_bucket(self) -> str:
        """Make a bucket; its name."""
        name = f"elsewhere-{secrets.token_hex(6)}"
        self.client().create_bucket(Bucket=name)
        return name

    def settings(self) -> dict[str, str]:
        """Those of a server whose buckets are here, as `start_server` takes them."""
        return {
            "s3_endpoint": self.server.endpoint,
            "s3_access_key_id": self.server.access_key_id,
            "s3_secret_access_key": self.server.secret_access_key,
        }


def elsewhere(ours: RunningServer) -> Elsewhere:
    """The server that is named, else `ours`."""
    named = os.environ.get(VARIABLE)
    if not named:
        return Elsewhere(S3Server(ours.url, "us-east-1", "any", "any"), ours.data / "s3")
    parts = urlsplit(named)
    endpoint = f"{parts.scheme}://{parts.hostname}:{parts.port}"
    return Elsewhere(
        S3Server(endpoint, "us-east-1", unquote(parts.username or ""), unquote(parts.password or ""))
    )
