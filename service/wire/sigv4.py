"""AWS signature version 4: for now only who signed, for which region and service; nothing is verified."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

_TERMINATOR = "aws4_request"
_DATE = re.compile(r"\d{8}", re.ASCII)
# Region and service end up in ARNs and logs, so they may be names only.
_NAME = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class CredentialScope:
    """What a credential says of its signature; `date` is YYYYMMDD. Claims, not facts."""

    access_key: str
    date: str
    region: str
    service: str


def read_scope(authorization: str | None) -> CredentialScope | None:
    """The scope of an `Authorization` header or a presigned `X-Amz-Credential` value; None for anything else.

    Source: contract 0, `Credential=AKID/date/region/service/aws4_request`.
    """
    if authorization is None:
        return None
    _, marker, after = authorization.partition("Credential=")
    credential = (after if marker else authorization).partition(",")[0].strip()
    if "%" in credential:
        credential = unquote(credential)
    # From the right: an access key may be any dummy text, slashes included.
    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or parts[4] != _TERMINATOR:
        return None
    access_key, date, region, service, _ = parts
    if not access_key or not (_DATE.fullmatch(date) and _NAME.fullmatch(region) and _NAME.fullmatch(service)):
        return None
    return CredentialScope(access_key, date, region, service)
