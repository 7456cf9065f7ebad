"""No test replaces a part of ours: it hands over another one, or waits for what the real one does."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

_PATCHES = frozenset({"setattr", "delattr", "setitem", "delitem", "patch", "object", "dict", "multiple"})


def _ours(tree: ast.AST) -> frozenset[str]:
    """The names that stand for something below service/ in a file: modules, classes, functions, values."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and _is_ours(node.module):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.asname or "service" for alias in node.names if _is_ours(alias.name)}
    return frozenset(names)


def _is_ours(dotted: str) -> bool:
    return dotted.partition(".")[0] == "service"


def _root(node: ast.expr) -> str:
    """The name at the beginning of `a.b.c`, or of what a text names so."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_ours(node.value):
        return "service"
    return node.id if isinstance(node, ast.Name) else ""


def patched(tree: ast.AST) -> Iterator[int]:
    """The lines that put something else into the place of a part of ours, for a while or for good.

    By `setattr` and the like, of pytest's monkeypatch too, by `mock.patch`, by assignment or `del`.
    """
    ours = _ours(tree) | {"service"}
    for node in ast.walk(tree):
        if isinstance(node, ast.expr | ast.stmt) and any(_root(target) in ours for target in _targets(node)):
            yield node.lineno


def _targets(node: ast.AST) -> list[ast.expr]:
    """What a statement or a call changes, but for plain names, which are the file's own."""
    if isinstance(node, ast.Call):
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        return node.args[:1] if called in _PATCHES else []
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign | ast.Delete):
        targets = node.targets
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        targets = [node.target]
    return [target for target in targets if not isinstance(target, ast.Name)]


def test_no_part_of_ours_is_patched() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{line}"
        for file in sorted((ROOT / "tests").rglob("*.py"))
        for line in patched(ast.parse(file.read_text(encoding="utf-8")))
    ]

    assert found == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("monkeypatch.setattr(joining, 'read', note)", True),
        ("monkeypatch.setattr('service.hosting.calls.joining.read', note)", True),
        ("monkeypatch.setitem(joining._TABLE, 'a', 1)", True),
        ("monkeypatch.delattr(Lane, 'answer')", True),
        ("mock.patch('service.log.get_logger')", True),
        ("mock.patch.object(Lane, 'answer')", True),
        ("patch.dict(service.log._KNOWN)", True),
        ("joining.read = note", True),
        ("Lane.answer += note", True),
        ("del joining.read", True),
        ("setattr(joining, 'read', note)", True),
        ("monkeypatch.setattr(sys, 'platform', 'darwin')", False),
        ("monkeypatch.setenv('service.name', '1')", False),
        ("Lane = note", False),
        ("lane.answer = note", False),
        ("getattr(joining, 'read')", False),
    ],
)
def test_a_patch_is_found(line: str, found: bool) -> None:
    imports = "import sys\nimport service.log\nfrom service.hosting.calls import joining\n"
    tree = ast.parse(f"{imports}from service.hosting.calls.joining import Lane\n{line}\n")

    assert list(patched(tree)) == [5] * found
