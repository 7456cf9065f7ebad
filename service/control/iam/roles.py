"""The operations of IAM on roles: make, show, remove, what they trust, their policies and tags."""

from collections.abc import Mapping
from typing import Any

from service.control.iam.context import (
    Entity,
    IamContext,
    IamFields,
    IamOutput,
    checked_document,
    merged_tags,
    missing,
    new_role,
    page_of,
    shown_document,
    shown_tags,
    shown_time,
)
from service.errors import ServiceFault


def create_role(context: IamContext, fields: IamFields) -> IamOutput:
    """CreateRole."""
    name, path = fields["RoleName"], fields.get("Path", "/")
    trust = checked_document(fields["AssumeRolePolicyDocument"])
    # Source: IAM; names are told apart by more than upper and lower case.
    if any(name.lower() == known.lower() for known in context.roles):
        raise ServiceFault("EntityAlreadyExists", f"Role with name {name} already exists.")
    role = {
        **new_role(name, path, context.arn("role", path, name), context.now_s, trust),
        **{member: fields[member] for member in ("Description", "MaxSessionDuration") if member in fields},
        "Tags": merged_tags({}, fields),
    }
    if "PermissionsBoundary" in fields:
        role["PermissionsBoundary"] = fields["PermissionsBoundary"]
    context.keep_role(role)
    return {"Role": _shown(role)}


def get_role(context: IamContext, fields: IamFields) -> IamOutput:
    """GetRole."""
    return {"Role": {**_shown(context.role(fields)), "RoleLastUsed": {}}}


def delete_role(context: IamContext, fields: IamFields) -> None:
    """DeleteRole. Source: IAM; what has policies has to lose them first."""
    role = context.role(fields)
    if role["Attached"]:
        raise ServiceFault("DeleteConflict", "Cannot delete entity, must detach all policies first.")
    if role["Inline"]:
        raise ServiceFault("DeleteConflict", "Cannot delete entity, must delete policies first.")
    context.drop_role(role["RoleName"])


def list_roles(context: IamContext, fields: IamFields) -> IamOutput:
    """ListRoles, in the order of names."""
    prefix = fields.get("PathPrefix", "/")
    roles = sorted(context.roles.values(), key=lambda role: str(role["RoleName"]))
    found = [role for role in roles if role["Path"].startswith(prefix)]
    return page_of("Roles", [_shown(role, brief=True) for role in found], fields)


def update_role(context: IamContext, fields: IamFields) -> IamOutput:
    """UpdateRole, UpdateRoleDescription."""
    role = context.role(fields)
    changed = {name: fields[name] for name in ("Description", "MaxSessionDuration") if name in fields}
    context.keep_role({**role, **changed})
    return {"Role": _shown({**role, **changed})}


def update_assume_role_policy(context: IamContext, fields: IamFields) -> None:
    """UpdateAssumeRolePolicy."""
    role = context.role(fields)
    context.keep_role({**role, "AssumeRolePolicyDocument": checked_document(fields["PolicyDocument"])})


def put_permissions_boundary(context: IamContext, fields: IamFields) -> None:
    """PutRolePermissionsBoundary."""
    boundary = fields["PermissionsBoundary"]
    context.policy(boundary)
    context.keep_role({**context.role(fields), "PermissionsBoundary": boundary})


def delete_permissions_boundary(context: IamContext, fields: IamFields) -> None:
    """DeleteRolePermissionsBoundary."""
    role = context.role(fields)
    context.keep_role({name: value for name, value in role.items() if name != "PermissionsBoundary"})


# ---- policies of roles


def attach_role_policy(context: IamContext, fields: IamFields) -> None:
    """AttachRolePolicy, which may have been done before."""
    role, arn = context.role(fields), fields["PolicyArn"]
    context.policy(arn)
    if arn not in role["Attached"]:
        context.keep_role({**role, "Attached": [*role["Attached"], arn]})


def detach_role_policy(context: IamContext, fields: IamFields) -> None:
    """DetachRolePolicy."""
    role, arn = context.role(fields), fields["PolicyArn"]
    if arn not in role["Attached"]:
        missing(f"Policy {arn} was not found.")
    context.keep_role({**role, "Attached": [each for each in role["Attached"] if each != arn]})


def list_attached_role_policies(context: IamContext, fields: IamFields) -> IamOutput:
    """ListAttachedRolePolicies."""
    prefix = fields.get("PathPrefix", "/")
    found = [context.policy(arn) for arn in context.role(fields)["Attached"]]
    shown = [
        {"PolicyName": policy["PolicyName"], "PolicyArn": policy["Arn"]}
        for policy in found
        if policy["Path"].startswith(prefix)
    ]
    return page_of("AttachedPolicies", shown, fields)


def put_role_policy(context: IamContext, fields: IamFields) -> None:
    """PutRolePolicy."""
    role, document = context.role(fields), checked_document(fields["PolicyDocument"])
    context.keep_role({**role, "Inline": {**role["Inline"], fields["PolicyName"]: document}})


def get_role_policy(context: IamContext, fields: IamFields) -> IamOutput:
    """GetRolePolicy."""
    role, name = context.role(fields), fields["PolicyName"]
    return {
        "RoleName": role["RoleName"],
        "PolicyName": name,
        "PolicyDocument": shown_document(_inline(role, name)),
    }


def delete_role_policy(context: IamContext, fields: IamFields) -> None:
    """DeleteRolePolicy."""
    role, name = context.role(fields), fields["PolicyName"]
    _inline(role, name)
    kept = {known: document for known, document in role["Inline"].items() if known != name}
    context.keep_role({**role, "Inline": kept})


def list_role_policies(context: IamContext, fields: IamFields) -> IamOutput:
    """ListRolePolicies."""
    return page_of("PolicyNames", sorted(context.role(fields)["Inline"]), fields)


def list_instance_profiles_for_role(context: IamContext, fields: IamFields) -> IamOutput:
    """ListInstanceProfilesForRole: there are none."""
    context.role(fields)
    return page_of("InstanceProfiles", [], fields)


# ---- tags


def tag_role(context: IamContext, fields: IamFields) -> None:
    """TagRole."""
    role = context.role(fields)
    context.keep_role({**role, "Tags": merged_tags(role["Tags"], fields)})


def untag_role(context: IamContext, fields: IamFields) -> None:
    """UntagRole."""
    role, gone = context.role(fields), set(fields["TagKeys"])
    kept = {key: value for key, value in role["Tags"].items() if key not in gone}
    context.keep_role({**role, "Tags": kept})


def list_role_tags(context: IamContext, fields: IamFields) -> IamOutput:
    """ListRoleTags."""
    return page_of("Tags", shown_tags(context.role(fields)["Tags"]), fields)


def _inline(role: Entity, name: str) -> str:
    found: str | None = role["Inline"].get(name)
    if found is None:
        missing(f"The role policy with name {name} cannot be found.")
    return found


def _shown(role: Entity, *, brief: bool = False) -> Mapping[str, Any]:
    """A role as answers have it. Source: ListRoles, whose roles come without tags and boundary."""
    shown = {
        **{name: role[name] for name in ("Path", "RoleName", "RoleId", "Arn", "MaxSessionDuration")},
        "CreateDate": shown_time(role["CreateDate"]),
        "AssumeRolePolicyDocument": shown_document(role["AssumeRolePolicyDocument"]),
    }
    if "Description" in role:
        shown["Description"] = role["Description"]
    if brief:
        return shown
    if role["Tags"]:
        shown["Tags"] = shown_tags(role["Tags"])
    if "PermissionsBoundary" in role:
        boundary = {
            "PermissionsBoundaryType": "Policy",
            "PermissionsBoundaryArn": role["PermissionsBoundary"],
        }
        shown["PermissionsBoundary"] = boundary
    return shown
