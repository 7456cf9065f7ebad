"""GetCallerIdentity of sts: who every caller is."""

from collections.abc import Mapping
from typing import Any

from service.control.resources import OperationContext

ROLE = "sagebird"
SESSION = "caller"
"""Who every caller is: programs take their role's name from between the slashes of the ARN."""

_ROLE_ID = "AROASAGEBIRD000000000"


def get_caller_identity(context: OperationContext, fields: Mapping[str, Any]) -> dict[str, Any]:
    """GetCallerIdentity: an assumed role of the server's account."""
    del fields
    return {
        "Arn": context.arns.assumed_role(ROLE, SESSION),
        "UserId": f"{_ROLE_ID}:{SESSION}",
        "Account": context.arns.account,
    }
