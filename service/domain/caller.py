"""Who a call is from: the account and region that it is for, and on whose behalf it comes."""

from typing import NamedTuple

from service.arn import Arns

EVERYTHING = "invoke read manage"
ANONYMOUS = "caller"
"""The principal of everybody, as long as nobody is asked who he is; GetCallerIdentity shows it."""


class Caller(NamedTuple):
    """Named once where a call comes in, and handed on with it: whoever words an ARN reads it here.

    `account` has 12 digits. What a signature claims of its region names nobody: requests of any are served
    as those of the server's own. `principal` is the session's name in the role that every caller has assumed,
    `permissions` are the names of what he may do with the whole server, see access_keys.Permission. `key_id`
    is that of his access key, "" where nobody is asked for one; `session_id` that of the session of it by
    which he asks, "" where he asks by the key itself.
    """

    account: str
    region: str
    principal: str = ANONYMOUS
    permissions: str = EVERYTHING
    key_id: str = ""
    session_id: str = ""

    @property
    def arns(self) -> Arns:
        """What names the things of his account and region."""
        return Arns(self.account, self.region)
