"""What is read of AWS's documents, and written into them, are members that AWS's models have.

Documents are plain mappings here, checked by botocore's models before an operation sees them: what typed
dictionaries would find is found by this test.
"""

import ast
import re
from collections.abc import Iterator

import pytest
from botocore.loaders import Loader

from tests.test_import_rule import our_sources

_AWS_SPELLING = re.compile(r"[A-Z][a-z0-9]+([A-Z][A-Za-z0-9]*)+")
_SERVICES = ("cloudwatch", "ecr", "iam", "logs", "s3", "sagemaker", "sagemaker-runtime", "sts")
_ROOMS = ("cli", "control", "domain", "jobs")


def _members() -> set[str]:
    found: set[str] = set()
    for name in _SERVICES:
        model = Loader().load_service_model(name, "service-2")
        found |= set(model["operations"])  # they are keys, too: of the table of operations
        for shape in model["shapes"].values():
            found |= set(shape.get("members", {})) | set(shape.get("enum", ()))
    return found


def _keys(tree: ast.AST) -> Iterator[ast.expr | None]:
    """What mappings are asked for by subscript or `get`, and written with."""
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(slice=key):
                yield key
            case ast.Dict(keys=keys):
                yield from keys
            case ast.Call(func=ast.Attribute(attr="get" | "pop" | "setdefault"), args=[key, *_]):
                yield key


def _named(tree: ast.AST) -> set[str]:
    keys = {key.value for key in _keys(tree) if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    return {key for key in keys if _AWS_SPELLING.fullmatch(key)}


@pytest.mark.provenance("botocore")
def test_members_of_documents_are_spelt_as_the_models_spell_them() -> None:
    named = {
        (source.path, key) for source in our_sources() if source.room in _ROOMS for key in _named(source.tree)
    }
    members = _members()
    assert {each for each in named if each[1] not in members} == set()
    assert len(named) > 100


def test_a_member_that_no_model_has_is_found() -> None:
    code = "a['ModelNam'] = b.get('EndpointNam', {'VariantNam': 1, 'no_member': 2}); c['NextToken'][0]"
    assert _named(ast.parse(code)) - _members() == {"ModelNam", "EndpointNam", "VariantNam"}
