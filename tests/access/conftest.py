"""A keyring of one key, and requests that AWS's own signers have signed."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from service.access.claims import AskedHead, Claims
from service.access.key_file import KeyFile, open_key_file
from service.access.keyring import Keyring
from service.access.minting import Minted, mint
from service.domain.access_keys import Permission

SIGNERS: Mapping[str, Any] = {
    "header": SigV4Auth,
    "query": SigV4QueryAuth,
    "s3": S3SigV4Auth,
    "s3 query": S3SigV4QueryAuth,
}
URL = "http://h:8080/endpoints/iris/invocations"


@dataclass
class House:
    """Who verifies, whose clock may go wrong, and who can sign."""

    keyring: Keyring
    minted: Minted
    key_file: KeyFile
    ahead_s: float = 0.0

    @property
    def claims(self) -> Claims:
        return Claims(self.keyring)

    def sign(
        self,
        method: str = "POST",
        url: str = URL,
        body: bytes = b"1,2",
        headers: Mapping[str, str] | None = None,
        signer: str = "header",
        service: str = "sagemaker",
        **other: str,
    ) -> AskedHead:
        """The head of a request that botocore signs now; `other` are another id, secret or a token."""
        pair = Credentials(
            other.get("key_id", self.minted.key.id),
            other.get("secret", self.minted.secret_access_key),
            other.get("token"),
        )
        request = AWSRequest(method, url, headers=dict(headers or {}), data=body)
        SIGNERS[signer](pair, service, "eu-west-1").add_auth(request)
        parts = urlsplit(request.url)
        given = [(name.lower().encode(), str(value).encode()) for name, value in request.headers.items()]
        length = [(b"content-length", b"%d" % len(body))] if body else []
        host = [(b"host", parts.netloc.encode())]
        path = parts.path or "/"
        return AskedHead(method, path, path.encode(), parts.query.encode(), [*host, *given, *length])


@pytest.fixture
def house(tmp_path: Path) -> House:
    key_file = open_key_file(tmp_path / "key")
    minted = mint("web", [Permission.INVOKE], ["iris"], key_file, time.time())
    found: list[House] = []
    keyring = Keyring(key_file, lambda: time.time() + found[0].ahead_s)
    keyring.replace([minted.key])
    found.append(House(keyring, minted, key_file))
    return found[0]
