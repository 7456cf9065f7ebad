"""GetCallerIdentity of sts: who every caller is."""

from typing import Any

from service.domain.caller import Caller

ROLE = "sagebird"
"""What every caller has assumed: programs take their role's name from between the slashes of the ARN."""

ROLE_ID = "AROASAGEBIRD000000000"


def caller_identity(caller: Caller) -> dict[str, Any]:
    """Who a caller is: an assumed role of his account."""
    return {
        "Arn": caller.arns.assumed_role(ROLE, caller.principal),
        "UserId": f"{ROLE_ID}:{caller.principal}",
        "Account": caller.account,
    }
