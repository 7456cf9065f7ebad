"""Names that files and callers chose, on their way to a terminal."""

import pytest
from rich.text import Text

from service.cli.told import cell, told


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Endpunkt größer [v1]", "Endpunkt größer [v1]"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b31mred", r"\x9b31mred"),
        ("]0;title\x07", r"]0;title\x07"),
        ("csv.\u202eexe", r"csv.\u202eexe"),
        ("a\nb\r\u2028c", r"a\nb\r\u2028c"),
        ("\udcff", r"\xff"),
    ],
)
def test_nothing_in_a_name_steers_the_terminal(text: str, shown: str) -> None:
    assert told(text) == shown
    assert Text.from_markup(cell(text)).plain == shown
