"""The pages of docs/howto/ do what they say, as test_pages.py tries the other ones."""

from pathlib import Path

import pytest

from tests.docs.conftest import check_page
from tests.docs.markdown import read_blocks
from tests.docs.pages import PAGES, name_of
from tests.docs.reader import Reader, steps


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.parent.name == "howto" and list(steps(read_blocks(page)))],
    ids=name_of,
)
def test_a_page_prints_what_it_shows_and_leaves_nothing_behind(page: Path, reader: Reader) -> None:
    check_page(page, reader)
