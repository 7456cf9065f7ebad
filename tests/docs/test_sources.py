"""The sources that the code cites are there: docs/contract.md has every anchor that a docstring names."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

CONTRACT = ROOT / "docs" / "contract.md"
_HEADING = re.compile(r"^#{2,3} ([A-Z0]|[A-Z0]\.\d+)\.? ", re.MULTILINE)
_POINT = re.compile(r"^(\d+)\. ", re.MULTILINE)
_ANCHOR = r"(?:[A-Z]|0)(?:\.\d+|(?= and|[,.;:)\s\"]))"
# "contract B.4", "contract A.9, Z.42", "contract C.1 and C.2", "contract C.1, list Y", "contract (A.1, A.5)"
_CITED = re.compile(rf"\bcontract \(?({_ANCHOR}(?:,? (?:and |list )?{_ANCHOR})*)")
_LOOSE = re.compile(r"\bcontract \(?[A-Z] ?\d")


def anchors(page: str) -> set[str]:
    """What a page can be cited by: its headings, and the numbered points of list Z."""
    found = set(_HEADING.findall(page))
    points = page.partition("\n## Z. ")[2].partition("\n## ")[0]
    return found | {f"Z.{number}" for number in _POINT.findall(points)}


def cited(text: str) -> Iterator[str]:
    """Each anchor that a text cites."""
    for group in _CITED.findall(text):
        yield from re.findall(_ANCHOR, group + " ")


def _files() -> Iterator[Path]:
    for folder in ("service", "tests", "docs"):
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix in {".py", ".json", ".md"} and file not in (CONTRACT, Path(__file__)):
                yield file


def test_every_cited_anchor_is_in_the_contract() -> None:
    known = anchors(CONTRACT.read_text(encoding="utf-8"))
    citations = [
        (file.relative_to(ROOT).as_posix(), anchor)
        for file in _files()
        for anchor in cited(file.read_text(encoding="utf-8"))
    ]

    assert len(citations) > 80, "citations are not found any more"
    assert [each for each in citations if each[1] not in known] == []


def test_anchors_are_spelled_in_one_way() -> None:
    loose = [file for file in _files() if _LOOSE.search(file.read_text(encoding="utf-8"))]

    assert loose == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Source: contract B.4.", ["B.4"]),
        ("(contract A.9, Z.42)", ["A.9", "Z.42"]),
        ("contract C.1 and C.2", ["C.1", "C.2"]),
        ("contract C.1, list Y).", ["C.1", "Y"]),
        ("contract G).", ["G"]),
        ("contract 0, `Credential=`", ["0"]),
        ("the container contract (A.1, A.5).", ["A.1", "A.5"]),
        ("the container contract alone. A contract. B.", []),
    ],
)
def test_citations_are_read(text: str, found: list[str]) -> None:
    assert list(cited(text)) == found


def test_anchors_are_read_from_headings_and_from_the_list_of_surprises() -> None:
    page = "# X\n\n## 0. One\n### 0.1 Two\n## A. Three\n### A.10 Four\n1. no\n"
    page += "## Z. List\n1. yes\n12. yes\n\n## Y. Five\n2. no\n"

    assert anchors(page) == {"0", "0.1", "A", "A.10", "Z", "Z.1", "Z.12", "Y"}
