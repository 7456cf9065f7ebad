"""The operations of STS: who every caller is, and credentials that are good for a while."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from service.access.sessions import Session, SessionMaker
from service.clock import Clock
from service.control.identity import ROLE_ID, caller_identity
from service.domain import unserved
from service.domain.caller import Caller
from service.errors import NotPermitted, ValidationFault

_Fields = Mapping[str, Any]
_HOUR_S: Final = 3_600
_HALF_A_DAY_S: Final = 43_200
_ROLE: Final = ":role/"
# Source: AWS, what is called by the credentials of a session.
_CHAINED: Final = (
    "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
)
_BY_SESSION: Final = "Cannot call GetSessionToken with session credentials"


class StsOperations:
    """Runs operations of STS. What they give is good for no more than who asks for it may do himself.

    Nor does a session prolong itself: what it is given in turn lasts an hour at most. Source: AWS, "Role
    chaining", and its page about GetSessionToken.
    """

    def __init__(self, sessions: SessionMaker, clock: Clock) -> None:
        self._sessions = sessions
        self._clock = clock

    def answer(self, caller: Caller, operation: str, fields: _Fields) -> Mapping[str, Any] | None:
        """Run one. Raises ValidationFault, NotPermitted."""
        found = _ANSWERED.get(operation)
        if found is None:
            raise unserved.refusal("sts", "sts", operation)
        return found(self, caller, fields)

    def assume_role(self, caller: Caller, fields: _Fields) -> Mapping[str, Any]:
        """AssumeRole: whichever role is named, its session may what the caller may."""
        arn, name = fields["RoleArn"], fields["RoleSessionName"]
        role = arn.partition(_ROLE)[2].rpartition("/")[2]
        if not arn.startswith("arn:") or not role:
            raise ValidationFault(f"{arn} is invalid")
        lasts_s = fields.get("DurationSeconds", _HOUR_S)
        if caller.session_id and lasts_s > _HOUR_S:
            raise ValidationFault(_CHAINED)
        session = self._begin(caller, lasts_s)
        user = {
            "AssumedRoleId": f"{ROLE_ID}:{name}",
            "Arn": caller.arns.assumed_role(role, name),
        }
        return {"Credentials": _shown(session), "AssumedRoleUser": user, "PackedPolicySize": 0}

    def get_session_token(self, caller: Caller, fields: _Fields) -> Mapping[str, Any]:
        """GetSessionToken: for keys alone."""
        if caller.session_id:
            raise NotPermitted(_BY_SESSION)
        return {"Credentials": _shown(self._begin(caller, fields.get("DurationSeconds", _HALF_A_DAY_S)))}

    def get_caller_identity(self, caller: Caller, _fields: _Fields) -> Mapping[str, Any]:
        """GetCallerIdentity: an assumed role of the caller's account."""
        return caller_identity(caller)

    def get_access_key_info(self, caller: Caller, _fields: _Fields) -> Mapping[str, Any]:
        """GetAccessKeyInfo: there is one account."""
        return {"Account": caller.account}

    def _begin(self, caller: Caller, lasts_s: int) -> Session:
        return self._sessions.begin(caller.key_id, self._clock.now().timestamp() + lasts_s)


_ANSWERED: Final = MappingProxyType[str, Callable[[StsOperations, Caller, _Fields], Mapping[str, Any]]](
    {
        "AssumeRole": StsOperations.assume_role,
        "GetSessionToken": StsOperations.get_session_token,
        "GetCallerIdentity": StsOperations.get_caller_identity,
        "GetAccessKeyInfo": StsOperations.get_access_key_info,
    }
)

SERVED: Final = frozenset(_ANSWERED)
"""The operations of sts that are served."""


def _shown(session: Session) -> Mapping[str, Any]:
    return {
        "AccessKeyId": session.id,
        "SecretAccessKey": session.secret_access_key,
        "SessionToken": session.token,
        "Expiration": datetime.fromtimestamp(int(session.expires_s), UTC),
    }
