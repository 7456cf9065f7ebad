"""Which function answers which operation of IAM."""

from collections.abc import Mapping
from copy import deepcopy
from types import MappingProxyType
from typing import Any, Final

from service.clock import Clock
from service.control.iam import policies, roles
from service.control.iam.context import IamContext, IamOperation
from service.domain import unserved
from service.domain.caller import Caller
from service.store.store import IAM, Store

_READING: Final = MappingProxyType[str, IamOperation](
    {
        "GetRole": roles.get_role,
        "ListRoles": roles.list_roles,
        "ListAttachedRolePolicies": roles.list_attached_role_policies,
        "GetRolePolicy": roles.get_role_policy,
        "ListRolePolicies": roles.list_role_policies,
        "ListInstanceProfilesForRole": roles.list_instance_profiles_for_role,
        "ListRoleTags": roles.list_role_tags,
        "GetPolicy": policies.get_policy,
        "ListPolicies": policies.list_policies,
        "ListEntitiesForPolicy": policies.list_entities_for_policy,
        "GetPolicyVersion": policies.get_policy_version,
        "ListPolicyVersions": policies.list_policy_versions,
        "ListPolicyTags": policies.list_policy_tags,
        "SimulatePrincipalPolicy": policies.simulate_principal_policy,
    }
)
_CHANGING: Final = MappingProxyType[str, IamOperation](
    {
        "CreateRole": roles.create_role,
        "DeleteRole": roles.delete_role,
        **dict.fromkeys(("UpdateRole", "UpdateRoleDescription"), roles.update_role),
        "UpdateAssumeRolePolicy": roles.update_assume_role_policy,
        "PutRolePermissionsBoundary": roles.put_permissions_boundary,
        "DeleteRolePermissionsBoundary": roles.delete_permissions_boundary,
        "AttachRolePolicy": roles.attach_role_policy,
        "DetachRolePolicy": roles.detach_role_policy,
        "PutRolePolicy": roles.put_role_policy,
        "DeleteRolePolicy": roles.delete_role_policy,
        "TagRole": roles.tag_role,
        "UntagRole": roles.untag_role,
        "CreatePolicy": policies.create_policy,
        "DeletePolicy": policies.delete_policy,
        "CreatePolicyVersion": policies.create_policy_version,
        "SetDefaultPolicyVersion": policies.set_default_policy_version,
        "DeletePolicyVersion": policies.delete_policy_version,
        "TagPolicy": policies.tag_policy,
        "UntagPolicy": policies.untag_policy,
    }
)

SERVED: Final = frozenset((*_READING, *_CHANGING))
"""The operations of iam that are served."""


class IamOperations:
    """Runs operations of IAM, each in one transaction of the store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def answer(self, caller: Caller, operation: str, fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Run one. Raises ServiceFault, UnknownOperation."""
        now_s = self._clock.now().timestamp()
        if operation in _READING:
            with self._store.view() as view:
                return _READING[operation](IamContext(caller, now_s, view.fact(IAM) or {}), fields)
        if operation not in _CHANGING:
            raise unserved.refusal("iam", "iam", operation)
        with self._store.change() as change:
            kept = deepcopy(change.fact(IAM) or {})
            output = _CHANGING[operation](IamContext(caller, now_s, kept), fields)
            change.put_fact(IAM, kept)
        return output
