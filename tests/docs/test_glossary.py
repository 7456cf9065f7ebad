"""docs/glossary.md: each term stands for something that the code has by that name."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT
from tests.test_import_rule import Source, our_sources

_ROW = re.compile(r"^\| ([a-z][a-z ]*) \| `(\w+)` \| (.+) \|$", re.MULTILINE)


def read_terms(page: str) -> list[tuple[str, str]]:
    """The rows of the glossary's tables: a term, and its name in the code."""
    return [(term, name) for term, name, _ in _ROW.findall(page)]


def defined(source: Source) -> Iterator[str]:
    """What a file defines: classes, functions, arguments and variables, attributes of classes."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def unknown(page: str, sources: tuple[Source, ...]) -> list[tuple[str, str]]:
    """The terms whose name no file defines."""
    names = {name for source in sources for name in defined(source)}
    return [(term, name) for term, name in read_terms(page) if name not in names]


def _glossary() -> str:
    return (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")


def test_every_term_of_the_glossary_exists_in_the_code() -> None:
    assert unknown(_glossary(), our_sources()) == []


def test_every_row_of_the_glossary_is_read_and_no_term_comes_twice() -> None:
    page = _glossary()
    rows = [line for line in page.splitlines() if line.startswith("| ") and " `" in line]
    terms = [term for term, _ in read_terms(page)]

    assert len(terms) == len(rows) == len(set(terms))


@pytest.mark.parametrize(("name", "missing"), [("Ledger", [("ledger", "Ledger")]), ("Fleet", [])])
def test_a_term_that_the_code_has_not_is_found(name: str, missing: list[tuple[str, str]]) -> None:
    page = f"| term | in the code | what it is |\n| --- | --- | --- |\n| {name.lower()} | `{name}` | x |\n"

    assert unknown(page, our_sources()) == missing
