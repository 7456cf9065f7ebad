"""What is said of model packages and their groups, one function each, each with its source.

Unlike those of other resources they begin with what they are about, and programs look for their words.
"""


def package_missing(arn: str) -> str:
    """Source: observed, DescribeModelPackage."""
    return f"ModelPackage {arn} does not exist."


def group_missing(arn: str) -> str:
    """Source: observed, DescribeModelPackageGroup; Terraform looks for its end."""
    return f"ModelPackageGroup {arn} does not exist."


def group_exists(arn: str) -> str:
    """Source: observed, CreateModelPackageGroup; programs look for it to go on with what is there."""
    return f"Model Package Group already exists: {arn}"


def package_exists(arn: str) -> str:
    """Ours, as for groups."""
    return f"Model Package already exists: {arn}"


def group_of_policy_missing(arn: str) -> str:
    """Source: observed, the operations on a group's policy; Terraform looks for its beginning."""
    return f"Cannot find Model Package Group: {arn}"


def policy_missing(arn: str) -> str:
    """Source: observed, as above."""
    return f"Cannot find resource policy for: {arn}"


def group_in_use(arn: str) -> str:
    """Ours; that it is refused is documented."""
    return f"Model Package Group {arn} cannot be deleted: delete its model packages first."


def two_names() -> str:
    """Source: observed, CreateModelPackage."""
    return (
        "Both ModelPackageName and ModelPackageGroupName are provided in the input. "
        "Cannot determine which one to use."
    )


def no_name() -> str:
    """Source: observed, CreateModelPackage without either name."""
    return "Missing ARN."


def nothing_to_run(arn: str, specification: str = "") -> str:
    """Ours: a package may be registered without containers, but no model can be made of it."""
    wanted = f"inference specification {specification}" if specification else "inference specification"
    return f"ModelPackage {arn} has no {wanted} that a model could be made of."


def too_many(member: str, most: int) -> str:
    """Ours: what is added to a package counts with what it has."""
    return f"A model package has at most {most} {member}."


def specification_twice(name: str) -> str:
    """Ours."""
    return f"The model package already has an additional inference specification {name}."
