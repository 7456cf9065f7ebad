"""GetCallerIdentity of sts: who every caller is."""

from collections.abc import Mapping
from typing import Any

from service.control.resources import OperationContext

ROLE = "sagebird"
"""What every caller has assumed: programs take their role's name from between the slashes of the ARN."""

_ROLE_ID = "AROASAGEBIRD000000000"


def get_caller_identity(context: OperationContext, fields: Mapping[str, Any]) -> dict[str, Any]:
    """GetCallerIdentity: an assumed role of the caller's account."""
    del fields
    caller = context.caller
    return {
        "Arn": caller.arns.assumed_role(ROLE, caller.principal),
        "UserId": f"{_ROLE_ID}:{caller.principal}",
        "Account": caller.account,
    }
