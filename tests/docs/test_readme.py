"""README.md is the first five minutes: short, with every way to call, and it leads to all other pages."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs.markdown import read_blocks
from tests.docs.pages import PAGES, README, name_of
from tests.docs.reader import steps

_MOST_LINES = 200
_LINK = re.compile(r"\]\(([^)#\s]+)")


def test_readme_is_read_in_five_minutes() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= _MOST_LINES


@pytest.mark.parametrize(
    "word",
    [
        "curl ",
        "aws sagemaker-runtime",
        "import boto3",
        "sagebird deploy",
        "sagebird weights",
        "sagebird transform",
        "sagebird load",
    ],
)
def test_readme_shows_every_way_to_call(word: str) -> None:
    assert any(word in step.command for step in steps(read_blocks(README)))


def test_docker_and_the_web_page_stand_in_the_first_half() -> None:
    text = README.read_text(encoding="utf-8")

    assert max(text.index("docker compose up"), text.index("await fetch(")) < len(text) / 2


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_addresses_that_commands_print_are_those_that_the_page_has_named(page: Path) -> None:
    server = "http://127.0.0.1:8080"
    for step in steps(read_blocks(page)):
        server = next(iter(re.findall(r"AWS_ENDPOINT_URL=(\S+)", step.command)), server)
        if step.command.startswith("sagebird "):
            assert set(re.findall(r"http://[^/\s]+", step.output)) <= {server}, step.command


def test_readme_leads_to_every_page() -> None:
    linked = {(ROOT / target) for target in _LINK.findall(README.read_text(encoding="utf-8"))}

    assert [name_of(page) for page in PAGES if page != README and page not in linked] == []
