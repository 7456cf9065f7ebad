"""What the operations of IAM work with: roles and policies in one fact of the store, and its sentences."""

import json
import secrets
from base64 import b32encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NoReturn
from urllib.parse import quote

from service.control.identity import ROLE, ROLE_ID
from service.domain.caller import Caller
from service.errors import ServiceFault

IamFields = Mapping[str, Any]
"""The members of a request, as botocore's model names them."""

IamOutput = Mapping[str, Any] | None
IamOperation = Callable[["IamContext", IamFields], IamOutput]

Entity = dict[str, Any]
"""A role or a policy as the store keeps it: AWS's members, plain values of JSON, times in seconds."""

_ROLES: Final = "roles"
_POLICIES: Final = "policies"
_MOST: Final = 1_000  # Source: IAM's quotas, for roles
_MOST_TAGS: Final = 50
_PAGE: Final = 100
_AWS: Final = ":aws:policy/"
_ID_BYTES: Final = 10
EVERYBODY: Final = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
"""What a policy of AWS's own says here, where nothing is enforced."""
_TRUST: Final = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sagemaker.amazonaws.com"},'
    '"Action":"sts:AssumeRole"}]}'
)


@dataclass(slots=True)
class IamContext:
    """What an operation needs beside its members: who asks, and what there is, which it may change."""

    caller: Caller
    now_s: float
    kept: dict[str, dict[str, Entity]]

    def arn(self, kind: str, path: str, name: str) -> str:
        """The ARN of a role or a policy."""
        arns = self.caller.arns
        return f"arn:{arns.partition}:iam::{arns.account}:{kind}{path}{name}"

    # ---- roles

    @property
    def roles(self) -> Mapping[str, Entity]:
        """All roles by their names, the one that every caller has assumed among them."""
        kept = self.kept.get(_ROLES, {})
        return kept if ROLE in kept else {**kept, ROLE: self._own_role()}

    def role(self, fields: IamFields) -> Entity:
        """The role that a request names. Raises ServiceFault."""
        name = fields["RoleName"]
        found = self.roles.get(name)
        if found is None:
            missing(f"The role with name {name} cannot be found.")
        return found

    def keep_role(self, role: Entity) -> None:
        """Keep a role that is new or changed. Raises ServiceFault."""
        self._keep(_ROLES, role["RoleName"], role)

    def drop_role(self, name: str) -> None:
        """Let go of a role."""
        self.kept.get(_ROLES, {}).pop(name, None)

    # ---- policies

    @property
    def policies(self) -> Mapping[str, Entity]:
        """The account's own policies by their ARNs."""
        return self.kept.get(_POLICIES, {})

    def policy(self, arn: str) -> Entity:
        """A policy by its ARN; every one of AWS's own is there. Raises ServiceFault."""
        found = self.policies.get(arn)
        if found is None and arn.startswith("arn:") and _AWS in arn:
            found = self._aws_policy(arn)
        if found is None:
            missing(f"Policy {arn} was not found.")
        return found

    def keep_policy(self, policy: Entity) -> None:
        """Keep a policy that is new or changed. Raises ServiceFault."""
        arn = policy["Arn"]
        if _AWS in arn:
            raise ServiceFault("InvalidInput", f"Policy {arn} is of AWS's own and cannot be changed.")
        self._keep(_POLICIES, arn, policy)

    def drop_policy(self, arn: str) -> None:
        """Let go of a policy."""
        self.kept.get(_POLICIES, {}).pop(arn, None)

    def attached_to(self, arn: str) -> list[Entity]:
        """The roles that have a policy."""
        return [role for role in self.roles.values() if arn in role["Attached"]]

    def _keep(self, kind: str, name: str, entity: Entity) -> None:
        kept = self.kept.setdefault(kind, {})
        if name not in kept and len(kept) >= _MOST:
            raise ServiceFault("LimitExceeded", f"Cannot exceed quota for {kind}PerAccount: {_MOST}")
        kept[name] = entity

    def _own_role(self) -> Entity:
        return {
            **new_role(ROLE, "/", self.arn("role/", "", ROLE), 0.0, _TRUST),
            "RoleId": ROLE_ID,
            "Description": "What every caller of sagebird has assumed.",
        }

    def _aws_policy(self, arn: str) -> Entity:
        *path, name = arn.partition(_AWS)[2].split("/")
        above = "".join(f"{part}/" for part in path)
        return {**new_policy(name, f"/{above}", arn, 0.0, EVERYBODY), "PolicyId": f"ANPA{name[:16].upper()}"}


def new_role(name: str, path: str, arn: str, now_s: float, trust: str) -> Entity:
    """A role that nobody had before."""
    return {
        "RoleName": name,
        "Path": path,
        "RoleId": new_id("AROA"),
        "Arn": arn,
        "CreateDate": now_s,
        "AssumeRolePolicyDocument": trust,
        "MaxSessionDuration": 3600,
        "Tags": {},
        "Inline": {},
        "Attached": [],
    }


def new_policy(name: str, path: str, arn: str, now_s: float, document: str) -> Entity:
    """A policy that nobody had before."""
    return {
        "PolicyName": name,
        "Path": path,
        "PolicyId": new_id("ANPA"),
        "Arn": arn,
        "CreateDate": now_s,
        "UpdateDate": now_s,
        "DefaultVersionId": "v1",
        "Versions": {"v1": {"Document": document, "CreateDate": now_s}},
        "Newest": 1,
        "Tags": {},
    }


def new_id(prefix: str) -> str:
    """An id as IAM makes them."""
    return prefix + b32encode(secrets.token_bytes(_ID_BYTES)).decode("ascii") + "A"


def checked_document(text: str) -> str:
    """A policy's document. Raises ServiceFault."""
    found: Any = None
    with suppress(ValueError, RecursionError):
        found = json.loads(text)
    if not isinstance(found, dict):
        raise ServiceFault("MalformedPolicyDocument", "This policy contains invalid Json")
    if not isinstance(found.get("Statement"), (list, dict)):
        raise ServiceFault("MalformedPolicyDocument", "Syntax errors in policy.")
    return text


def shown_document(text: str) -> str:
    """A document as answers have it. Source: IAM API reference, encoded as RFC 3986 has it."""
    return quote(text, safe="-_.~")


def shown_time(seconds: float) -> datetime:
    """A time as the protocol writes it, in whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC)


def shown_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as a list."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def merged_tags(before: Mapping[str, str], fields: IamFields) -> dict[str, str]:
    """Tags with those of a request. Raises ServiceFault."""
    tags = {**before, **{tag["Key"]: tag["Value"] for tag in fields.get("Tags", ())}}
    if len(tags) > _MOST_TAGS:
        raise ServiceFault(
            "LimitExceeded", f"The number of tags has reached the maximum limit: {_MOST_TAGS}."
        )
    return tags


def page_of(member: str, entries: Sequence[Any], fields: IamFields) -> dict[str, Any]:
    """One page of a list. Raises ServiceFault."""
    marker, most = fields.get("Marker", "0"), fields.get("MaxItems", _PAGE)
    if not marker.isdecimal() or not marker.isascii() or len(marker) > 9:
        raise ServiceFault("ValidationError", "Invalid Marker.")
    end = int(marker) + most
    page = {member: entries[int(marker) : end], "IsTruncated": end < len(entries)}
    return {**page, "Marker": str(end)} if end < len(entries) else page


def missing(message: str) -> NoReturn:
    """Raises ServiceFault."""
    raise ServiceFault("NoSuchEntity", message)
