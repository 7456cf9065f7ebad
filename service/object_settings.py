"""The knobs of a real S3 server that has the buckets instead of the data folder, and what they come to."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings

_NEEDED = "SAGEBIRD_S3_ACCESS_KEY_ID and SAGEBIRD_S3_SECRET_ACCESS_KEY"


@dataclass(frozen=True, slots=True)
class S3Server:
    """An S3 server, and as whom it is asked. Buckets are the first part of the path, or else of the host."""

    endpoint: str
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    path_style: bool = True


class ObjectSettings(BaseSettings):
    """Where buckets are: part of Settings."""

    s3_endpoint: str = Field(
        "",
        description="Address of an S3 server that has the buckets instead of the data folder, as "
        "`https://s3.eu-central-1.amazonaws.com` or `http://minio:9000`.",
    )
    s3_access_key_id: str = Field("", description="Access key id by which that server is asked.")
    s3_secret_access_key: str = Field("", repr=False, description="The secret access key that belongs to it.")
    s3_session_token: str = Field(
        "",
        repr=False,
        description="The session token that belongs to both, of keys that are lent for a time.",
    )
    s3_region: str = Field(
        "us-east-1", pattern=r"^[a-z0-9-]{1,64}$", description="Region of that server's buckets."
    )
    s3_path_style: bool = Field(
        True,
        description="Name buckets of that server in the path, as every one understands; `off` names them by "
        "the host, as AWS would rather have it.",
    )

    @field_validator("s3_endpoint")
    @classmethod
    def _is_an_origin(cls, endpoint: str) -> str:
        if endpoint and not _is_origin(endpoint):
            raise ValueError("an S3 server's address is http:// or https://, a host and perhaps a port")
        return endpoint.removesuffix("/")

    @model_validator(mode="after")
    def _whole_or_not_at_all(self) -> "ObjectSettings":
        given = (bool(self.s3_access_key_id), bool(self.s3_secret_access_key))
        if self.s3_endpoint and not all(given):
            raise ValueError(f"SAGEBIRD_S3_ENDPOINT needs {_NEEDED} beside it")
        if any(given) and not self.s3_endpoint:
            raise ValueError(f"{_NEEDED} say nothing without SAGEBIRD_S3_ENDPOINT")
        return self

    @property
    def s3_server(self) -> S3Server | None:
        """The server that has the buckets; None where they are folders."""
        if not self.s3_endpoint:
            return None
        return S3Server(
            self.s3_endpoint,
            self.s3_region,
            self.s3_access_key_id,
            self.s3_secret_access_key,
            self.s3_session_token,
            self.s3_path_style,
        )


def _is_origin(address: str) -> bool:
    try:
        parts = urlsplit(address)
        has_host = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, and the like
        return False
    return has_host and address.removesuffix("/") == f"{parts.scheme}://{parts.netloc}" and "@" not in address


def copies_in(data: Path) -> Path:
    """Where a data folder has copies of what an S3 server keeps."""
    return data / "s3-copies"
