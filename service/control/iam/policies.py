"""The operations of IAM on policies: make, show, remove, versions, tags; and what one would allow."""

from collections.abc import Mapping
from typing import Any, Final

from service.control.iam.context import (
    Entity,
    IamContext,
    IamFields,
    IamOutput,
    checked_document,
    merged_tags,
    missing,
    new_policy,
    page_of,
    shown_document,
    shown_tags,
    shown_time,
)
from service.errors import ServiceFault

_MOST_VERSIONS: Final = 5


def create_policy(context: IamContext, fields: IamFields) -> IamOutput:
    """CreatePolicy."""
    name, path = fields["PolicyName"], fields.get("Path", "/")
    document = checked_document(fields["PolicyDocument"])
    if any(name.lower() == known["PolicyName"].lower() for known in context.policies.values()):
        raise ServiceFault(
            "EntityAlreadyExists", f"A policy called {name} already exists. Duplicate names are not allowed."
        )
    policy = {
        **new_policy(name, path, context.arn("policy", path, name), context.now_s, document),
        "Tags": merged_tags({}, fields),
    }
    if "Description" in fields:
        policy["Description"] = fields["Description"]
    context.keep_policy(policy)
    return {"Policy": _shown(context, policy)}


def get_policy(context: IamContext, fields: IamFields) -> IamOutput:
    """GetPolicy."""
    return {"Policy": _shown(context, context.policy(fields["PolicyArn"]))}


def delete_policy(context: IamContext, fields: IamFields) -> None:
    """DeletePolicy. Source: IAM; what is attached, or has other versions, has to lose them first."""
    arn = _own(context, fields)["Arn"]
    if context.attached_to(arn):
        raise ServiceFault("DeleteConflict", "Cannot delete a policy attached to entities.")
    if len(context.policies[arn]["Versions"]) > 1:
        text = (
            "This policy has more than one version. Before you delete a policy, you must delete the policy's "
            "versions. The default version is deleted with the policy."
        )
        raise ServiceFault("DeleteConflict", text)
    context.drop_policy(arn)


def list_policies(context: IamContext, fields: IamFields) -> IamOutput:
    """ListPolicies: the account's own. Which AWS has is not known here."""
    prefix, attached = fields.get("PathPrefix", "/"), fields.get("OnlyAttached", False)
    own = fields.get("Scope", "All") != "AWS"
    policies = sorted(context.policies.values(), key=lambda policy: str(policy["PolicyName"]))
    found = [policy for policy in policies if own and policy["Path"].startswith(prefix)]
    if attached:
        found = [policy for policy in found if context.attached_to(policy["Arn"])]
    return page_of("Policies", [_shown(context, policy, brief=True) for policy in found], fields)


def list_entities_for_policy(context: IamContext, fields: IamFields) -> IamOutput:
    """ListEntitiesForPolicy: roles, for there is nobody else."""
    roles = context.attached_to(context.policy(fields["PolicyArn"])["Arn"])
    shown = [{name: role[name] for name in ("RoleName", "RoleId")} for role in roles]
    return {"PolicyGroups": [], "PolicyUsers": [], **page_of("PolicyRoles", shown, fields)}


# ---- versions


def create_policy_version(context: IamContext, fields: IamFields) -> IamOutput:
    """CreatePolicyVersion."""
    policy, document = _own(context, fields), checked_document(fields["PolicyDocument"])
    if len(policy["Versions"]) >= _MOST_VERSIONS:
        text = (
            "A managed policy can have up to 5 versions. Before you create a new version, you must delete an "
            "existing version."
        )
        raise ServiceFault("LimitExceeded", text)
    number = policy["Newest"] + 1
    version = {"Document": document, "CreateDate": context.now_s}
    policy = {
        **policy,
        "Newest": number,
        "UpdateDate": context.now_s,
        "Versions": {**policy["Versions"], f"v{number}": version},
    }
    if fields.get("SetAsDefault", False):
        policy["DefaultVersionId"] = f"v{number}"
    context.keep_policy(policy)
    return {"PolicyVersion": _shown_version(policy, f"v{number}")}


def get_policy_version(context: IamContext, fields: IamFields) -> IamOutput:
    """GetPolicyVersion."""
    policy = context.policy(fields["PolicyArn"])
    name = _version(policy, fields)
    document = shown_document(policy["Versions"][name]["Document"])
    return {"PolicyVersion": {**_shown_version(policy, name), "Document": document}}


def list_policy_versions(context: IamContext, fields: IamFields) -> IamOutput:
    """ListPolicyVersions, the newest first."""
    policy = context.policy(fields["PolicyArn"])
    names = sorted(policy["Versions"], key=lambda name: -int(name[1:]))
    return page_of("Versions", [_shown_version(policy, name) for name in names], fields)


def set_default_policy_version(context: IamContext, fields: IamFields) -> None:
    """SetDefaultPolicyVersion."""
    policy = _own(context, fields)
    context.keep_policy({**policy, "DefaultVersionId": _version(policy, fields)})


def delete_policy_version(context: IamContext, fields: IamFields) -> None:
    """DeletePolicyVersion."""
    policy = _own(context, fields)
    gone = _version(policy, fields)
    if gone == policy["DefaultVersionId"]:
        raise ServiceFault("DeleteConflict", "Cannot delete the default version of a policy.")
    kept = {name: version for name, version in policy["Versions"].items() if name != gone}
    context.keep_policy({**policy, "Versions": kept})


# ---- tags


def tag_policy(context: IamContext, fields: IamFields) -> None:
    """TagPolicy."""
    policy = _own(context, fields)
    context.keep_policy({**policy, "Tags": merged_tags(policy["Tags"], fields)})


def untag_policy(context: IamContext, fields: IamFields) -> None:
    """UntagPolicy."""
    policy, gone = _own(context, fields), set(fields["TagKeys"])
    kept = {key: value for key, value in policy["Tags"].items() if key not in gone}
    context.keep_policy({**policy, "Tags": kept})


def list_policy_tags(context: IamContext, fields: IamFields) -> IamOutput:
    """ListPolicyTags."""
    return page_of("Tags", shown_tags(context.policy(fields["PolicyArn"])["Tags"]), fields)


# ---- what policies allow


def simulate_principal_policy(context: IamContext, fields: IamFields) -> IamOutput:
    """SimulatePrincipalPolicy: everything is allowed, for nothing is enforced here."""
    del context
    results = [
        {
            "EvalActionName": action,
            "EvalResourceName": resource,
            "EvalDecision": "allowed",
            "MatchedStatements": [],
            "MissingContextValues": [],
        }
        for action in fields["ActionNames"]
        for resource in fields.get("ResourceArns") or ["*"]
    ]
    return page_of("EvaluationResults", results, fields)


def _own(context: IamContext, fields: IamFields) -> Entity:
    """A policy that may be changed. Raises ServiceFault."""
    arn = fields["PolicyArn"]
    policy = context.policy(arn)
    if arn not in context.policies:
        raise ServiceFault("InvalidInput", f"Policy {arn} is of AWS's own and cannot be changed.")
    return policy


def _version(policy: Entity, fields: IamFields) -> str:
    name: str = fields["VersionId"]
    if name not in policy["Versions"]:
        missing(f"Policy {policy['Arn']} version {name} does not exist or is not attachable.")
    return name


def _shown(context: IamContext, policy: Entity, *, brief: bool = False) -> Mapping[str, Any]:
    shown = {
        **{name: policy[name] for name in ("PolicyName", "PolicyId", "Arn", "Path", "DefaultVersionId")},
        "AttachmentCount": len(context.attached_to(policy["Arn"])),
        "PermissionsBoundaryUsageCount": 0,
        "IsAttachable": True,
        "CreateDate": shown_time(policy["CreateDate"]),
        "UpdateDate": shown_time(policy["UpdateDate"]),
    }
    if brief:
        return shown
    if "Description" in policy:
        shown["Description"] = policy["Description"]
    return {**shown, "Tags": shown_tags(policy["Tags"])}


def _shown_version(policy: Entity, name: str) -> Mapping[str, Any]:
    return {
        "VersionId": name,
        "IsDefaultVersion": name == policy["DefaultVersionId"],
        "CreateDate": shown_time(policy["Versions"][name]["CreateDate"]),
    }
