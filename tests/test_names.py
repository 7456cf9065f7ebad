"""One name, one thing: no public name of a type is used for two things below service/.

But for the runner's stand-ins, which have the names of the libraries that they stand in for.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.test_import_rule import Source, our_sources, read_sources


def type_names(source: Source) -> Iterator[str]:
    """The public types that a file defines: its classes, and the aliases at its top (`Batch = bytes | str`).

    An alias begins with a capital and is no constant: `URLS` is one, `Url` is not.
    """
    for node in _top_level(source.tree.body):
        if isinstance(node, ast.ClassDef):
            yield from _public(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = (target.id for target in targets if isinstance(target, ast.Name))
            yield from (public for name in names if name != name.upper() for public in _public(name))


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from _top_level([*node.body, *node.orelse])


def _public(name: str) -> Iterator[str]:
    if name[0].isupper():
        yield name


def used_twice(sources: tuple[Source, ...]) -> Mapping[str, list[str]]:
    """The names that more than one file defines, with these files."""
    places: dict[str, list[str]] = {}
    for source in sources:
        for name in type_names(source):
            places.setdefault(name, []).append(source.path)
    return {name: paths for name, paths in sorted(places.items()) if len(paths) > 1}


def test_no_public_type_shares_its_name_with_another() -> None:
    own = (source for source in our_sources() if not source.path.startswith("runner/standins/"))
    assert used_twice(tuple(own)) == {}


@pytest.mark.parametrize(
    "other",
    [
        "class Answer: ...",
        "Answer = bytes | str",
        "Answer: TypeAlias = bytes",
        "import sys\nif sys.platform == 'linux':\n    class Answer: ...",
    ],
)
def test_a_name_of_two_things_is_found(tmp_path: Path, other: str) -> None:
    (tmp_path / "a.py").write_text("class Answer: ...\nclass _Kept: ...\nLIMIT = 1\n")
    (tmp_path / "b.py").write_text(other + "\nclass _Kept: ...\nLIMIT = 2\n")

    assert used_twice(read_sources(tmp_path)) == {"Answer": ["a.py", "b.py"]}
